"""What a validation is asked to do: frozen dataclasses without tfx, TensorFlow or a server in sight.

The executor builds them from TFX's protos and the command line from its options. Those that travel as exec
properties (`RequestOptions`, `WarmupSpec`, `ProcessSpec`, `DockerSpec`) also have a JSON form, so that a
RuntimeParameter can carry them.
"""

from infraval.options.docker import MIN_PIDS, DockerSpec, ModelTransfer, PullPolicy
from infraval.options.job import Job
from infraval.options.json_spec import JsonSpec
from infraval.options.requests import (
    DEFAULT_SIGNATURE,
    MAX_WARMUP_RECORDS,
    WARMUP_FILE,
    Cell,
    ExistingWarmup,
    Method,
    RequestOptions,
    RequestSpec,
    WarmupSpec,
)
from infraval.options.serving import DEFAULT_MODEL_NAME, Platform, ProcessSpec, ServingSpec, ValidationSpec

__all__ = [
    "DEFAULT_MODEL_NAME",
    "DEFAULT_SIGNATURE",
    "MAX_WARMUP_RECORDS",
    "MIN_PIDS",
    "WARMUP_FILE",
    "Cell",
    "DockerSpec",
    "ExistingWarmup",
    "Job",
    "JsonSpec",
    "Method",
    "ModelTransfer",
    "Platform",
    "ProcessSpec",
    "PullPolicy",
    "RequestOptions",
    "RequestSpec",
    "ServingSpec",
    "ValidationSpec",
    "WarmupSpec",
]
