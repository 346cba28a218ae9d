"""A TFX component that proves a SavedModel loads, answers and is warm in a real model server.

These are the public names. Each is imported when it is first used, so that importing infraval costs nothing:
`WarmupInfraValidator` needs tfx, `validate` TensorFlow, and the options pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from infraval import version

if TYPE_CHECKING:
    # What `__all__` names, for type checkers.
    from infraval.errors import *
    from infraval.evidence import Evidence
    from infraval.options import *
    from infraval.tfx.component import WarmupInfraValidator
    from infraval.validation import validate
    from infraval.verdict import Finding, Verdict

__version__ = version.VERSION

__all__ = [
    "AbortedError",
    "DockerServer",
    "Evidence",
    "ExamplesError",
    "ExistingWarmup",
    "Finding",
    "GateOptions",
    "InfravalError",
    "InputError",
    "Job",
    "KubernetesServer",
    "Limits",
    "ModelError",
    "ModelTransfer",
    "OptionError",
    "OutputError",
    "OutputsGate",
    "PlatformNotBuiltError",
    "ProcessServer",
    "PullPolicy",
    "RequestOptions",
    "SandboxError",
    "ServerLostError",
    "ServerStartError",
    "UndecidedError",
    "UnregisteredOpError",
    "Verdict",
    "WarmGate",
    "WarmupFileError",
    "WarmupInfraValidator",
    "WarmupOptions",
    "validate",
]

_ELSEWHERE = {
    "Evidence": "infraval.evidence",
    "Finding": "infraval.verdict",
    "Verdict": "infraval.verdict",
    "WarmupInfraValidator": "infraval.tfx.component",
    "validate": "infraval.validation",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "infraval.errors" if name.endswith("Error") else _ELSEWHERE.get(name, "infraval.options")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
