"""TensorFlow's dtypes -> NumPy's, without TensorFlow."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

_NAMES: dict[str, Any] = {
    "float": np.float32,  # to NumPy, a double
    "bfloat16": ml_dtypes.bfloat16,
    **{f"q{name}": np.dtype(name) for name in ("int8", "int16", "int32", "uint8", "uint16")},
}


def as_numpy(dtype: str) -> np.dtype[Any]:
    """NumPy's counterpart of a numeric dtype.

    Args:
      dtype: name of the DataType without its prefix, in lower case: `half`, `float`, `int64`, `float_ref`.

    Raises:
      TypeError: there is none, as for strings.
    """
    name = dtype.removesuffix("_ref")
    return np.dtype(_NAMES.get(name, name))
