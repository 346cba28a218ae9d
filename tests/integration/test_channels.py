"""The component's channels `expected` and `baseline_model`, up to the job that is validated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfx import v1 as tfx
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

import infraval
from infraval import errors, options, validation
from infraval.tfx.executor import Executor

JobOf = Callable[..., options.Job]
BARS = options.GateOptions(baseline={"size_ratio": 2}, expected={"tolerance": 0.1}, warm={"ratio": 5})


class _TakenError(Exception):
    """Ends the executor once it has a job."""


@pytest.fixture
def job_of(taxi_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobOf:
    """The job that the executor makes of its inputs."""
    taken: list[options.Job] = []

    def validate(job: options.Job, *_: Any, **__: Any) -> None:
        taken.append(job)
        raise _TakenError

    monkeypatch.setattr(validation, "validate", validate)

    def run(inputs: dict[str, list[Any]], **properties: str) -> options.Job:
        model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
        model.uri, blessing.uri = str(taxi_model.parents[3]), str(tmp_path / "blessing")
        context = base_beam_executor.BaseBeamExecutor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
        with pytest.raises(_TakenError):
            Executor(context).Do({"model": [model], **inputs}, {"blessing": [blessing]}, properties)
        return taken[-1]

    return run


def test_what_is_in_the_channels_is_in_the_job(job_of: JobOf, taxi_model: Path) -> None:
    """The files of BulkInferrer, and the SavedModel of the Model."""
    result, model = standard_artifacts.InferenceResult(), standard_artifacts.Model()
    result.uri, model.uri = "/results/[1]", str(taxi_model.parents[3])
    job = job_of({"expected": [result], "baseline_model": [model]}, gates=BARS.to_json())
    assert job.requests.expected == ("/results/[[]1]/prediction_logs-*",)
    assert job.baseline == taxi_model
    assert job.on("expected")
    assert job.on("baseline")
    assert (job.gates.baseline.size_ratio, job.gates.warm.ratio) == (2, 5)


@pytest.mark.parametrize("inputs", [{}, {"expected": [], "baseline_model": []}])
def test_an_empty_channel_means_that_there_is_nothing_to_compare_with(
    inputs: dict[str, list[Any]], job_of: JobOf
) -> None:
    """As for a first model, of which a Resolver finds no baseline; the other gates keep their options."""
    job = job_of(inputs, gates=BARS.to_json())
    assert (job.requests.expected, job.baseline) == ((), None)
    assert not job.on("expected")
    assert not job.on("baseline")
    assert job.gates.warm.ratio == 5


@pytest.mark.parametrize(
    ("latency", "left"),
    [({"p99_ratio": 2, "rate": 5}, None), ({"p99_ratio": 2, "p50_ms": 9, "rate": 5}, 9), ({"p50_ms": 9}, 9)],
)
def test_without_a_baseline_only_bars_in_milliseconds_are_left(
    latency: dict[str, float], left: float | None, job_of: JobOf
) -> None:
    """The gate `latency` is off without any."""
    job = job_of({"baseline_model": []}, gates=json.dumps({"latency": latency}))
    assert (job.gates.latency.p50_ms, job.gates.latency.ratios, job.on("latency")) == (left, (), left is not None)


def test_without_a_baseline_there_is_no_swap(job_of: JobOf) -> None:
    """The other gates keep their options."""
    job = job_of({"baseline_model": []}, gates=json.dumps({"swap": {"max_s": 5}, "warm": {"ratio": 5}}))
    assert not job.on("swap")
    assert job.gates.warm.ratio == 5


def test_the_component_takes_both_channels(importers: tuple[Any, Any]) -> None:
    """Bars on what no channel can bring are a mistake."""
    examples, model = (importer.outputs["result"] for importer in importers)
    results = tfx.dsl.Importer(source_uri="gs://b/r", artifact_type=standard_artifacts.InferenceResult)
    both = {"expected": results.outputs["result"], "baseline_model": model}
    validator = infraval.WarmupInfraValidator(model=model, examples=examples, gates=BARS, **both)
    assert {"expected", "baseline_model"} <= set(validator.inputs)
    for name in both:
        others = {key: channel for key, channel in both.items() if key != name}
        with pytest.raises(errors.OptionError, match=f"gates.{name.removesuffix('_model')}"):
            infraval.WarmupInfraValidator(model=model, examples=examples, gates=BARS, **others)
    assert not {"expected", "baseline_model"} & set(infraval.WarmupInfraValidator(model=model).inputs)
