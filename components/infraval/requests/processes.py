"""The client's own way to read many shards: in a process per core, without Beam."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, cast

from infraval import errors, signals, storage
from infraval.requests import harvest, sampling, tfrecords

if TYPE_CHECKING:
    from infraval.requests import making

_START_BYTES = 24 << 20
"""Starting a process takes as long as reading so much."""

_ASKED_SIZES = 8
"""Of so many files elsewhere the size is asked, each of which takes a request; their mean stands for that of others."""

_NUMBER = struct.Struct("<Q")

_SCRIPT = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {__name__} as here; here.work()"


class _Task(NamedTuple):
    """What a process gets to know.

    Attributes:
      needed: as in `making.Plan`, as are the next two.
      paths: of all shards.
      numbers: descriptor of `_numbers`.
    """

    needed: int
    seed: int
    records_per_shard: int | None
    paths: Sequence[str]
    numbers: int

    def dump(self) -> bytes:
        """A line for `load`, where names may be encoded in another way."""
        return json.dumps([*self[:3], [os.fsencode(path).hex() for path in self.paths], self.numbers]).encode() + b"\n"

    @classmethod
    def load(cls, line: bytes) -> _Task:
        """The task of which `dump` gave this line."""
        needed, seed, records_per_shard, names, numbers = json.loads(line)
        return cls(needed, seed, records_per_shard, [os.fsdecode(bytes.fromhex(name)) for name in names], numbers)


def collect(plan: making.Plan, paths: Sequence[str]) -> harvest.Harvest:
    """Reads all shards, as many at a time as there are cores if that is worth it: one here, the rest in processes."""
    sizes = _sizes(paths)
    largest_first = sorted(paths, key=lambda path: -sizes[path])
    readers = min(len(paths), len(os.sched_getaffinity(0)), 1 + sum(sizes[path] for path in paths) // _START_BYTES)
    whole = plan.empty_harvest()
    with contextlib.ExitStack() as on_leaving:
        numbers = on_leaving.enter_context(_numbers(len(paths)))
        task = _Task(plan.needed, plan.seed, plan.records_per_shard, largest_first, numbers.fileno())
        workers = [on_leaving.enter_context(_worker(task)) for _ in range(readers - 1)]
        whole.read(_taken(task), task.records_per_shard)
        for worker, result in workers:
            _add_result(whole, worker, result)
    return whole


def _numbers(count: int) -> BinaryIO:
    """A file with the numbers of the shards, whose descriptor all readers share, and with it the place in the file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(b"".join(map(_NUMBER.pack, range(count))))
    file.seek(0)
    return cast("BinaryIO", file)


def _taken(task: _Task) -> Iterator[str]:
    """The shards that this process reads: the next one that no other has taken, until all are."""
    while number := os.read(task.numbers, _NUMBER.size):
        yield task.paths[_NUMBER.unpack(number)[0]]


def _sizes(paths: Sequence[str]) -> dict[str, int]:
    """In bytes; 0 for a file that cannot be read, of which whoever reads it says so."""
    elsewhere = [path for path in paths if storage.scheme(path)]
    asked = [storage.size(path) for path in elsewhere[:: -(-len(elsewhere) // _ASKED_SIZES) or 1]]
    mean = sum(asked) // max(1, len(asked))
    return {path: mean if storage.scheme(path) else storage.size(path) for path in paths}


@contextlib.contextmanager
def _worker(task: _Task) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """Starts a process, which ends with the context; and the file for its harvest."""
    with tempfile.TemporaryFile() as result:
        with signals.deferred():
            process = subprocess.Popen(
                [sys.executable, "-I", "-W", "ignore", "-c", _SCRIPT, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=result,
                pass_fds=[task.numbers],
                start_new_session=True,  # a Ctrl-C is for the client, which ends it
            )
        stdin = cast("IO[bytes]", process.stdin)
        try:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(task.dump())
                stdin.flush()
            yield process, cast("BinaryIO", result)
        finally:
            with signals.deferred():
                process.kill()
                process.wait()
                with contextlib.suppress(BrokenPipeError):
                    stdin.close()


def _add_result(whole: harvest.Harvest, worker: subprocess.Popen[bytes], result: BinaryIO) -> None:
    code = worker.wait()
    try:
        result.seek(0)
        whole.add(tfrecords.read_from(result))
    except (tfrecords.CorruptError, ValueError):
        raise errors.ExamplesError(
            f"A process that read some of the examples ended with the code {code} before it was done. If it was killed "
            "for lack of memory, use fewer examples (--num-examples, requests.num_examples). If "
            f"{tempfile.gettempdir()}, where its result goes, is full, free some space, or set TMPDIR to a writable "
            "directory on a larger disk.",
        ) from None


def work() -> None:
    """What a process does: reads a task from standard input, and writes its harvest to standard output."""
    task = _Task.load(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_client, daemon=True).start()
    logging.getLogger("apache_beam").setLevel(logging.ERROR)  # it warns of every cloud whose packages are incomplete
    result = harvest.Harvest(sampling.Sample(task.needed, task.seed))
    result.read(_taken(task), task.records_per_shard)
    tfrecords.write_to(sys.stdout.buffer, result.dump())
    sys.stdout.flush()
    os._exit(0)  # Python would wait for the thread


def _end_with_the_client() -> None:
    os.read(sys.stdin.fileno(), 1)  # the client keeps its end open while it lives
    os._exit(1)
