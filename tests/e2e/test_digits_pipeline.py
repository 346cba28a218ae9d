"""The digits pipeline as a reader runs it: LocalDagRunner, real MLMD, TFX's own components around ours."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# Two runs of a whole pipeline; `make demo` is the same for a person.
pytestmark = pytest.mark.slow

PIPELINE = Path(__file__).parents[2] / "pipeline"

CELLS = [
    (signature, method, batch_size)
    for signature, method in (
        ("serving_default", "predict"),
        ("serving_preprocess", "predict"),
        ("classify", "classify"),
        ("regress", "regress"),
    )
    for batch_size in (1, 8)
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo's results go."""
    return tmp_path_factory.mktemp("demo") / "results"


@pytest.fixture(scope="module")
def demo(run_demo: Any, results: Path) -> subprocess.CompletedProcess[str]:
    """The first run; its results are in `results`."""
    finished: subprocess.CompletedProcess[str] = run_demo(results)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def version(demo: subprocess.CompletedProcess[str], results: Path) -> Path:  # noqa: ARG001 - it has to have run
    """The model that was pushed."""
    (found,) = (results / "serving_model" / "digits").iterdir()
    return found


@pytest.fixture(scope="module")
def store(demo: subprocess.CompletedProcess[str], results: Path) -> metadata_store.MetadataStore:  # noqa: ARG001
    """ML Metadata of the run."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(results / "metadata.sqlite")
    return metadata_store.MetadataStore(config)


@pytest.fixture(scope="module")
def eval_split(demo: subprocess.CompletedProcess[str], results: Path) -> list[Any]:  # noqa: ARG001 - likewise
    """`feature` maps of the examples that Evaluator saw."""
    (shard,) = results.glob("artifacts/ImportExampleGen/examples/*/Split-eval/*")
    records = tf.data.TFRecordDataset(str(shard), compression_type="GZIP")
    return [tf.train.Example.FromString(record.numpy()).features.feature for record in records]


@pytest.fixture(scope="module")
def served(demo: subprocess.CompletedProcess[str]) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    """A stub of the pushed model, served by the very line that the demo ends with, but on a socket of its own."""
    (line,) = (line for line in demo.stdout.splitlines() if "infraval serve" in line)
    program, *arguments = shlex.split(line)
    with tempfile.TemporaryDirectory() as directory:
        socket = f"{directory}/socket"
        command = [Path(sys.executable).with_name(program), *arguments, "--port=0", f"--grpc_socket_path={socket}"]
        with (
            Path(directory, "log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as server,
            grpc.insecure_channel(
                f"unix:{socket}", [(f"grpc.{which}_reconnect_backoff_ms", 50) for which in ("initial", "min", "max")]
            ) as channel,
        ):
            try:
                grpc.channel_ready_future(channel).result(timeout=120)
                yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
            finally:
                server.terminate()


def _predict(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, signature: str, **inputs: tf.TensorProto
) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "digits"
    request.model_spec.signature_name = signature
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    response = stub.Predict(request, timeout=120)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def _modification_times(results: Path) -> dict[Path, int | None]:
    """Of all files but the log and the metadata; None for a folder."""
    return {
        path: path.stat().st_mtime_ns if path.is_file() else None
        for path in results.rglob("*")
        if path.name not in ("log.txt", "metadata.sqlite")
    }


def test_the_pushed_model_reads_images_right(served: Any, eval_split: list[Any]) -> None:
    """Over gRPC, from `infraval serve`: the eval split's PNGs get their labels, the first one without a doubt."""
    images = [features["image"].bytes_list.value[0] for features in eval_split]
    labels = [str(features["label"].int64_list.value[0]).encode() for features in eval_split]

    outputs = _predict(served, "serving_preprocess", raw_images=tf.make_tensor_proto(images))

    assert outputs["labels"].shape == outputs["probabilities"].shape == (360, 5)
    assert outputs["labels"][0, 0] == labels[0]
    assert outputs["probabilities"][0, 0] > 0.9
    assert np.mean(outputs["labels"][:, 0] == labels) > 0.95


