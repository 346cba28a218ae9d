"""When a boot did what: phases and samples of memory on one clock."""

from __future__ import annotations

import itertools
import threading

import pytest

from infraval import evidence
from infraval.trial import timeline


def test_phases_follow_each_other_from_the_start() -> None:
    """The load is the first; its end is the warmup, of which the server says how long it took."""
    now_s = 100.0
    recorder = timeline.Recorder(100.0, lambda: now_s)
    now_s = 103.0
    assert recorder.begin("requests") == pytest.approx(3.0)
    now_s = 104.0
    assert recorder.found(warmup_s=0.5).phases == (
        evidence.Phase("load", 0.0, 2.5),
        evidence.Phase("warmup", 2.5, 0.5),
        evidence.Phase("requests", 3.0, 1.0),
    )


def test_a_warmup_is_no_longer_than_the_load() -> None:
    """A model can have printed what the server seems to say."""
    now_s = 1.0
    load, warmup = timeline.Recorder(0.0, lambda: now_s).found(warmup_s=1e9).phases
    assert (load, warmup) == (evidence.Phase("load", 0.0, 0.0), evidence.Phase("warmup", 0.0, 1.0))


def test_memory_is_sampled_in_the_background_and_when_a_phase_begins() -> None:
    """But not by itself while first requests are timed; after the watch it is unknown."""
    numbers = itertools.count(1)
    several = threading.Event()

    def read() -> evidence.Memory | None:
        number = next(numbers)
        if number == 4:
            several.set()
        return None if number == 2 else evidence.Memory(number, number)

    recorder = timeline.Recorder()
    with recorder.watching(read):
        assert several.wait(60)
        recorder.begin("first requests")
    found = recorder.found().memory
    assert recorder.sample() is None
    assert [each.resident_bytes for each in found[:3]] == [1, 3, 4]
    times = [each.time_s for each in found]
    assert times == sorted(times)


def test_of_many_samples_some_are_kept() -> None:
    """From the whole time."""
    numbers = itertools.count()
    recorder = timeline.Recorder(0.0, lambda: 0.0)
    with recorder.watching(lambda: evidence.Memory(next(numbers))):
        for _ in range(5 * timeline.MOST_SAMPLES):
            recorder.sample()
    kept = [each.resident_bytes for each in recorder.found().memory]
    assert timeline.MOST_SAMPLES / 2 <= len(kept) <= timeline.MOST_SAMPLES
    assert kept[0] == 0
    assert kept[-1] > 4.5 * timeline.MOST_SAMPLES
