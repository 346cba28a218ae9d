"""Data that nobody here wrote: what the tfx wheel carries, and the recorded model of tests/golden."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("infraval", deadline=None)  # a busy machine is no failure of a law
hypothesis.settings.load_profile("infraval")


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
