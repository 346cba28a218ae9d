"""The protos of TensorFlow and TF Serving that infraval reads and writes, without TensorFlow itself.

`import tensorflow` takes seconds, and every `from tensorflow.core… import …_pb2` would do it first. Here, an empty
module takes its place while the protos are imported. They stay in `sys.modules` under their own names, so that a later
`import tensorflow` finds these very classes, and messages can be passed to it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

_TENSORFLOW = "tensorflow"


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Within the block, importing what is below the package `tensorflow` does not execute its `__init__`.

    If TensorFlow has been imported, or is not installed, imports are as ever. Nothing else may import TensorFlow at the
    same time in another thread: it would get the empty module.
    """
    spec = None if _TENSORFLOW in sys.modules else importlib.util.find_spec(_TENSORFLOW)
    if spec is None:
        yield
        return
    sys.modules[_TENSORFLOW] = importlib.util.module_from_spec(spec)  # has the package's path; its code is not run
    try:
        yield
    finally:
        del sys.modules[_TENSORFLOW]


with _without_tensorflow():
    from tensorflow.core.example import example_pb2
    from tensorflow.core.framework import function_pb2, tensor_pb2, types_pb2
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, saved_object_graph_pb2, struct_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        input_pb2,
        model_pb2,
        prediction_log_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "example_pb2",
    "function_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "input_pb2",
    "meta_graph_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "prediction_log_pb2",
    "saved_model_pb2",
    "saved_object_graph_pb2",
    "struct_pb2",
    "tensor_pb2",
    "types_pb2",
]
