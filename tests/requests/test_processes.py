"""The client's own way to read many shards: its processes, and what becomes of them."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval import errors
from infraval.requests import harvest, making, processes, sampling, shards

MakePlan = Callable[..., making.Plan]


@pytest.fixture(autouse=True)
def three_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and two more, however small the shards, and however many cores there are."""
    monkeypatch.setattr(processes, "_START_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3)))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that are started."""
    seen: list[Any] = []
    worker = processes.subprocess.Popen

    def popen(*arguments: Any, **given: Any) -> Any:
        seen.append(worker(*arguments, **given))
        return seen[-1]

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    return seen


@pytest.fixture
def idle_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process leaves all shards to those that it starts."""
    monkeypatch.setattr(processes, "_taken", lambda _: iter(()))


def test_a_process_per_core_reads(taxi_examples: Path, make_plan: MakePlan, started: list[Any]) -> None:
    """All shards are read, by a process per core, of which this one is the first, and no other is left."""
    found = processes.collect(make_plan(), shards.find([str(taxi_examples / "Split-*" / "*")]))
    assert found.records_read == 15_000
    assert len(started) == 2
    assert all(process.returncode == 0 for process in started)


@pytest.mark.usefixtures("idle_client")
def test_each_shard_is_read_by_whoever_is_free(
    taxi_records: list[bytes], write_shards: Callable[..., str], make_plan: MakePlan
) -> None:
    """One process after another takes the next, and none is read twice, or by nobody."""
    paths = shards.find([write_shards(taxi_records, 50)])
    found = processes.collect(make_plan(), paths)
    expected = make_plan().empty_harvest()
    expected.read(paths)
    assert list(found.dump()) == list(expected.dump())
    assert found.records_read == len(taxi_records)


@pytest.mark.usefixtures("idle_client")
def test_names_in_any_encoding(
    taxi_records: list[bytes], write_shards: Callable[..., str], make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is not UTF-8 is the same for the other processes, whatever their locale is."""
    (path,) = shards.find([write_shards(taxi_records)])
    odd = os.fsdecode(os.fsencode(path) + "_\u00e9".encode() + b"_\xff.gz")
    Path(path).rename(odd)
    for locale in ("C.UTF-8", "POSIX"):
        monkeypatch.setenv("LC_ALL", locale)
        found = processes.collect(make_plan(), [odd, odd])
        assert found.problems == ()
        assert found.records_read == 2 * len(taxi_records)


def test_what_is_wrong_with_shards_comes_back(
    taxi_records: list[bytes], write_shards: Callable[..., str], make_plan: MakePlan
) -> None:
    """Of all of them, whoever read them."""
    paths = shards.find([write_shards(taxi_records, 4, suffix="")])
    for path in paths[1:3]:
        Path(path).write_bytes(b"x" * 100)
    found = processes.collect(make_plan(), paths)
    assert {code for code, _ in found.problems} == {"examples/corrupt"}
    assert [path for path in paths if any(path in text for _, text in found.problems)] == paths[1:3]
    assert found.records_read == len(taxi_records[::4]) + len(taxi_records[3::4])


def test_a_process_that_is_killed(
    taxi_examples: Path, make_plan: MakePlan, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how it ended, and where it writes; no result is made of what the others read."""
    taken = processes._taken  # noqa: SLF001 - to go on as always once one is killed

    def kill_first(task: Any) -> Any:
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].wait()
        return taken(task)

    monkeypatch.setattr(processes, "_taken", kill_first)
    with pytest.raises(errors.ExamplesError, match="code -9") as caught:
        processes.collect(make_plan(), shards.find([str(taxi_examples / "Split-*" / "*")]))
    assert tempfile.gettempdir() in str(caught.value)
    assert all(process.returncode is not None for process in started)


def test_a_process_is_not_worth_starting_for_little(
    taxi_examples: Path, make_plan: MakePlan, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does reading in this process give anything else."""
    paths = shards.find([str(taxi_examples / "Split-*" / "*")])
    by_many = processes.collect(make_plan(), paths)
    monkeypatch.setattr(processes, "_START_BYTES", 1 << 30)
    count = len(started)
    by_one = processes.collect(make_plan(), paths)
    assert len(started) == count > 0
    assert list(by_one.dump()) == list(by_many.dump())


@pytest.mark.usefixtures("idle_client")
def test_no_process_outlives_a_client_that_is_killed(
    tmp_path: Path,
    taxi_records: list[bytes],
    write_shards: Callable[..., str],
    make_plan: MakePlan,
    started: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends once nobody holds the other end of its standard input, whatever it waits for."""
    monkeypatch.setattr(processes.storage, "size", lambda _: 1)
    fifos = [tmp_path / "one", tmp_path / "two"]
    for fifo in fifos:
        os.mkfifo(fifo)  # to open it takes for ever

    def kill() -> None:
        while len(started) < 2:
            time.sleep(0.01)
        for worker in list(started):
            worker.stdin.close()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(errors.ExamplesError, match="code 1 "):
        processes.collect(make_plan(), [*shards.find([write_shards(taxi_records)]), *map(str, fifos)])
    killer.join()
    assert [worker.returncode for worker in started][:1] == [1]


def test_a_part_of_a_harvest_is_not_taken_for_the_whole(taxi_records: list[bytes]) -> None:
    """Even if it ends between two records."""
    sample = sampling.Sample(1, 0)
    sample.add(taxi_records[:5])
    dumped = list(harvest.Harvest(sample, 5).dump())
    found = harvest.Harvest(sampling.Sample(1, 0))
    found.add([dumped])
    assert list(found.dump()) == dumped
    for end in range(len(dumped)):
        with pytest.raises(ValueError, match="harvest"):
            harvest.Harvest(sampling.Sample(1, 0)).add([dumped[:end]])
