"""Data that nobody here wrote: what the tfx wheel carries, and the recorded model of tests/golden."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    import tensorflow as tf

SaveModel = Callable[..., Path]
RunDemo = Callable[..., subprocess.CompletedProcess[str]]
ReservePort = Callable[[], int]

TESTS = Path(__file__).parent
PIPELINE = TESTS.parent / "pipeline"

# Set on some machines, it hides what becomes of output that is buffered.
os.environ.pop("PYTHONUNBUFFERED", None)

hypothesis.settings.register_profile("local", deadline=None)  # a busy machine does not break a law
# In CI each run draws the same examples, so that a failure is the commit's own.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# Folders whose tests take longest come first, so that no worker is left with one of them at the end.
LONGEST_FIRST = ("e2e", "switching", "integration", "kubeflow", "infraval_server")
LONG_TIMEOUT_S = 1800
EVENTUALLY_S = 60.0

# What TensorFlow 2.16 says, from which the golden answers were recorded, and what TensorFlow 2.21 says instead. The
# codes of these errors, and all other words, are the same. No version between the two is tested.
REWORDED_IN = (2, 21)
REWORDED = {
    "One of JPEG, PNG, GIF, BMP required.": "One of JPEG, JPEG XL, PNG, GIF, BMP, WebP required.",
    "Can't parse serialized Example.": "Can't parse serialized Example: Some float_list slice was not parsed.",
    "Error while parsing JSON: Unexpected token. <redacted> ^": "Error while parsing JSON: invalid JSON in "
    "type.googleapis.com/tensorflow.Example, near 1:1 (offset 0): unexpected character: 'Z'; expected '{'",
}

# Below what Linux gives to connections and to those who ask for any port (net.ipv4.ip_local_port_range).
TEST_PORTS = range(20_000, 30_000)


# TFX 1.21 has its kfp extra below Python 3.12 only. Files that import kfp cannot even be collected without it: those
# with the marker are left out there, and the run's header says so.
NEEDS_KFP = b"pytestmark = pytest.mark.kfp"
HAS_KFP = importlib.util.find_spec("kfp") is not None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out what needs kfp if it is not installed."""
    if HAS_KFP or not collection_path.match("test_*.py"):
        return None
    return NEEDS_KFP in collection_path.read_bytes() or None


def pytest_report_header() -> list[str]:
    """Says what is left out."""
    left_out = [str(file.relative_to(TESTS)) for file in TESTS.rglob("test_*.py") if NEEDS_KFP in file.read_bytes()]
    return [] if HAS_KFP else [f"kfp is not installed, so these files are left out: {', '.join(sorted(left_out))}"]


