"""The client's own way to read many shards: in a process per core, without Beam."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from infraval import errors, signals, storage
from infraval.requests import harvest, sampling, tfrecords

if TYPE_CHECKING:
    from infraval.requests import making

_START_BYTES = 24 << 20
"""Starting a process takes as long as reading so much."""

_ASKED_SIZES = 8
"""Of so many files elsewhere the size is asked, each of which takes a request; their mean stands for that of others."""

_SCRIPT = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {__name__} as here; here.work()"


def collect(plan: making.Plan, paths: Sequence[str]) -> harvest.Harvest:
    """Reads all shards, as many at a time as there are cores if that is worth it: some here, the rest in processes."""
    own, *groups = _groups(paths, len(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as on_leaving:
        started = [on_leaving.enter_context(_worker(plan, group)) for group in groups]
        whole = harvest.of_shards(own, plan.empty_sample(), plan.records_per_shard)
        for worker, group in zip(started, groups, strict=True):
            whole.merge(_result(plan, worker, group))
    return whole


def _groups(paths: Sequence[str], cores: int) -> list[list[str]]:
    """Deals shards out, the largest first, each to whoever is done first; what the first group has is read here."""
    sizes = _sizes(paths)
    groups: list[list[str]] = [[] for _ in range(cores)]
    totals = [0] + [_START_BYTES] * (cores - 1)
    for path in sorted(paths, key=lambda path: -sizes[path]):
        least = min(range(cores), key=lambda group: totals[group] + sizes[path])
        groups[least].append(path)
        totals[least] += sizes[path]
    return [groups[0], *filter(None, groups[1:])]


def _sizes(paths: Sequence[str]) -> dict[str, int]:
    """In bytes; 0 for a file that cannot be read, of which whoever reads it says so."""
    elsewhere = [path for path in paths if storage.scheme(path)]
    asked = [storage.size(path) for path in elsewhere[:: -(-len(elsewhere) // _ASKED_SIZES) or 1]]
    mean = sum(asked) // max(1, len(asked))
    return {path: mean if storage.scheme(path) else storage.size(path) for path in paths}


@contextlib.contextmanager
def _worker(plan: making.Plan, paths: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    task = {
        "needed": plan.needed,
        "seed": plan.seed,
        "records_per_shard": plan.records_per_shard,
        "paths": [os.fsencode(path).hex() for path in paths],
    }
    with signals.deferred():
        process = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", "-c", _SCRIPT, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the client, which ends it
        )
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    try:
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(task).encode() + b"\n")
            stdin.flush()
        yield process
    finally:
        with signals.deferred():
            process.kill()
            process.wait()
            stdout.close()
            with contextlib.suppress(BrokenPipeError):
                stdin.close()


def _result(plan: making.Plan, worker: subprocess.Popen[bytes], paths: Sequence[str]) -> harvest.Harvest:
    stdout = cast("BinaryIO", worker.stdout)
    try:
        return harvest.load_from(stdout, plan.empty_sample())
    except (tfrecords.CorruptError, ValueError):
        raise errors.ExamplesError(
            f"A process that read {len(paths)} of the example files ended with the code {worker.wait()} before it was "
            f"done (the first file: {paths[0]}). If it was killed for lack of memory, use fewer examples "
            "(--num-examples, requests.num_examples).",
        ) from None


def work() -> None:
    """What a process does: reads a task from standard input, and writes its harvest to standard output."""
    task = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_client, daemon=True).start()
    logging.getLogger("apache_beam").setLevel(logging.ERROR)  # it warns of every cloud whose packages are incomplete
    paths = [os.fsdecode(bytes.fromhex(name)) for name in task["paths"]]
    result = harvest.of_shards(paths, sampling.Sample(task["needed"], task["seed"]), task["records_per_shard"])
    tfrecords.write_to(sys.stdout.buffer, harvest.dump(result))
    sys.stdout.flush()
    os._exit(0)  # Python would wait for the thread


def _end_with_the_client() -> None:
    os.read(sys.stdin.fileno(), 1)  # the client keeps its end open while it lives
    os._exit(1)
