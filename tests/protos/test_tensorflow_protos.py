"""Protos and dtypes without TensorFlow, and TensorFlow after or before them in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from infraval import dtypes
from infraval.tensorflow_protos import types_pb2

# Everything that `infraval validate` can need, whatever the model server, but for Beam.
IMPORT_THE_CLIENT = """
import importlib, pkgutil, sys
import infraval.cli

def import_all(package):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if module.name not in {"infraval.requests.beam_transform", "infraval.cli.beam_args"}:
            importlib.import_module(module.name)

for package in ("cli", "gates", "options", "redaction", "report", "requests", "sandbox", "staging", "trial"):
    import_all(f"infraval.{package}")
importlib.import_module("infraval.validation")
"""

USE_BOTH = """
import tensorflow as tf
import tensorflow.core.framework.tensor_pb2 as whole
from tensorflow.core.example import example_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import predict_pb2
from infraval import tensorflow_protos

assert whole is tensorflow_protos.tensor_pb2 and example_pb2 is tensorflow_protos.example_pb2
assert tf.train.Example is tensorflow_protos.example_pb2.Example
theirs = tf.make_tensor_proto([1.5, 2.5])
assert isinstance(theirs, tensorflow_protos.tensor_pb2.TensorProto)
ours.CopyFrom(theirs)
assert tf.make_ndarray(ours).tolist() == [1.5, 2.5]
log = tensorflow_protos.prediction_log_pb2.PredictionLog()
log.predict_log.request.CopyFrom(predict_pb2.PredictRequest(inputs={"x": ours}))
example = tensorflow_protos.example_pb2.Example()
example.features.feature["n"].int64_list.value.append(3)
parsed = tf.io.parse_example([example.SerializeToString()], {"n": tf.io.FixedLenFeature([], tf.int64)})
assert parsed["n"].numpy().tolist() == [3]
tf.config.optimizer.get_jit()
assert config_pb2.ConfigProto.FromString(config_pb2.ConfigProto(intra_op_parallelism_threads=2).SerializeToString())
assert not hasattr(tf, "core")  # as if infraval had not been there
"""

MAKE_OURS = """
from infraval import tensorflow_protos
ours = tensorflow_protos.tensor_pb2.TensorProto(dtype="DT_INT32", int_val=[7])
"""


def python(code: str) -> None:
    """Runs code in a new process, which must succeed."""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_the_client_imports_neither_tensorflow_nor_beam_and_tensorflow_can_follow() -> None:
    """Everything but the embedded server does without; TensorFlow, if imported later, shares the protos' classes."""
    python(
        f"{IMPORT_THE_CLIENT}\nfor name in 'tensorflow', 'tensorflow.python', 'apache_beam', 'tfx':\n"
        f"    assert name not in sys.modules, name\n{MAKE_OURS}\n"
        f"import tensorflow as tf\nassert tf.make_ndarray(ours).tolist() == 7\n{USE_BOTH}"
    )


def test_tensorflow_can_come_first() -> None:
    """In a TFX component it does."""
    python(
        f"import sys\nimport tensorflow as first\n{MAKE_OURS}\n{USE_BOTH}\nassert sys.modules['tensorflow'] is first"
    )


def test_a_failed_import_leaves_no_empty_tensorflow(tmp_path: Path) -> None:
    """Protos that cannot be imported say so, and TensorFlow itself is still what is imported next."""
    (tmp_path / "tensorflow_serving").mkdir()
    (tmp_path / "tensorflow_serving" / "__init__.py").write_text("raise ImportError('broken')")
    python(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n    from infraval import tensorflow_protos\n"
        "except ImportError as error:\n    assert str(error) == 'broken', error\n"
        "else:\n    raise AssertionError\n"
        "assert 'tensorflow' not in sys.modules"
    )


@pytest.mark.parametrize("name", sorted(types_pb2.DataType.keys()))
def test_dtypes_are_tensorflows(name: str) -> None:
    """Each numeric dtype is NumPy's own that TensorFlow uses; what has none there or less than a byte has none here."""
    try:
        expected = np.dtype(tf.dtypes.as_dtype(types_pb2.DataType.Value(name)).as_numpy_dtype)
    except (TypeError, KeyError):  # the latter for variants
        expected = np.dtype(object)
    try:
        found = dtypes.as_numpy(name.removeprefix("DT_").lower())
    except TypeError:
        assert expected.hasobject or any(small in name for small in ("FLOAT4", "FLOAT8", "INT2", "INT4"))
    else:
        quantized = expected.fields and next(iter(expected.fields.values()))[0]
        assert found == (quantized or expected)