@pytest.hookimpl(trylast=True)  # after -m has taken its pick
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the tests, and gives those that take minutes the time for it."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)
    for item in items:
        if {"slow", "docker"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


@pytest.fixture(scope="session")
def reserve_port() -> Iterator[ReservePort]:
    """Finds a TCP port for a server that cannot choose one itself; it stays this process's until the session ends.

    The kernel never gives such a port to anybody by itself, and other test processes respect the reservation: a socket
    whose name is the port. So what is free now is free when the server binds it.
    """
    reserved: list[socket.socket] = []

    def reserve() -> int:
        start = os.getpid() % len(TEST_PORTS)
        for port in (*TEST_PORTS[start:], *TEST_PORTS[:start]):
            reservation = socket.socket(socket.AF_UNIX)
            try:
                reservation.bind(f"\0infraval-test-port-{port}")
                # Some other program of this machine may listen there.
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                reservation.close()
                continue
            reserved.append(reservation)
            return port
        raise AssertionError("no port is free")

    yield reserve
    for reservation in reserved:
        reservation.close()


@pytest.fixture
def importers() -> tuple[Any, Any]:
    """TFX's Importers of Examples and of a Model that come from outside the pipeline."""
    from tfx import v1 as tfx  # noqa: PLC0415 - ten seconds, and few tests need it

    types = tfx.types.standard_artifacts
    examples = tfx.dsl.Importer(source_uri="gs://bucket/examples", artifact_type=types.Examples).with_id("Examples")
    model = tfx.dsl.Importer(source_uri="gs://bucket/model", artifact_type=types.Model).with_id("Model")
    return examples, model


@pytest.fixture(scope="session")
def as_said_here() -> Callable[[str], str]:
    """Turns a text with TensorFlow 2.16's messages into what the TensorFlow of this environment says."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and not every test needs it

    major, minor, _ = tf.__version__.split(".", 2)
    reworded = REWORDED if (int(major), int(minor)) >= REWORDED_IN else {}

    def translate(text: str) -> str:
        for before, now in reworded.items():
            text = text.replace(before, now)
        return text

    return translate


@pytest.fixture(scope="session")
def tfx_testdata() -> Path:
    """`tfx/components/testdata`, found without importing tfx."""
    found = importlib.util.find_spec("tfx")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "components" / "testdata"


@pytest.fixture(scope="session")
def taxi_model(tfx_testdata: Path) -> Path:
    """SavedModel of an Estimator for the taxi Examples: classification, predict, regression, serving_default."""
    return tfx_testdata / "trainer" / "current" / "Format-Serving" / "export" / "chicago-taxi" / "1646034756"


@pytest.fixture(scope="session")
def taxi_examples(tfx_testdata: Path) -> Path:
    """An Examples artifact: 15,000 tf.Examples in Split-train and Split-eval, twelve gzip shards each."""
    return tfx_testdata / "csv_example_gen"


@pytest.fixture(scope="session")
def penguin_model(tfx_testdata: Path) -> Path:
    """SavedModel of another data set: fails on every taxi Example."""
    return tfx_testdata / "trainer" / "keras" / "Format-Serving"


@pytest.fixture(scope="session")
def sink_model() -> Path:
    """SavedModel with nine signatures, the one the golden answers were recorded with."""
    return Path(__file__).parent / "golden" / "models" / "sink" / "1"


@pytest.fixture(scope="session")
def half_warm_sink(sink_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sink with a warmup file that holds one request, for its signature `serving_default`."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and not every test needs it
    from tensorflow_serving.apis import prediction_log_pb2  # noqa: PLC0415 - the same

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "serving_default"
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0, 3.0]]))
    model = tmp_path_factory.mktemp("model") / "half_warm"
    shutil.copytree(sink_model, model)
    warmup_file = model / "assets.extra" / "tf_serving_warmup_requests"
    warmup_file.parent.mkdir()
    with tf.io.TFRecordWriter(str(warmup_file)) as writer:
        writer.write(log.SerializeToString())
    return model


@pytest.fixture(scope="session")
def odd_models() -> Path:
    """Directories of unusual models that a real TF Serving was asked about: golden/models.json."""
    return Path(__file__).parent / "golden" / "models" / "odd"


@pytest.fixture(scope="session")
def sink_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty tf.Examples that feed each signature of the sink, with `sink_features`; `series` has 1 to 3 values."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and not every test needs it

    path = tmp_path_factory.mktemp("sink") / "examples.tfrecord.gz"
    png = tf.io.encode_png(tf.zeros([8, 8, 1], tf.uint8)).numpy()
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number in range(50):
            example = tf.train.Example()
            features = example.features.feature
            for name, values in (
                ("x", [number, 0.5, -1]),
                ("a", [number]),
                ("v", [1, 2, number]),
                ("lonely", [1 + number]),
                ("series", [number] * (1 + number % 3)),
            ):
                features[name].float_list.value.extend(values)
            features["count"].int64_list.value.append(number)
            features["s"].bytes_list.value.append(b"text %d" % number)
            features["png"].bytes_list.value.append(png)
            writer.write(example.SerializeToString(deterministic=True))
    return path


@pytest.fixture(scope="session")
def sink_features() -> tuple[str, ...]:
    """What feeds those inputs of the sink that no feature of `sink_examples` has the name of."""
    return ("two_inputs/b=count", "images/raw_images=png", "logs/x=lonely")


@pytest.fixture(scope="session")
def secret() -> str:
    """Stands for personal data: it is in the examples, and must be in nothing that infraval prints or writes."""
    return "Grace.Hopper.1906"


@pytest.fixture(scope="session")
def secret_examples(secret: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tf.Examples with a name in feature `name` and its length in `length`."""
    import tensorflow as tf  # noqa: PLC0415 - the same

    path = tmp_path_factory.mktemp("examples") / "people.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(3):
            example = tf.train.Example()
            example.features.feature["name"].bytes_list.value.append(f"{secret}.{index}".encode())
            example.features.feature["length"].int64_list.value.append(len(secret))
            writer.write(example.SerializeToString())
    return path


@pytest.fixture(scope="session")
def save_model(tmp_path_factory: pytest.TempPathFactory) -> SaveModel:
    """Exports `serving_default` over serialized examples that calls a function of feature `name`; others by name."""
    import tensorflow as tf  # noqa: PLC0415 - the same

    def serving(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[..., Any]:
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            features = tf.io.parse_example(examples, {"name": tf.io.FixedLenFeature([], tf.string)})
            return {"result": function(features["name"])}

        return serve

    def save(
        function: Callable[[tf.Tensor], tf.Tensor],
        assets: tuple[tf.saved_model.Asset, ...] = (),
        **others: Callable[[tf.Tensor], tf.Tensor],
    ) -> Path:
        module = tf.Module()
        module.assets = assets
        signatures = {name: serving(each) for name, each in {"serving_default": function, **others}.items()}
        directory = tmp_path_factory.mktemp("model") / "exported"
        tf.saved_model.save(module, str(directory), signatures=signatures)
        return directory

    return save


@pytest.fixture(scope="session")
def upper_model(save_model: SaveModel) -> Path:
    """Answers every request."""
    import tensorflow as tf  # noqa: PLC0415 - the same

    return save_model(tf.strings.upper)


@pytest.fixture(scope="session")
def echoing_model(save_model: SaveModel) -> Path:
    """Puts its input into its errors, as it came and in another shape."""
    import tensorflow as tf  # noqa: PLC0415 - the same

    def echo(name: tf.Tensor) -> tf.Tensor:
        shapes = [name, tf.strings.upper(name), tf.io.encode_base64(name), tf.strings.length(name)]
        with tf.control_dependencies([tf.debugging.Assert(tf.constant(value=False), shapes, summarize=10)]):
            return tf.strings.to_number(name)

    return save_model(echo)


@pytest.fixture(scope="session")
def keras_trap_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Keras 3 model as TFX's penguin example exports it: TensorFlow 2 serves it, TF Serving does not."""
    import keras  # noqa: PLC0415 - seconds, for this one fixture
    import tensorflow as tf  # noqa: PLC0415 - the same

    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(2), keras.layers.Dense(1)])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.io.parse_example(examples, {"length": tf.io.FixedLenFeature([1], tf.int64)})
        return {"result": model(tf.cast(features["length"], tf.float32))}

    directory = tmp_path_factory.mktemp("model") / "exported"
    tf.saved_model.save(model, str(directory), signatures={"serving_default": serve})
    return directory


