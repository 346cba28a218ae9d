"""The real executor and TFX's Pusher with every artifact in an object store."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from tfx.components.pusher import executor as pusher_executor
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from infraval import errors, options, workspace
from infraval.requests import beam_transform
from infraval.staging import model as staging
from infraval.tfx.executor import Executor

Run = Callable[..., None]

BUCKET = "remotetest://bucket"
REPORTS = {"report.html", "report.json", "report.md"}


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary directory, to see what is left there; short, for the sake of the server's socket."""
    tmp_path_factory.getbasetemp()  # else pytest might make its own, which is for all tests, in this one
    with tempfile.TemporaryDirectory(prefix="remote-") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


@pytest.fixture
def blessing() -> standard_artifacts.InfraBlessing:
    """The output artifact, as the launcher makes it."""
    artifact = standard_artifacts.InfraBlessing()
    artifact.uri = f"{BUCKET}/WarmupInfraValidator/blessing"
    return artifact


@pytest.fixture
def blessed_model() -> standard_artifacts.Model:
    """The optional one."""
    artifact = standard_artifacts.Model()
    artifact.uri = f"{BUCKET}/WarmupInfraValidator/blessed_model"
    return artifact


@pytest.fixture
def run(blessing: standard_artifacts.InfraBlessing, blessed_model: standard_artifacts.Model, temporary: Path) -> Run:
    """Runs the executor as TFX's launcher does."""

    def do(model: standard_artifacts.Model, *examples: standard_artifacts.Examples, **properties: str) -> None:
        context = base_beam_executor.BaseBeamExecutor.Context(tmp_dir=str(temporary), unique_id="1")
        Executor(context).Do(
            {"model": [model], "examples": list(examples)},
            {"blessing": [blessing], "blessed_model": [blessed_model]},
            {"server": options.ProcessServer(server="embedded").to_json(), **properties},
        )

    return do


def push(blessing: standard_artifacts.InfraBlessing) -> standard_artifacts.PushedModel:
    """TFX's Pusher, to the same store."""
    pushed = standard_artifacts.PushedModel()
    pushed.uri = f"{BUCKET}/Pusher/pushed_model"
    destination = pusher_pb2.PushDestination(
        filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=f"{BUCKET}/serving")
    )
    pusher_executor.Executor().Do(
        {"infra_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": json_format.MessageToJson(destination)},
    )
    return pushed


@pytest.mark.parametrize("needs_directories", [False, True])
def test_a_remote_model_is_blessed_and_pushed_warm(
    store: Any,
    run: Run,
    remote_model: standard_artifacts.Model,
    remote_examples: standard_artifacts.Examples,
    blessing: standard_artifacts.InfraBlessing,
    blessed_model: standard_artifacts.Model,
    needs_directories: bool,
    temporary: Path,
    tmp_path: Path,
) -> None:
    """What is in the store afterwards is what was judged, warmup file and assets included, and nothing is left here."""
    store.needs_directories = needs_directories
    store.objects[f"{BUCKET}/batching.txt"] = (
        b"max_batch_size { value: 2 } allowed_batch_sizes: 1 allowed_batch_sizes: 2"
    )
    warmup = options.WarmupOptions(batching_parameters_file=f"{BUCKET}/batching.txt")
    store.objects[f"{BUCKET}/monitoring.txt"] = b"prometheus_config { enable: true }"
    server = options.ProcessServer(server="embedded", monitoring_config_file=f"{BUCKET}/monitoring.txt")

    run(remote_model, remote_examples, warmup=warmup.to_json(), server=server.to_json())

    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("has_model") == 1
    assert blessing.get_int_custom_property("warmup_records") == 2
    results = store.below(blessing.uri)
    assert {name for name in results if not name.startswith("stamped_model/")} == {"INFRA_BLESSED", *REPORTS}
    stamped = store.below(f"{blessing.uri}/stamped_model")
    assert store.below(f"{blessed_model.uri}/Format-Serving") == stamped
    assert set(stamped) == {*store.below(f"{remote_model.uri}/Format-Serving"), options.WARMUP_FILE}
    store.download(f"{blessing.uri}/stamped_model", tmp_path / "stamped")
    assert f"sha256:{staging.digest(tmp_path / 'stamped')}" == blessing.get_string_custom_property("model_digest")
    assert list(temporary.iterdir()) == []

    pushed = push(blessing)

    assert pushed.get_int_custom_property("pushed") == 1
    assert store.below(pushed.get_string_custom_property("pushed_destination")) == stamped


