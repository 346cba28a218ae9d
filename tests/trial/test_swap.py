"""The swap of two models on a server in this process that looks for versions in a directory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from infraval import errors, evidence, gates, options, redaction, verdict
from infraval.gates.swap import Swap
from infraval.sandbox import base
from infraval.staging import model as staging
from infraval.trial import boot, client, replay, swap

LogOf = Callable[[str], prediction_log_pb2.PredictionLog]
Swapped = Callable[..., "evidence.Swap | None"]
MIB = 1 << 20


class Server(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """A sandbox with a server in it that loads version 2 as soon as it is there, in the way that it is told."""

    identity = evidence.Server("tensorflow_model_server", "1", "process", embedded=False)

    def __init__(self, target: str, base_path: Path, behaviour: str) -> None:
        self.target = target
        self._base_path = base_path
        self._behaviour = behaviour
        self._lock = threading.Lock()
        self._loaded = False

    def poll(self) -> base.ServerExit | None:
        """It lives."""
        return None

    def log(self) -> str:
        """Nothing."""
        return ""

    def memory(self) -> evidence.Memory | None:
        """A hundred MiB for each model."""
        return evidence.Memory((1 + self._loaded) * 100 * MIB)

    def _load(self) -> str:
        """Loads what is there; returns the state of version 2, empty without one."""
        with self._lock:
            if not (self._base_path / "2").exists():
                return ""
            if self._behaviour == "blocks" and not self._loaded:
                threading.Event().wait(1)
            self._loaded = True
        return {"refuses": "END", "never": "LOADING"}.get(self._behaviour, "AVAILABLE")

    def GetModelStatus(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Version 1, and version 2 if there is one."""
        response = get_model_status_pb2.GetModelStatusResponse()
        state = self._load()
        replaced = state == "AVAILABLE" and self._behaviour != "keeps both"
        response.model_version_status.add(version=1, state="END" if replaced else "AVAILABLE")
        if state:
            added = response.model_version_status.add(version=2, state=state)
            if state == "END":
                added.status.error_code, added.status.error_message = 5, "No graph"
        return response

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the same
        """Answers the signature that there is."""
        state = self._load()
        fails = self._behaviour == "fails" and state and not request.model_spec.HasField("version")
        if fails or request.model_spec.signature_name == "unknown":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        return predict_pb2.PredictResponse()


