"""A worker is killed while it reads: the same bytes if the runner tries again, else a clear error; nothing is left."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import pytest

from infraval import errors
from infraval.requests import making, shards

Prepare = Callable[..., making.Requests]
Eventually = Callable[[Callable[[], object]], bool]


class StalledShard:
    """A shard whose reader waits for its content: a FIFO."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._content = content
        os.mkfifo(path)

    def _opened_if_read(self) -> int | None:
        """The descriptor of the writing end; None if nobody reads."""
        try:
            return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return None

    def _readers(self) -> list[int]:
        found = []
        for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):  # it has just been closed
                if descriptor.readlink() == self.path:
                    found.append(int(descriptor.parts[2]))
        return [pid for pid in found if pid != os.getpid()]

    def kill_reader(self, eventually: Eventually) -> None:
        """Kills whoever reads it, while it waits."""
        ends: list[int] = []

        def is_read() -> bool:
            end = self._opened_if_read()
            ends.extend(() if end is None else (end,))
            return bool(ends)

        assert eventually(is_read)
        for pid in self._readers():
            os.kill(pid, signal.SIGKILL)
        os.close(ends[0])
        assert eventually(lambda: not self._readers())

    def feed_readers(self, eventually: Eventually, is_enough: threading.Event) -> int:
        """Gives the content to each of those that come until it is enough; returns how many there were."""
        fed = 0
        while not is_enough.wait(0.01):
            end = self._opened_if_read()
            if end is None:
                continue
            os.set_blocking(end, True)
            with open(end, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(self._content)
            fed += 1
            assert eventually(lambda: not self._readers())
        return fed


@pytest.fixture
def paths(taxi_examples: Path) -> list[str]:
    """Twelve shards."""
    return shards.find([str(taxi_examples / "Split-eval" / "*")])


@pytest.fixture
def stalled(tmp_path: Path, paths: list[str]) -> StalledShard:
    """Stands for the last of them."""
    return StalledShard(tmp_path / "stalled.gz", Path(paths[-1]).read_bytes())


@pytest.mark.slow
@pytest.mark.usefixtures("no_dask_client_left")
def test_dask_tries_again(
    dask: tuple[str, ...], paths: list[str], stalled: StalledShard, prepare: Prepare, eventually: Eventually
) -> None:
    """On the other worker, all that the lost one had read too; some of it twice if Dask wants it so."""
    expected = prepare(paths)
    is_done = threading.Event()

    def kill_then_feed() -> int:
        stalled.kill_reader(eventually)
        return stalled.feed_readers(eventually, is_done)

    with futures.ThreadPoolExecutor() as aside:
        killing = aside.submit(kill_then_feed)
        try:
            found = prepare([*paths[:-1], str(stalled.path)], dask)
        finally:
            is_done.set()
        assert killing.result() >= 1
    assert found.records_read == expected.records_read
    assert found.path.read_bytes() == expected.path.read_bytes()
    assert [path.name for path in found.path.parent.iterdir()] == ["requests"]


@pytest.mark.slow
def test_a_runner_that_does_not_try_again(
    portable: tuple[str, ...],
    tmp_path: Path,
    paths: list[str],
    stalled: StalledShard,
    prepare: Prepare,
    eventually: Eventually,
) -> None:
    """Says that its job has failed; there is no result, and nothing is left."""
    with futures.ThreadPoolExecutor() as aside:
        killing = aside.submit(stalled.kill_reader, eventually)
        with pytest.raises(errors.ExamplesError) as caught:
            prepare([*paths[:-1], str(stalled.path)], portable)
        killing.result()
    assert caught.value.code == "examples/beam-failed"
    assert list((tmp_path / "run_0").iterdir()) == []
