"""A model that this TensorFlow cannot run, stand-ins for servers, and command lines in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from infraval import cli, options


@pytest.fixture(scope="session")
def unregistered_op_model(upper_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Needs an op that no TensorFlow has, inside a function: only a request gets there."""
    directory = tmp_path_factory.mktemp("model") / "exported"
    shutil.copytree(upper_model, directory)
    saved_model = saved_model_pb2.SavedModel.FromString((upper_model / "saved_model.pb").read_bytes())
    for function in saved_model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = "HouseBlend" if node.op == "StringUpper" else node.op
    (directory / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return directory


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., click.testing.Result]:
    """Runs a command line in this process; leaves the environment as it was."""
    for name in ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY"):
        monkeypatch.setenv(name, "3" if name.startswith("TF") else "NONE")

    def run(*arguments: object) -> click.testing.Result:
        return click.testing.CliRunner().invoke(cli.commands, list(map(str, arguments)), prog_name="infraval")

    return run


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str], options.ProcessServer]:
    """A `tensorflow_model_server` of tests/fakes.py that behaves as named."""

    def server(behaviour: str) -> options.ProcessServer:
        binary = tmp_path / "tensorflow_model_server"
        fakes = Path(__file__).parents[1] / "fakes.py"
        binary.write_text(f'#!/bin/sh\nexec {sys.executable} {fakes} {behaviour} {tmp_path}/boots "$@"\n')
        binary.chmod(0o755)
        return options.ProcessServer(server=str(binary))

    return server
