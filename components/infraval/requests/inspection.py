"""What a SavedModel can be asked, and what its warmup file covers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infraval import errors, escape, options
from infraval.requests import prediction_logs, signatures, tensors

_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
"""One of them is in every SavedModel directory."""


def inspect(model: Path) -> dict[str, Any]:
    """Reads a SavedModel's signatures and warmup records, without loading the graph.

    Returns:
      JSON values: `signatures` (by key, see below) and `warmup` (None without a file, else `records` and `cells` with
      the signature, method, batch size and records of each). A signature has its `method`, the `method_name` that is in
      the model, `inputs` and `outputs` as `dtype[shape]` by alias, `defaults` (inputs that may be left out),
      `constants` (inputs that need a value, because no feature can feed them), and `composite` (inputs that are ragged
      or sparse, which is not supported, with the kind of each).

    Raises:
      ModelError: the model or its warmup file cannot be read.
    """
    available = signatures.read(model)
    return {
        "model": str(model),
        "signatures": {
            key: {
                "method": signature.method.value,
                "method_name": signature.method_name,
                "inputs": {alias: str(tensor) for alias, tensor in signature.inputs.items()},
                "outputs": {alias: str(tensor) for alias, tensor in signature.outputs.items()},
                "defaults": sorted(signature.defaults),
                "constants": [
                    alias
                    for alias, tensor in signature.inputs.items()
                    if alias not in signature.defaults
                    and not tensor.composite
                    and tensors.feature_list(tensor.dtype)
                    and tensors.unfeedable(tensor)
                ],
                "composite": {
                    alias: tensor.composite for alias, tensor in signature.inputs.items() if tensor.composite
                },
            }
            for key, signature in available.items()
        },
        "warmup": _warmup(model / options.WARMUP_FILE, available),
    }


def saved_model(directory: Path) -> Path:
    """The SavedModel to inspect: the directory itself, or the version in it if it is a model base path with one.

    Raises:
      ModelError: it is a model base path with several versions.
    """
    versions = sorted(path for path in _entries(directory) if path.name.isdecimal() and path.is_dir())
    if not versions or any((directory / name).exists() for name in _GRAPHS):
        return directory
    if len(versions) > 1:
        raise errors.ModelError(
            f"{directory} is a model base path with {len(versions)} versions "
            f"({escape.names([path.name for path in versions])}). Name one of them, such as {versions[-1]}."
        )
    return versions[0]


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:  # whoever reads the model says why
        return []


def _warmup(path: Path, available: Mapping[str, signatures.Signature]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    fixed = {f"{key}/{alias}" for key, signature in available.items() for alias in _beside_the_batch(signature)}
    counts = Counter(prediction_logs.cell(log, fixed) for log in prediction_logs.read(path))
    idle = counts.pop(None, 0)
    return {
        "records": counts.total() + idle,
        "records_that_warm_nothing": idle,
        "cells": [
            {"signature": cell.signature, "method": cell.method.value, "batch_size": cell.batch_size, "records": count}
            for cell, count in sorted(counts.items())
            if cell is not None
        ],
    }


def _beside_the_batch(signature: signatures.Signature) -> list[str]:
    """Inputs whose first dimension has a fixed size although that of another input has not."""
    fixed = [alias for alias, tensor in signature.inputs.items() if tensor.shape and tensor.shape[0] is not None]
    batched = any(tensor.shape is None or tensor.shape[:1] == (None,) for tensor in signature.inputs.values())
    return fixed if batched else []
