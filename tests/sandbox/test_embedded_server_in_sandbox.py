"""The embedded server in the process sandbox."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import grpc
import pytest

from infraval import options
from infraval.sandbox import base, serving_log
from infraval.sandbox.process import sandbox as process

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
    launch = base.Launch(model_name="sink", model_base_path=SINK)
    with process.create(options.ProcessServer(), launch, run_directory) as sandbox:
        assert sandbox.identity.embedded
        assert "TensorFlow 2." in sandbox.identity.version
        with grpc.insecure_channel(sandbox.target) as channel:
            grpc.channel_ready_future(channel).result(timeout=BOOT_TIMEOUT_S)
        assert sandbox.poll() is None
        assert listening_tcp_sockets(processes_of(run_directory)) == []
    assert serving_log.warmup_records_read(sandbox.log()) == 0
    assert processes_of(run_directory) == set()
    assert list(private_directory.iterdir()) == []
