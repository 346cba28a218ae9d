"""Comparing two servers in this process, one of which is the baseline."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

from infraval import errors, evidence, options, redaction
from infraval.requests import tensors
from infraval.staging import model as staging
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import baseline, boot, client, replay

Answer = Callable[[Any, grpc.ServicerContext], Any]
Serve = Callable[..., str]
Look = Callable[..., evidence.Baseline]
LOADED = evidence.Boot(
    evidence.Server("x", "1", "process", embedded=False), load_time_s=0.25, memory=evidence.Memory(5)
)


class Clock:
    """Seconds that pass only where a server says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.now_s


def answering(clock: Clock, seconds: float, value: float = 1.0) -> Answer:
    """A server that takes so long for each answer, which is that value."""

    def answer(_request: Any, _context: grpc.ServicerContext) -> Any:
        clock.now_s += seconds
        response = predict_pb2.PredictResponse()
        tensor = tensors.empty("float", (1, 2))
        tensor.float_val.extend([value, 2.0])
        response.outputs["y"].CopyFrom(tensor)
        return response

    return answer


def staged(directory: Path, size: int) -> staging.StagedModel:
    """A model of so many bytes, and its warmup file."""
    (directory / "1" / "assets.extra").mkdir(parents=True)
    (directory / "1" / "saved_model.pb").write_bytes(b"x" * size)
    (directory / "1" / options.WARMUP_FILE).write_bytes(b"x" * 1000)
    return staging.StagedModel(directory / "1", "d", evidence.Warmup(1, 1))


@pytest.fixture
def look(serve: Serve, tmp_path: Path, log_of: Callable[[str], prediction_log_pb2.PredictionLog]) -> Look:
    """Compares a server with another one that answers in its own way, or is not booted in the way that is said."""

    def run(
        clock: Clock,
        model: Answer,
        other: Answer,
        signatures: Sequence[str] = "s",
        booted: evidence.Boot = LOADED,
        **bars: float,
    ) -> evidence.Baseline:
        job = options.Job(model="m", baseline="b", gates={"baseline": {"budget_s": 20, **bars}})
        requests = replay.OfLogs([log_of(signature) for signature in signatures])
        sandbox: Any = types.SimpleNamespace()
        launch: Any = types.SimpleNamespace(model_base_path="")

        class Booter(boot.Booter):
            """Boots the baseline, which is there already."""

            def beside(self, base_path: Path, name: str) -> boot.Booter:
                del base_path, name
                return self

            def boot_until_definite(  # type: ignore[override]
                self, requests: replay.Requests, *, replayed: bool, studies: Sequence[boot.Study]
            ) -> tuple[evidence.Boot, int]:
                assert not replayed
                with client.Client(serve(other, "other"), "m") as connection:
                    for study in studies if booted.failure is None else ():
                        study(boot.Serving(connection, sandbox, requests))
                return booted, 1

        booter = Booter(job.server, job.limits, launch, tmp_path, redaction.Redactor(), lambda _: None)
        models = staged(tmp_path / "model", 30), staged(tmp_path / "baseline", 20)
        study = baseline.Study(job, *models, booter, clock)
        with client.Client(serve(model, "model"), "m") as connection:
            study(boot.Serving(connection, sandbox, requests))
        assert study.found is not None
        return study.found

    return run


def test_both_get_the_same_requests_in_turn(look: Look) -> None:
    """Latencies by cell, sizes without warmup files, load time, and how the answers differ."""
    clock = Clock()
    found = look(clock, answering(clock, 0.003, 3.0), answering(clock, 0.002, 1.0), "st")
    assert [each.cell.signature for each in found.latencies] == ["s", "t"]
    for each in found.latencies:
        assert each.pairs == 200
        assert each.p50_s == pytest.approx(each.p90_s) == pytest.approx(0.003)
        assert each.baseline_p50_s == pytest.approx(each.baseline_p90_s) == pytest.approx(0.002)
    assert (found.size_bytes, found.baseline_size_bytes) == (30, 20)
    assert (found.requests, found.baseline_load_time_s, found.baseline_memory) == (2, 0.25, evidence.Memory(5))
    assert [(each.signature, each.largest, each.rows_differing) for each in found.compared] == [
        ("s", 2.0, 1),
        ("t", 2.0, 1),
    ]


def test_slow_models_are_timed_within_the_budget(look: Look) -> None:
    """Each cell has its share of it, and is sent at least once; few requests have no 90th percentile."""
    clock = Clock()
    found = look(clock, answering(clock, 1.0), answering(clock, 1.0), "st")
    assert clock.now_s < 30
    assert all(1 <= each.pairs < 20 and each.p90_s is None for each in found.latencies)


def test_what_the_baseline_cannot_answer_is_told(look: Look) -> None:
    """With its error; the other requests are compared all the same."""
    clock = Clock()
    good = answering(clock, 0.001)

    def lacking(request: Any, context: grpc.ServicerContext) -> Any:
        if request.model_spec.signature_name == "new":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "No such signature.")
        return good(request, context)

    found = look(clock, good, lacking, ["s", "new", "new"])
    assert [(each.signature, each.code, each.requests) for each in found.unanswered] == [("new", "INVALID_ARGUMENT", 2)]
    assert [each.cell.signature for each in found.latencies] == ["s"]
    assert [each.signature for each in found.compared] == ["s"]


def test_a_server_that_stops_to_answer_is_not_timed(look: Look) -> None:
    """After the first answers."""
    clock = Clock()
    good = answering(clock, 0.001)
    count = itertools.count()

    def ends(request: Any, context: grpc.ServicerContext) -> Any:
        if next(count):
            context.abort(grpc.StatusCode.INTERNAL, "No more.")
        return good(request, context)

    assert look(clock, good, ends).latencies == ()


@pytest.mark.parametrize("bars", [{"p50_ratio": 1.5}, {"p90_ratio": 1.5}])
@pytest.mark.parametrize(("slow", "expected"), [(205, 1.0), (10_000, 2.0)])
def test_a_cell_above_a_bar_is_timed_again(look: Look, bars: dict[str, float], slow: int, expected: float) -> None:
    """The best counts: what is slow for a while is the machine, and what is slow every time is the model."""
    clock = Clock()
    count = itertools.count()
    quick, slower = answering(clock, 0.001), answering(clock, 0.002)

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        return (slower if next(count) < slow else quick)(request, context)

    found = look(clock, answer, quick, **bars)
    (timed,) = found.latencies
    assert timed.p50_s / timed.baseline_p50_s == pytest.approx(expected)
    assert next(count) == 1 + 200 * (2 if slow == 205 else 3)


@pytest.mark.parametrize("failure", [evidence.Refused("NOT_FOUND", "x"), evidence.Crashed("SIGSEGV"), evidence.Late(1)])
def test_a_baseline_that_is_not_served_is_no_verdict(look: Look, failure: Any) -> None:
    """The model is not to blame for it."""
    clock = Clock()
    good = answering(clock, 0.001)
    with pytest.raises(errors.InputError) as caught:
        look(clock, good, good, booted=evidence.Boot(LOADED.server, failure))
    assert caught.value.code == "input/baseline"
