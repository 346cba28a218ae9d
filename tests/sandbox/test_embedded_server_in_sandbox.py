"""The embedded server in the process sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

import grpc
import pytest

from infraval import options
from infraval.sandbox import base, serving_log
from infraval.sandbox.process import sandbox as process
from infraval.trial import counters

SINK = Path(__file__).parent.parent / "golden" / "models" / "sink"

BOOT_TIMEOUT_S = 120.0


@pytest.mark.usefixtures("no_tf_serving")
def test_the_embedded_server_serves_without_tcp_and_leaves_nothing(
    private_directory: Path,
    processes_of: Callable[[Path], set[int]],
    listening_tcp_sockets: Callable[[Collection[int]], list[str]],
) -> None:
    """Without a `tensorflow_model_server` on PATH the embedded one loads a model and answers gRPC on the socket."""
    run_directory = private_directory / "r"
    launch = base.Launch(model_name="sink", model_base_path=SINK, metrics=None)
    with process.create(options.ProcessServer(), launch, run_directory) as sandbox:
        assert sandbox.identity.embedded
        assert "TensorFlow 2." in sandbox.identity.version
        with grpc.insecure_channel(sandbox.target) as channel:
            grpc.channel_ready_future(channel).result(timeout=BOOT_TIMEOUT_S)
        assert sandbox.poll() is None
        known = counters.read(sandbox)
        assert known is not None
        assert (known.xla_compilations, known.warmup_records) == (0, 0)
        assert listening_tcp_sockets(processes_of(run_directory)) == []
    assert serving_log.warmup_records_read(sandbox.log()) == 0
    assert processes_of(run_directory) == set()
    assert list(private_directory.iterdir()) == []


@pytest.mark.usefixtures("no_tf_serving")
def test_the_embedded_server_that_starts_ahead_loads_when_it_is_entered(
    private_directory: Path, processes_of: Callable[[Path], set[int]]
) -> None:
    """The model comes after the server has started; the clock starts when it has come."""
    run_directory, models = private_directory / "r", private_directory / "models"
    launch = base.Launch(model_name="sink", model_base_path=models)
    sandbox = process.start_ahead(options.ProcessServer(), launch, run_directory)
    assert sandbox is not None
    started_s = sandbox.started_s
    models.symlink_to(SINK)
    with sandbox:
        assert started_s < sandbox.started_s < time.monotonic()
        with grpc.insecure_channel(sandbox.target) as channel:
            grpc.channel_ready_future(channel).result(timeout=BOOT_TIMEOUT_S)
        assert serving_log.begins_to_load(sandbox.log())
    assert processes_of(run_directory) == set()
    assert list(private_directory.iterdir()) == [models]


@pytest.mark.usefixtures("no_tf_serving")
def test_a_server_that_starts_ahead_for_nothing_leaves_nothing(
    private_directory: Path, processes_of: Callable[[Path], set[int]]
) -> None:
    """Because what was to be its model could not be prepared."""
    launch = base.Launch(model_name="sink", model_base_path=private_directory / "none")
    sandbox = process.start_ahead(options.ProcessServer(), launch, private_directory / "r")
    assert sandbox is not None
    assert processes_of(private_directory / "r")
    sandbox.__exit__()
    assert not serving_log.begins_to_load(sandbox.log())
    assert processes_of(private_directory / "r") == set()
    assert list(private_directory.iterdir()) == []


@pytest.mark.usefixtures("no_tf_serving")
def test_a_server_that_ended_before_it_was_entered_says_so(
    private_directory: Path, eventually: Callable[..., bool]
) -> None:
    """By its exit code, as one that is started on entering."""
    launch = base.Launch(model_name="sink", model_base_path=SINK)
    server = options.ProcessServer(import_ops=("no_such_module_anywhere",))
    sandbox = process.start_ahead(server, launch, private_directory / "r")
    assert sandbox is not None
    assert eventually(lambda: sandbox.poll() is not None)
    with sandbox:
        assert sandbox.poll() == base.ServerExit(code=255, signal=None)
        assert "no_such_module_anywhere" in sandbox.log()


def test_a_binary_does_not_start_ahead(stand_in: Path, private_directory: Path) -> None:
    """Its start is part of its load time."""
    launch = base.Launch(model_name="sink", model_base_path=SINK)
    assert process.start_ahead(options.ProcessServer(server=str(stand_in)), launch, private_directory / "r") is None
