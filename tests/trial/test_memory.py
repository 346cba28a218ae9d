"""A server's memory is watched while it answers: slope and error, settling, one-time growth, budget and death."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, evidence, options, redaction
from infraval.sandbox import base
from infraval.trial import boot, memory, replay

LogOf = Callable[[str], prediction_log_pb2.PredictionLog]
Studied = Callable[..., evidence.MemoryUse | None]
MIB = 1 << 20
START = 100 * MIB


@given(
    st.sets(st.integers(0, 10**6), min_size=10, max_size=100),
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**11),
)
def test_a_line_has_its_own_slope_and_no_error(requests: set[int], slope: int, start: int) -> None:
    """In bytes per 1000 requests, whatever the distances between the samples."""
    found = memory.slope_per_1000([(sent, start + slope * sent) for sent in sorted(requests)])
    assert found is not None
    assert found[0] == pytest.approx(slope * 1000, abs=1.0)
    assert found[1] == pytest.approx(0, abs=1.0)


def _noisy(seed: int, count: int, slope: float, noise: float) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    samples = [(sent, int(1e9 + slope * sent + rng.normal(0, noise))) for sent in range(0, count * 20, 20)]
    found = memory.slope_per_1000(samples)
    assert found is not None
    return found


@given(st.integers(0, 2**32), st.integers(40, 200), st.floats(-1e6, 1e6), st.floats(1e3, 1e8))
def test_the_error_covers_the_slope_of_a_noisy_line(seed: int, count: int, slope: float, noise: float) -> None:
    """Seven errors are never exceeded in practice."""
    found, error = _noisy(seed, count, slope, noise)
    assert abs(found - slope * 1000) < 7 * error


def test_two_errors_are_an_interval_of_95_percent() -> None:
    """Neither too narrow nor too wide."""
    found = [_noisy(seed, 50, 1000.0, 1e6) for seed in range(400)]
    covered = sum(abs(slope - 1e6) < 2 * error for slope, error in found)
    assert 0.91 < covered / len(found) < 0.99


def test_few_samples_have_no_slope() -> None:
    """Nine of them."""
    assert memory.slope_per_1000([(sent, sent) for sent in range(9)]) is None
    assert memory.slope_per_1000([]) is None


class Server:
    """A sandbox and a connection at once, which takes as much memory as `size` says after so many requests."""

    identity = evidence.Server("tensorflow_model_server", "1", "process", embedded=False)

    def __init__(self, size: Callable[[int], int | None], fails_at: int, fate: base.ServerExit | None) -> None:
        self._size = size
        self._fails_at = fails_at
        self._fate = fate
        self.answered = 0
        self.asked = 0

    @property
    def _failed(self) -> bool:
        return self.answered + 1 >= self._fails_at

    def poll(self) -> base.ServerExit | None:
        """How it ended."""
        return self._fate if self._failed else None

    def log(self) -> str:
        """Nothing."""
        return ""

    def available(self) -> bool:
        """Whether it lives."""
        return self.poll() is None

    def memory(self) -> evidence.Memory | None:
        """Its resident pages include as many bytes of files, of which each request reads some."""
        self.asked += 1
        size = self._size(self.answered)
        return None if size is None else evidence.Memory(size + self.answered * MIB, size, size + 2000 * MIB)

    def send(self, _log: Any, _timeout_s: float) -> tuple[str, str]:
        """Answers, until it does not."""
        if self._failed:
            return "UNAVAILABLE", "Socket closed"
        self.answered += 1
        return evidence.OK, ""


@pytest.fixture
def study(tmp_path: Path, log_of: LogOf) -> Studied:
    """Studies a server of which each request takes that many seconds."""

    def run(
        size: Callable[[int], int | None],
        seconds: float = 0.0,
        fails_at: int = 10**9,
        fate: base.ServerExit | None = None,
        **asked: Any,
    ) -> evidence.MemoryUse | None:
        server: Any = Server(size, fails_at, fate)
        launch: Any = None
        tell: Callable[[str], None] = lambda _: None  # noqa: E731 - shorter than a function
        booter = boot.Booter(options.ProcessServer(), options.Limits(), launch, tmp_path, redaction.Redactor(), tell)
        studied = memory.Study(options.MemoryGate(**asked), booter, lambda: server.answered * seconds)
        requests = replay.OfLogs([log_of(name) for name in "ab"])
        studied(boot.Serving(server, server, requests))
        assert server.asked <= 250
        return studied.found

    return run


def test_a_leak_is_found_at_its_size(study: Studied) -> None:
    """It is measured twice, because it is above the bar; files in memory do not count."""
    found = study(lambda sent: START + sent * MIB)
    assert found is not None
    assert found.growth_bytes_per_1000 == pytest.approx(1000 * MIB)
    assert found.growth_error == pytest.approx(0, abs=1)
    assert (found.requests, found.failure) == (2000, None)
    assert found.after_requests.anonymous_bytes == START
    assert found.at_end.anonymous_bytes == START + 2000 * MIB
    assert found.peak_bytes == START + 4000 * MIB


@pytest.mark.parametrize(
    "size",
    [
        lambda _: START,
        lambda sent: START + min(sent, 190) * MIB,  # while allocators and caches fill
        lambda sent: START + 500 * MIB * (sent > 600),  # in one step: measured again, it does not grow
    ],
)
def test_memory_that_stops_to_grow_is_no_leak(size: Callable[[int], int], study: Studied) -> None:
    """Whether it grows at first, or once."""
    found = study(size)
    assert found is not None
    assert found.growth_bytes_per_1000 == pytest.approx(0, abs=1)


def test_a_slope_without_a_bar_is_measured_once(study: Studied) -> None:
    """It is only told."""
    found = study(lambda sent: START + sent * MIB, growth_bytes_per_1000=None, requests=200)
    assert found is not None
    assert (found.requests, found.growth_bytes_per_1000) == (200, pytest.approx(1000 * MIB))


@pytest.mark.parametrize(("seconds", "requests"), [(1.0, 60), (0.1, 600)])
def test_the_budget_ends_it_with_enough_samples(seconds: float, requests: int, study: Studied) -> None:
    """Of a slow server, time says when to take the next one."""
    found = study(lambda sent: START + sent * MIB, seconds=seconds, budget_s=60.0)
    assert found is not None
    assert (found.requests, found.growth_bytes_per_1000) == (requests, pytest.approx(1000 * MIB))


def test_a_budget_for_a_few_requests_is_too_small_for_a_slope(study: Studied) -> None:
    """But there is a peak."""
    found = study(lambda sent: START + sent * MIB, seconds=20.0, budget_s=60.0)
    assert found is not None
    assert (found.requests, found.growth_bytes_per_1000, found.growth_error) == (3, None, None)
    assert found.peak_bytes == START + 2003 * MIB


@pytest.mark.parametrize(
    ("fate", "failure"),
    [(None, "UNAVAILABLE"), (base.ServerExit(None, signal.SIGSEGV), "SIGSEGV")],
)
def test_a_request_that_fails_ends_it(fate: base.ServerExit | None, failure: str, study: Studied) -> None:
    """With its code, or with what the server died of."""
    found = study(lambda _: START, fails_at=500, fate=fate)
    assert found is not None
    assert found.failure == failure
    assert 480 <= found.requests < 500


def test_a_server_that_was_killed_is_lost(study: Studied) -> None:
    """The model is not known to be the cause."""
    with pytest.raises(errors.ServerLostError):
        study(lambda _: START, fails_at=500, fate=base.ServerExit(None, signal.SIGKILL))


def test_unknown_memory_is_not_watched(study: Studied) -> None:
    """Nothing is sent for it."""
    assert study(lambda _: None) is None