@pytest.fixture(scope="session")
def digits_components() -> list[str]:
    """Ids of the digits pipeline's components, in the order that they run in."""
    return [
        "ImportExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "ExampleValidator",
        "Trainer",
        "Evaluator",
        "WarmupInfraValidator",
        "Pusher",
    ]


@pytest.fixture(scope="session")
def run_demo() -> RunDemo:
    """Runs `run_local.py` as `make demo` does, with no TF Serving on PATH; `pipeline` may be a changed copy."""

    def run(results: Path, *flags: str, pipeline: Path = PIPELINE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, pipeline / "run_local.py", "--results", results, *flags],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": "/usr/bin:/bin"},
        )

    return run


@pytest.fixture(scope="session")
def infraval_command() -> Path:
    """The console script of this environment."""
    return Path(sys.executable).with_name("infraval")


@pytest.fixture
def run(infraval_command: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line to its end, in an empty folder, with no TF Serving on PATH."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    environment = os.environ | {"PATH": "/usr/bin:/bin"}

    def start(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [infraval_command, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env=environment | variables
        )

    return start


@pytest.fixture
def report_of() -> Callable[[subprocess.CompletedProcess[str]], dict[str, Any]]:
    """Standard output of a `--json` run: one JSON object and nothing else."""

    def parse(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        assert finished.stdout.count("\n") == 1, finished.stdout + finished.stderr
        parsed: dict[str, Any] = json.loads(finished.stdout)
        return parsed

    return parse


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """Polls a condition until it holds; False if it does not within a time that is ample on a busy machine."""

    def poll(condition: Callable[[], object]) -> bool:
        deadline_s = time.monotonic() + EVENTUALLY_S
        while not condition():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(0.01)
        return True

    return poll


@pytest.fixture
def processes_of() -> Callable[[Path], set[int]]:
    """Pids of the living processes that have a run directory in their arguments or environment."""

    def find(run_directory: Path) -> set[int]:
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if str(run_directory).encode() in text:
                found.add(int(folder.name))
        return found

    return find


@pytest.fixture(scope="session")
def folder_store_class() -> Any:
    """A file system of Beam's for `folder://`; Beam knows it from then on."""
    spec = importlib.util.spec_from_file_location("folder_store", TESTS / "folder_store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Beam's workers look for classes there
    spec.loader.exec_module(module)
    return module.FolderStore


@pytest.fixture(params=[False, True], ids=["objects", "directories"])
def folder_store(
    request: pytest.FixtureRequest, folder_store_class: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """An empty store: of objects, and of files in directories as HDFS has them."""
    folder_store_class.reset(tmp_path_factory.mktemp("store"), has_directories=request.param)
    return folder_store_class
