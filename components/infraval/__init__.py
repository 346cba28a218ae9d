"""A TFX component that proves a SavedModel loads, answers and is warm in a real model server.

The public names. `WarmupInfraValidator` needs tfx, `validate` and `Job` need TensorFlow; each is imported when it is
first asked for, so that importing infraval costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from infraval import version
from infraval.options import (
    DockerSpec,
    ExistingWarmup,
    ProcessSpec,
    RequestOptions,
    RequestSpec,
    ServingSpec,
    ValidationSpec,
    WarmupSpec,
)

if TYPE_CHECKING:
    from infraval.options import Job
    from infraval.tfx.component import WarmupInfraValidator
    from infraval.validation import validate

__version__ = version.VERSION

__all__ = [
    "DockerSpec",
    "ExistingWarmup",
    "Job",
    "ProcessSpec",
    "RequestOptions",
    "RequestSpec",
    "ServingSpec",
    "ValidationSpec",
    "WarmupInfraValidator",
    "WarmupSpec",
    "validate",
]

_LAZY = {
    "Job": "infraval.options",
    "WarmupInfraValidator": "infraval.tfx.component",
    "validate": "infraval.validation",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