def test_examples_are_read_where_they_are_and_the_sample_comes_back_below_the_blessing(
    store: Any,
    remote_model: standard_artifacts.Model,
    remote_examples: standard_artifacts.Examples,
    blessing: standard_artifacts.InfraBlessing,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With arguments for Beam: no shard is on this machine, and nothing of the sample is left."""
    seen: list[set[str]] = []
    read = beam_transform._read  # noqa: SLF001 - to look when the sample is there

    def look(*arguments: Any) -> Any:
        seen.append({*store.below(blessing.uri)})
        assert not list(temporary.glob("infraval-*/**/data_tfrecord-*"))
        return read(*arguments)

    monkeypatch.setattr(beam_transform, "_read", look)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(temporary), unique_id="1"
    )
    Executor(context).Do(
        {"model": [remote_model], "examples": [remote_examples]},
        {"blessing": [blessing]},
        {"server": options.ProcessServer(server="embedded").to_json()},
    )
    assert blessing.get_int_custom_property("blessed") == 1
    assert seen
    assert all(name.startswith("infraval-sample-") for names in seen for name in names)
    assert not [name for name in store.below(blessing.uri) if "infraval-sample-" in name]


def test_a_remote_model_that_fails_leaves_its_reason(
    store: Any,
    run: Run,
    remote_model: standard_artifacts.Model,
    blessing: standard_artifacts.InfraBlessing,
    blessed_model: standard_artifacts.Model,
) -> None:
    """A verdict like any other: report and marker are there, no model is, and Pusher pushes nothing."""
    store.objects[f"{remote_model.uri}/Format-Serving/variables/variables.index"] = b"no index"

    run(remote_model)

    assert blessing.get_int_custom_property("blessed") == 0
    assert not blessing.has_custom_property("has_model")
    assert "refused to load the model: DATA_LOSS" in blessing.get_string_custom_property("reasons")
    assert store.below(blessed_model.uri) == {}
    assert set(store.below(blessing.uri)) == {"INFRA_NOT_BLESSED", *REPORTS}
    assert push(blessing).get_int_custom_property("pushed") == 0
    assert store.below(f"{BUCKET}/serving") == {}


def test_a_failed_publication_is_no_blessing(
    store: Any,
    run: Run,
    remote_model: standard_artifacts.Model,
    blessing: standard_artifacts.InfraBlessing,
    temporary: Path,
) -> None:
    """The properties are the commit point: none is set, and nothing is left, there or here; a retry works."""
    store.refuses = lambda operation, key: operation == "write" and key.endswith("stamped_model/saved_model.pb")
    with pytest.raises(errors.OutputError, match="Nothing was left there"):
        run(remote_model)

    assert not blessing.mlmd_artifact.custom_properties
    assert store.below(blessing.uri) == {}
    assert list(temporary.iterdir()) == []

    store.refuses = lambda _operation, _key: False
    run(remote_model)
    assert blessing.get_int_custom_property("blessed") == 1


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        ("Format-Serving/variables/variables.index", errors.ModelError),
        ("00001-of-00012.gz", errors.ExamplesError),
        ("batching.txt", errors.OptionError),
        ("monitoring.txt", errors.OptionError),
    ],
)
def test_what_cannot_be_fetched_is_no_verdict(
    store: Any,
    run: Run,
    remote_model: standard_artifacts.Model,
    remote_examples: standard_artifacts.Examples,
    blessing: standard_artifacts.InfraBlessing,
    refused: str,
    error: type[errors.InputError],
    temporary: Path,
) -> None:
    """A store that fails says nothing about the model; the message says what could not be read."""
    store.objects[f"{BUCKET}/batching.txt"] = b"max_batch_size { value: 2 }"
    store.objects[f"{BUCKET}/monitoring.txt"] = b"prometheus_config { enable: true }"
    store.refuses = lambda operation, key: operation == "read" and key.endswith(refused)
    warmup = options.WarmupOptions(batching_parameters_file=f"{BUCKET}/batching.txt")

    server = options.ProcessServer(server="embedded", monitoring_config_file=f"{BUCKET}/monitoring.txt")

    with pytest.raises(error, match=f"the store refuses to read .*{refused}"):
        run(remote_model, remote_examples, warmup=warmup.to_json(), server=server.to_json())

    assert not blessing.mlmd_artifact.custom_properties
    assert store.below(blessing.uri) == {}
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("exports", [["1", "2"], []])
def test_a_model_artifact_without_one_export_is_an_error(
    store: Any, run: Run, remote_model: standard_artifacts.Model, exports: list[str]
) -> None:
    """The Estimator's layout with two exports, or with none, is not guessed at."""
    for key in list(store.below(remote_model.uri)):
        content = store.objects.pop(f"{remote_model.uri}/{key}")
        for export in exports:
            store.objects[f"{remote_model.uri}/{key.replace('Serving/', f'Serving/export/taxi/{export}/')}"] = content

    with pytest.raises(errors.ModelError, match=remote_model.uri):
        run(remote_model)


def open_once_read(pipe: Path, reader: subprocess.Popen[bytes]) -> int:
    """Opens a named pipe for writing when a process has opened it for reading."""
    while reader.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # that one says that nobody reads yet
                raise
        time.sleep(0.01)
    raise AssertionError(f"the execution ended with {reader.returncode} and did not read {pipe}")


def test_copies_of_a_killed_execution_go_at_the_next_start(temporary: Path, tmp_path: Path) -> None:
    """Killed while it fetches: what it had fetched is in a directory that the next start removes."""
    serving = tmp_path / "model" / "Format-Serving"
    serving.mkdir(parents=True)
    (serving / "a").write_bytes(b"fetched")
    os.mkfifo(serving / "b")  # a file whose content never comes
    script = Path(__file__).with_name("execution_on_folder.py")
    with subprocess.Popen([sys.executable, script, tmp_path], start_new_session=True) as execution:
        try:
            writer = open_once_read(serving / "b", execution)
            (theirs,) = temporary.glob("infraval-*")
            with workspace.workspace():
                assert (theirs / "model" / "a").read_bytes() == b"fetched"
            execution.kill()
            execution.wait()
            os.close(writer)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(execution.pid, signal.SIGKILL)

    assert theirs.exists()
    with workspace.workspace() as ours:
        assert list(temporary.glob("infraval-*")) == [ours]
