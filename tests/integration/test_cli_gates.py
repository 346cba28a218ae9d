"""`--gate NAME.FIELD=VALUE` from the command line to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
import tensorflow as tf

from infraval import options, validation

Invoke = Callable[..., click.testing.Result]


class _ReadError(Exception):
    """Ends a run where the job is validated."""


@pytest.fixture
def read(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Callable[..., options.GateOptions]:
    """What `--gate` options become; each value is one option."""

    def run(*values: str) -> options.GateOptions:
        jobs: list[options.Job] = []

        def validate(job: options.Job, *_: Any, **__: Any) -> None:
            jobs.append(job)
            raise _ReadError

        monkeypatch.setattr(validation, "validate", validate)
        invoke("validate", "--model", "m", *(part for value in values for part in ("--gate", value)))
        return jobs[0].gates

    return run


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        ([], {}),
        (["warm.ratio=5"], {"warm": {"ratio": 5.0}}),
        (["warm.enabled=false", "warm.more_boots=0"], {"warm": {"enabled": False, "more_boots": 0}}),
        (["outputs.nan=allow", "warm.undecided=fail"], {"outputs": {"nan": "allow"}, "warm": {"undecided": "fail"}}),
        (['outputs.range={"y": [0, null], "z": [0, 1]}'], {"outputs": {"range": {"y": (0, None), "z": (0, 1)}}}),
        (['outputs.sums_to_one=["y", "z"]'], {"outputs": {"sums_to_one": ("y", "z")}}),
        (["outputs.sums_to_one=y"], {"outputs": {"sums_to_one": ("y",)}}),
        (["outputs.sums_to_one=5"], {"outputs": {"sums_to_one": ("5",)}}),
        (["outputs.not_batched=a=b"], {"outputs": {"not_batched": ("a=b",)}}),
    ],
)
def test_a_value_is_json_or_a_string(
    values: list[str], read_as: dict[str, Any], read: Callable[..., options.GateOptions]
) -> None:
    """Only what is given is set, so that a gate that is not named stays as it is."""
    assert read(*values).model_dump(exclude_unset=True) == read_as


@pytest.mark.parametrize(
    ("values", "named", "also"),
    [
        (["warm"], "--gate must be NAME.FIELD=VALUE, not 'warm'", "warm.ratio"),
        (["warm.ratio"], "--gate must be NAME.FIELD=VALUE, not 'warm.ratio'", "warm.ratio"),
        (["warm=5"], "--gate must be NAME.FIELD=VALUE, not 'warm=5'", "outputs.range"),
        ([".=5"], "--gate must be NAME.FIELD=VALUE, not '.=5'", "outputs.range"),
        (["wram.ratio=5"], "--gate wram is not a gate with options", "outputs"),
        (["load.ratio=5"], "--gate load is not a gate with options", "warm"),
        (["warm.ration=5"], "--gate warm.ration is not an option", "ratio"),
        (["warm.ratio.x=5"], "--gate warm.ratio.x is not an option", "ratio"),
        (["warm.ratio=5", "warm.ratio=6"], "--gate warm.ratio is given twice", "once"),
        (["warm.ratio=much"], "--gate warm.ratio must be", "'much'"),
        (["warm.ratio=NaN"], "--gate warm.ratio must be", "nan"),
        (["warm.ratio={}"], "--gate warm.ratio must be", "{}"),
        (["warm.ratio=0.5"], "--gate warm.ratio must be", "0.5"),
        (["warm.more_boots=true"], "--gate warm.more_boots must be", "True"),
        (["warm.enabled=yes"], "--gate warm.enabled must be", "'yes'"),
        (["outputs.nan=ignore"], "--gate outputs.nan must be", "'allow'"),
        (["outputs.range=[0, 1]"], "--gate outputs.range must be an object", "[0, 1]"),
        (['outputs.range={"y": [0, 1'], "--gate outputs.range must be an object", "[0, 1]"),
        (['outputs.range={"y": [1, 0]}'], "--gate outputs.range gives 'y' a lowest value above", ""),
        (['outputs.sums_to_one={"y": 1}'], "--gate outputs.sums_to_one must be a list", "'y'"),
        (['outputs.sums_to_one=["y", "y"]'], "--gate outputs.sums_to_one names y twice", ""),
    ],
)
def test_a_mistake_is_named_as_it_was_written(values: list[str], named: str, also: str, invoke: Invoke) -> None:
    """One line, exit code 2, the same as JSON; before the model is looked at."""
    given = [part for value in values for part in ("--gate", value)]
    finished = invoke("validate", "--model", "/nowhere", *given)
    assert finished.exit_code == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"infraval: {named}")
    assert also in line
    found = json.loads(invoke("validate", "--model", "/nowhere", *given, "--json").stdout)
    assert (found["error"]["kind"], found["error"]["code"]) == ("OptionError", "option/invalid")


def test_mistakes_about_several_gates_are_reported_together(invoke: Invoke) -> None:
    """A line each."""
    given = ("--gate", "warm.ratio=0", "--gate", "outputs.inf=no", "--gate", "speed.p98=1")
    finished = invoke("validate", "--model", "/nowhere", *given)
    assert [line.split(" must ")[0].split(" is ")[0] for line in finished.stderr.splitlines()] == [
        "infraval: --gate outputs.inf",
        "--gate warm.ratio",
        "--gate speed",
    ]


def test_what_is_asked_of_a_gate_decides_its_finding(
    invoke: Invoke, save_model: Callable[..., Path], secret_examples: Path
) -> None:
    """A real run: a range that the answer is outside of, and a gate that is off and so in no report."""
    model = save_model(lambda names: tf.cast(tf.strings.length(names), tf.float32))
    finished = invoke(
        *("validate", "--model", model, "--examples", secret_examples, "--server", "embedded", "--json"),
        *("--gate", 'outputs.range={"result": [0, 5]}', "--gate", "warm.enabled=false"),
    )
    assert finished.exit_code == 1, finished.stderr
    findings = {each["gate"]: each for each in json.loads(finished.stdout)["servers"][0]["findings"]}
    assert list(findings) == ["load", "responses", "warmup", "unchanged", "outputs"]
    assert {name for name, each in findings.items() if each["status"] != "passed"} == {"outputs"}
    outputs = findings["outputs"]
    assert (outputs["status"], outputs["figure"], outputs["bar"], outputs["unit"]) == ("failed", 0, 1, "responses")
    assert "[0, 5]" in outputs["reasons"][0]


def test_rehearse_swap_turns_the_gate_on(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other options of it; a mistake is about the gate."""
    jobs: list[options.Job] = []

    def validate(job: options.Job, *_: Any, **__: Any) -> None:
        jobs.append(job)
        raise _ReadError

    monkeypatch.setattr(validation, "validate", validate)
    given = ("validate", "--model", "m", "--rehearse-swap", "--gate", "swap.rate=5", "--examples", "e")
    refused = invoke(*given)
    assert refused.exit_code == 2
    assert "--gate swap needs a baseline" in refused.output
    invoke(*given, "--baseline", "b")
    assert jobs[0].gates.swap == options.SwapGate(enabled=True, rate=5.0)