def test_serving_default_takes_the_same_images_as_floats(served: Any, eval_split: list[Any]) -> None:
    """The feature `x` holds the PNG's pixels, so both signatures come to the same probabilities."""
    pixels = np.array([features["x"].float_list.value for features in eval_split], np.float32).reshape(-1, 8, 8, 1)
    images = [features["image"].bytes_list.value[0] for features in eval_split]

    of_floats = _predict(served, "serving_default", x=tf.make_tensor_proto(pixels))
    of_images = _predict(served, "serving_preprocess", raw_images=tf.make_tensor_proto(images))

    np.testing.assert_allclose(
        np.sort(of_floats["probabilities"])[:, :-6:-1], of_images["probabilities"], rtol=1e-3, atol=1e-6
    )


def test_the_pushed_model_starts_warm(version: Path) -> None:
    """The warmup file has one record a cell, and a second boot replays exactly those."""
    infraval = Path(sys.executable).with_name("infraval")
    inspected, validated = (
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for command in ([infraval, "inspect", version, "--json"], [infraval, "validate", "--model", version, "--json"])
    )

    cells = [(cell["signature"], cell["method"], cell["batch_size"]) for cell in inspected["warmup"]["cells"]]
    assert sorted(cells) == sorted(CELLS)
    assert validated["verdict"] == "BLESSED"
    assert validated["warmup"]["records"] == validated["servers"][0]["records_replayed"] == len(CELLS)


