"""XLA, which TensorFlow Serving leaves off unless it is told otherwise."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import tensorflow as tf

from infraval_server import status


def disable_compilation() -> None:
    """Makes TensorFlow refuse to compile with XLA, in this process and for good.

    TensorFlow Serving calls the same function at its start (source: model_servers/server.cc). TensorFlow's Python API
    does not offer it, but its library exports it, under this name from 2.16 to 2.21 at least.

    Raises:
      StatusError: the library does not have the function.
    """
    for library in Path(tf.sysconfig.get_lib()).glob("libtensorflow_cc.*"):
        # Only of the library that is loaded already.
        loaded = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        function = getattr(loaded, "_ZN10tensorflow21DisableXlaCompilationEv", None)
        if function is not None:
            function.argtypes, function.restype = (), None
            function()
            return
    raise status.StatusError(
        status.Code.UNIMPLEMENTED,
        f"XLA cannot be turned off in TensorFlow {tf.__version__}. TensorFlow Serving has it off by default; if your "
        "server in production has it on, pass --xla_cpu_compilation_enabled.",
    )