@pytest.fixture
def swapped(private_directory: Path, tmp_path: Path, log_of: LogOf) -> Iterator[Swapped]:
    """Swaps two models on a server that behaves as named."""
    started = []

    def run(behaviour: str, signatures: str = "ab", limit_s: float = 30.0, **asked: Any) -> evidence.Swap | None:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "saved_model.pb").write_bytes(b"x")
        model = staging.StagedModel(tmp_path / "model", "d", evidence.Warmup())
        base_path = tmp_path / "swapped"
        hidden = staging.to_swap(model, model, base_path, 1)
        assert [path.name for path in base_path.iterdir() if path.name.isdigit()] == ["1"]
        target = f"unix:{private_directory / 's'}"
        served: Any = Server(target, base_path, behaviour)
        server = grpc.server(futures.ThreadPoolExecutor(8))
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(served, server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(served, server)
        server.add_insecure_port(target)
        server.start()
        started.append(server)
        launch = base.Launch("m", base_path)
        tell: Callable[[str], None] = lambda _: None  # noqa: E731 - shorter than a function
        limits = options.Limits(max_loading_time_s=limit_s)
        booter = boot.Booter(options.ProcessServer(), limits, launch, tmp_path, redaction.Redactor(), tell)
        study = swap.Study(options.SwapGate(**{"rate": 100, "before_s": 0.5} | asked), booter, hidden, 2)
        logs = [log_of(name) for name in ([signatures] if signatures == "unknown" else signatures)]
        with client.Client(target, "m") as connection:
            study(boot.Serving(connection, served, replay.OfLogs(logs)))
        assert hidden.exists(), "another try needs the model out of sight"
        return study.found

    yield run
    for server in started:
        server.stop(None).wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than necessary."""
    monkeypatch.setattr(swap, "_AFTER_S", 0.3)
    monkeypatch.setattr(swap, "_UNLOAD_TIMEOUT_S", 0.3)


def test_a_good_swap_is_seen_to_its_end(swapped: Swapped) -> None:
    """Load before and during, time, memory, and that the baseline is gone."""
    found = swapped("good")
    assert found is not None
    assert (found.failed, found.failed_before, found.refused, found.death) == (0, 0, None, None)
    assert found.before.requests >= 20
    assert found.during.requests >= 20
    assert found.answered_s is not None
    assert found.unloaded_s is not None
    assert found.answered_s + found.unloaded_s <= found.waited_s < 30
    assert (found.before_bytes, found.peak_bytes) == (100 * MIB, 200 * MIB)
    assert found.cells_left_out == 0


def test_a_server_that_blocks_while_it_loads_shows_in_the_latencies(swapped: Swapped) -> None:
    """Each request that was due meanwhile counts, not only the first."""
    found = swapped("blocks")
    assert found is not None
    assert found.failed == 0
    assert found.during.p99_s > 0.5
    assert found.during.p90_s > 0.1
    assert found.answered_s is not None
    assert found.answered_s > 0.9
    shown = evidence.Evidence(evidence.Boot(Server.identity), 1, 2, evidence.Warmup(), swap=found)
    finding = gates.judge(shown, [Swap(options.SwapGate(p99_ms=100))]).findings[0]
    assert (finding.status, finding.unit, finding.bar) == (verdict.Status.FAILED, "ms", 100)
    assert finding.figure == pytest.approx(found.during.p99_s * 1000)


def test_requests_that_fail_are_counted_until_the_end(swapped: Swapped) -> None:
    """The first one does not end the load; its message is kept."""
    found = swapped("fails")
    assert found is not None
    assert found.failed_before == 0
    assert found.errors["NOT_FOUND"] >= 10
    assert "Servable not found" in found.message


def test_a_model_that_is_refused_says_why(swapped: Swapped) -> None:
    """It is not waited for any longer."""
    found = swapped("refuses")
    assert found is not None
    assert found.refused == evidence.Refused("NOT_FOUND", "No graph")
    assert (found.answered_s, found.unloaded_s) == (None, None)
    assert found.waited_s < 30


def test_a_model_that_is_never_available_is_waited_for_as_long_as_it_may_load(swapped: Swapped) -> None:
    """And then has not answered."""
    found = swapped("never", limit_s=0.3)
    assert found is not None
    assert (found.answered_s, found.unloaded_s, found.refused) == (None, None, None)
    assert found.waited_s >= 0.3


def test_a_baseline_that_stays_is_not_unloaded(swapped: Swapped) -> None:
    """The model answers nevertheless."""
    found = swapped("keeps both")
    assert found is not None
    assert found.answered_s is not None
    assert found.unloaded_s is None


def test_a_baseline_that_answers_nothing_is_bad_input(swapped: Swapped) -> None:
    """The model is not to blame for it."""
    with pytest.raises(errors.InputError) as caught:
        swapped("good", signatures="unknown")
    assert caught.value.code == "input/baseline"


@given(st.lists(st.floats(0, 100), min_size=2, max_size=300), st.floats(101, 1000))
def test_one_slow_request_is_never_the_99th_percentile(seconds: list[float], slow: float) -> None:
    """It is the slowest; two of a hundred are."""
    alone, twice = swap.latencies([*seconds, slow]), swap.latencies([*seconds[:98], slow, slow])
    assert alone.p99_s <= 100 < alone.max_s == slow
    assert twice.p99_s == slow
    assert alone.p50_s <= alone.p90_s <= alone.max_s