def test_the_metadata_says_what_pusher_acted_on(store: metadata_store.MetadataStore, version: Path) -> None:
    """Both blessings, the verdict, its reasons and the server that judged are read back from ML Metadata."""
    (infra_blessing,) = store.get_artifacts_by_type("InfraBlessing")
    properties = infra_blessing.custom_properties
    assert properties["blessed"].int_value == 1
    assert properties["has_model"].int_value == 1
    assert properties["verdict"].string_value == "BLESSED"
    assert properties["reasons"].string_value == ""
    assert properties["server"].string_value.startswith("infraval embedded server")
    assert properties["model_digest"].string_value.startswith("sha256:")
    assert properties["load_time_s"].double_value > 0
    figures = ("warmup_records", "requests", "requests_failed")
    assert [properties[figure].int_value for figure in figures] == [len(CELLS), len(CELLS), 0]

    (model_blessing,) = store.get_artifacts_by_type("ModelBlessing")
    assert model_blessing.custom_properties["blessed"].int_value == 1
    (pushed,) = store.get_artifacts_by_type("PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 1
    assert pushed.custom_properties["pushed_destination"].string_value == str(version)


def test_the_warmup_file_is_what_makes_the_first_requests_fast(
    store: metadata_store.MetadataStore, demo: subprocess.CompletedProcess[str]
) -> None:
    """Each cell was booted for cold and warm, is in the table, and the first requests are faster warm, in sum."""
    (blessing,) = store.get_artifacts_by_type("InfraBlessing")
    report = json.loads((Path(blessing.uri) / "report.json").read_text())

    cells = report["servers"][0]["cells"]
    assert [tuple(cell["cell"].values()) for cell in cells] == CELLS
    assert sum(cell["warm_first_s"] for cell in cells) < sum(cell["cold_first_s"] for cell in cells) / 2
    rows = [line.replace("~", "").split() for line in demo.stdout.splitlines()]
    for cell in cells:
        latencies = [f"{cell[key] * 1000:.1f}" for key in ("cold_first_s", "warm_first_s", "steady_s")]
        signature, method, batch_size = cell["cell"].values()
        assert [f"{signature}:{method}", str(batch_size), *latencies] in rows


def test_the_output_is_for_people(
    demo: subprocess.CompletedProcess[str], results: Path, version: Path, digits_components: list[str]
) -> None:
    """A line a component while it runs, then tables, verdicts and the way on; nothing of what TensorFlow says."""
    lines = demo.stdout.splitlines()
    assert lines[:9] == ["Importing TensorFlow and TFX", *digits_components]
    rows = [line.split() for line in lines[9:]]
    times = {row[0]: row[1:] for row in rows if row and row[0] in digits_components}
    assert list(times) == digits_components
    assert all(unit == "s" and float(seconds) >= 0 for seconds, unit in times.values())
    assert "WarmupInfraValidator: BLESSED by infraval embedded server" in demo.stdout
    assert "  requests answered: 8 of 8, warmup records replayed: 8 of 8" in lines
    assert f"Pusher: pushed to {version}" in lines
    assert f"  infraval serve --port=8500 --model_name=digits --model_base_path={version.parent}" in lines
    assert demo.stderr == ""
    assert "TensorFlow" in (results / "log.txt").read_text(errors="replace")


def test_a_second_run_takes_everything_from_the_cache(
    run_demo: Any, demo: subprocess.CompletedProcess[str], results: Path, version: Path, digits_components: list[str]
) -> None:
    """It says so, pushes nothing, and leaves no file behind that the first run had not left."""
    before = _modification_times(results)

    again = run_demo(results)

    assert again.returncode == 0, again.stderr
    assert "8 of 8 components were cached" in again.stdout
    assert f"Pusher: an earlier run pushed to {version}" in again.stdout
    assert again.stdout.count(" cached ") == len(digits_components)
    assert demo.stdout.splitlines()[-3] == again.stdout.splitlines()[-3]
    assert again.stderr == ""
    assert _modification_times(results) == before


def test_changes_run_what_depends_on_them_and_old_artifacts_go(run_demo: Any, tmp_path: Path) -> None:
    """A bar that the model does not reach: only Evaluator and Pusher run, nothing is pushed, what was pushed stays.

    Slow: three runs. The last one starts from nothing, and so pushes once more.
    """
    results = tmp_path / "results"
    strict = tmp_path / "strict"
    shutil.copytree(PIPELINE, strict, ignore=shutil.ignore_patterns("__pycache__"))
    settings = strict / "config.py"
    settings.write_text(settings.read_text().replace("MIN_ACCURACY = 0.95", "MIN_ACCURACY = 0.9999"))

    first = run_demo(results)
    refused = run_demo(results, pipeline=strict)
    assert first.returncode == 0
    assert refused.returncode == 1
    assert "6 of 8 components were cached" in refused.stdout
    assert "Evaluator: NOT_BLESSED" in refused.stdout
    assert "Pusher: nothing was pushed" in refused.stdout
    assert len(list((results / "serving_model" / "digits").iterdir())) == 1
    executions = {outputs: len(list(outputs.iterdir())) for outputs in results.glob("artifacts/*/*")}
    assert set(executions.values()) == {1}, executions

    cleaned = run_demo(results, "--clean")
    assert cleaned.returncode == 0
    assert "cached" not in cleaned.stdout
    assert len(list((results / "serving_model" / "digits").iterdir())) == 2


def test_a_component_that_fails_shows_why(run_demo: Any, tmp_path: Path) -> None:
    """The error itself is on the terminal, with the place of what the libraries said. Slow: runs up to Trainer."""
    broken = tmp_path / "broken"
    shutil.copytree(PIPELINE, broken, ignore=shutil.ignore_patterns("__pycache__"))
    module = broken / "modules" / "digits_trainer.py"
    module.write_text(
        module.read_text().replace("    _export(model,", "    raise RuntimeError('no export')\n    _export(model,")
    )

    failed = run_demo(tmp_path / "results", pipeline=broken)

    assert failed.returncode == 1
    assert failed.stdout.splitlines()[-1] == "Trainer"
    assert failed.stderr.splitlines()[-1] == "RuntimeError: no export"
    assert str(tmp_path / "results" / "log.txt") in failed.stderr
    assert not (tmp_path / "results" / "serving_model").exists()
