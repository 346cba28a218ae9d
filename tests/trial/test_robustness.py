"""Probing with malformed requests, on servers that die, hang or are killed on some of them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from tensorflow_serving.apis import predict_pb2

from infraval import evidence, options, redaction
from infraval.requests import tensors
from infraval.sandbox import base
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import boot, client, replay, robustness

CELL = options.Cell("s", options.Method.PREDICT, 1)
ABORTED = base.ServerExit(code=None, signal=signal.SIGABRT)
KILLED = base.ServerExit(code=None, signal=signal.SIGKILL)

Fate = Callable[[tuple[int, ...]], base.ServerExit | str]


class Server:
    """A sandbox and a connection at once: what happens to it depends on the shape of the input `x`."""

    identity = evidence.Server("tensorflow_model_server", "1", "process", embedded=False)

    def __init__(self, fate: Fate, shapes: list[tuple[int, ...]]) -> None:
        self._fate = fate
        self._shapes = shapes
        self._ended: base.ServerExit | None = None

    def poll(self) -> base.ServerExit | None:
        """How it ended."""
        return self._ended

    def log(self) -> str:
        """Its last words."""
        return "I serving\nF Check failed: index >= 0\n"

    def available(self) -> bool:
        """Whether it lives."""
        return self._ended is None

    def request_of(self, log: prediction_log_pb2.PredictionLog) -> Any:
        """The request of a log."""
        return log.predict_log.request

    def call(self, prepared: client.Prepared, _timeout_s: float) -> tuple[str, str]:
        """Answers, or does not."""
        content = prepared.content
        assert prepared.method.endswith("/Predict")
        shape = tuple(dim.size for dim in predict_pb2.PredictRequest.FromString(content).inputs["x"].tensor_shape.dim)
        self._shapes.append(shape)
        fate = self._fate(shape)
        if isinstance(fate, base.ServerExit):
            self._ended = fate
            return "UNAVAILABLE", "Socket closed"
        return fate, ""


class Booter:
    """Boots such servers."""

    limits = options.Limits(request_timeout_s=1)
    redactor = redaction.Redactor()

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self.boots = 0
        self.shapes: list[tuple[int, ...]] = []

    def progress(self, _text: str) -> None:
        """Nobody looks."""

    def check_aborted(self) -> None:
        """Nobody aborts."""

    def boot_until_definite(
        self, requests: Any, *, replayed: bool, studies: list[boot.Study]
    ) -> tuple[evidence.Boot, int]:
        """One boot, without the requests."""
        assert not replayed
        self.boots += 1
        server: Any = Server(self._fate, self.shapes)
        for study in studies:
            study(boot.Serving(server, server, requests))
        return evidence.Boot(Server.identity), 1


@pytest.fixture
def requests() -> replay.Requests:
    """One good request, x: float[1, 2]."""
    log = prediction_log_pb2.PredictionLog()
    tensor = tensors.empty("float", [1, 2])
    tensor.float_val.extend([1.5, 2.5])
    log.predict_log.request.inputs["x"].CopyFrom(tensor)
    log.predict_log.request.model_spec.signature_name = CELL.signature
    return replay.OfLogs([log])


def probe(fate: Fate, requests: Any, **asked: Any) -> tuple[evidence.Robustness, Booter]:
    """What is found, and the booter."""
    booter: Any = Booter(fate)
    return robustness.probe(options.RobustGate(**asked), requests, booter), booter


def test_a_server_that_answers_is_booted_once(requests: Any) -> None:
    """Errors are answers; nothing is left."""
    found, booter = probe(lambda shape: "INTERNAL" if len(shape) == 1 else "OK", requests)
    assert (found.killers, found.left, found.lost, found.boots, booter.boots) == ((), 0, (), 1, 1)
    assert found.sent == len(booter.shapes) > 20


def test_each_kind_of_killer_is_found_once_and_the_rest_is_still_sent(requests: Any) -> None:
    """Scalars and empty batches kill: two deaths, three boots; the smallest of a kind is reported, no other is sent."""
    everything = probe(lambda _: "OK", requests)[0].sent
    found, booter = probe(lambda shape: ABORTED if len(shape) < 2 or shape[0] == 0 else "OK", requests)
    assert [(killer.what, killer.input, killer.cause) for killer in found.killers if killer.what != "no inputs"] == [
        ("an empty batch", "", "SIGABRT"),
        ("too few dimensions", "x", "SIGABRT"),
    ]
    assert found.killers[-1].request == '{"signature_name":"s","inputs":{"x":0}}'
    assert found.killers[-1].said == "F Check failed: index >= 0"
    assert (found.left, found.boots) == (0, 4)
    assert found.sent == everything - booter.shapes.count((1,)) - 1


def test_no_boot_is_used_up_if_nothing_is_left(requests: Any) -> None:
    """A death at the last query."""
    sent = probe(lambda _: "OK", requests)[0].sent
    count = 0

    def fate(_: object) -> base.ServerExit | str:
        nonlocal count
        count += 1
        return ABORTED if count == sent else "OK"

    found, booter = probe(fate, requests)
    assert (len(found.killers), found.left, booter.boots) == (1, 0, 1)


def test_boots_are_limited(requests: Any) -> None:
    """What is left is counted, without those of known kinds."""
    found, booter = probe(lambda _: ABORTED, requests, max_boots=2)
    assert (booter.boots, found.sent, len(found.killers)) == (2, 2, 2)
    assert found.left > 10


def test_time_is_limited(requests: Any) -> None:
    """By a budget, without the boots; what is left is counted."""
    booter: Any = Booter(lambda _: "OK")
    ticks = iter(range(10_000))
    found = robustness.probe(options.RobustGate(budget_s=9), requests, booter, clock=lambda: float(next(ticks)))
    assert 0 < found.sent < 10
    assert found.left > 10
    assert found.boots == 1


def test_what_is_not_answered_in_time_is_a_killer_without_a_cause(requests: Any) -> None:
    """The next query gets a new server: this one may be stuck."""
    found, _ = probe(lambda shape: "DEADLINE_EXCEEDED" if shape[:1] == (0,) else "OK", requests)
    assert [(killer.what, killer.cause, killer.said) for killer in found.killers] == [("an empty batch", "", "")]
    assert found.boots == 2


def test_a_server_that_is_killed_from_outside_is_not_the_models_doing(requests: Any) -> None:
    """It is said, and the rest is sent."""
    found, _ = probe(lambda shape: KILLED if shape[:1] == (1000,) else "OK", requests)
    assert found.killers == ()
    assert len(found.lost) == 1
    assert "a huge batch" in found.lost[0]
    assert found.left == 0


def test_one_request_of_each_signature_and_method_is_enough(requests: Any) -> None:
    """That of the smallest batch size."""
    _, small = requests[0]
    large, other = (prediction_log_pb2.PredictionLog.FromString(small.SerializeToString()) for _ in range(2))
    large.predict_log.request.inputs["x"].tensor_shape.dim[0].size = 8
    other.predict_log.request.model_spec.signature_name = "t"
    alone = probe(lambda _: "OK", requests)[0].sent
    assert probe(lambda _: "OK", replay.OfLogs([large, small, large]))[0].sent == alone
    assert probe(lambda _: "OK", replay.OfLogs([small, other]))[0].sent == 2 * alone
