"""The same bytes on every Beam runner that PyPI alone can bring: workers in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from infraval import errors
from infraval.requests import making, shards

START_TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.05

Prepare = Callable[..., making.Requests]


@pytest.fixture
def portable_runner(tmp_path: Path, reserve_port: Callable[[], int]) -> Iterator[tuple[str, ...]]:
    """Pipeline options for Beam's Python job service with an EXTERNAL worker pool, both running."""
    port_file = tmp_path / "job_port"
    worker_port = reserve_port()
    # The pool starts its workers as `python`.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    modules = (
        ("apache_beam.runners.worker.worker_pool_main", f"--service_port={worker_port}"),
        ("apache_beam.runners.portability.local_job_service_main", "--port=0", f"--port_file={port_file}"),
    )
    services = [
        subprocess.Popen([sys.executable, "-m", *arguments], env=environment, start_new_session=True)
        for arguments in modules
    ]
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not port_file.exists():
            assert time.monotonic() < deadline_s
            time.sleep(POLL_INTERVAL_S)
        addresses = [f"localhost:{worker_port}", f"localhost:{port_file.read_text()}"]
        for address in addresses:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(START_TIMEOUT_S)
        yield (
            "--runner=PortableRunner",
            f"--job_endpoint={addresses[1]}",
            "--environment_type=EXTERNAL",
            f"--environment_config={addresses[0]}",
        )
    finally:
        for service in services:
            os.killpg(service.pid, signal.SIGKILL)
            service.wait()


@pytest.fixture
def multi_processing() -> tuple[str, ...]:
    """Pipeline options for the DirectRunner with worker processes."""
    return ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["multi_processing", "portable_runner"])
def test_another_runner_gives_the_same_file(
    runner: str,
    taxi_examples: Path,
    sink_model: Path,
    sink_examples: Path,
    sink_features: tuple[str, ...],
    prepare: Prepare,
    request: pytest.FixtureRequest,
) -> None:
    """All four RPCs, from whole records and from features of several shapes: what the in-memory runner writes."""
    options = request.getfixturevalue(runner)
    asked = {"batch_sizes": (1, 4), "num_examples": 8}
    taxi = {"pairs": ("classification,regression",), **asked}
    sink = {
        "model": sink_model,
        "features": (*sink_features, "dynamic/x=series"),
        "records": list(shards.peek([str(sink_examples)])),
        **asked,
    }
    for examples, keys, plan in (
        (taxi_examples / "Split-eval" / "*", ("predict", "classification", "regression"), taxi),
        (sink_examples, ("all", "classify:classify"), sink),
    ):
        here = prepare(str(examples), *keys, name="here", beam_too=True, **plan)
        there = prepare(str(examples), *keys, name="there", given=options, **plan)
        assert there.path.read_bytes() == here.path.read_bytes()
        assert (there.count, there.records_read, there.dead_letters) == (
            here.count,
            here.records_read,
            here.dead_letters,
        )


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["multi_processing", "portable_runner"])
def test_another_runner_tells_of_bad_examples_likewise(
    runner: str, tmp_path: Path, prepare: Prepare, request: pytest.FixtureRequest
) -> None:
    """What a worker finds out comes back as the same error that the in-memory runner gives."""
    bad = tmp_path / "bad.gz"
    bad.write_bytes(b"neither gzip nor TFRecord")
    messages = []
    for options in ((), request.getfixturevalue(runner)):
        with pytest.raises(errors.ExamplesError, match=f"{bad} is corrupt") as caught:
            prepare(str(bad), given=options, beam_too=True)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
