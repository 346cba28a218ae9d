"""The options of a validation: pydantic models that need neither tfx nor TensorFlow nor a server.

Each option is described once, by its field; see `base`. A new platform is a subclass of `ServerOptions` in `VARIANTS`.
"""

from infraval.options.base import Flag, Options
from infraval.options.docker import MIN_PIDS, DockerServer, ModelTransfer, PullPolicy
from infraval.options.gates import (
    BaselineGate,
    DeterminismGate,
    ExpectedGate,
    GateOptions,
    LatencyGate,
    LoadTimeGate,
    MemoryGate,
    OutputsGate,
    RobustGate,
    SizeGate,
    SwapGate,
    WarmGate,
)
from infraval.options.job import Job, ServerMessages
from infraval.options.kubernetes import KubernetesServer
from infraval.options.limits import Limits
from infraval.options.process import ProcessServer
from infraval.options.requests import DEFAULT_SIGNATURE, Cell, Method, RequestOptions
from infraval.options.server import DEFAULT_PLATFORM, FILES, VARIANTS, ServerOptions
from infraval.options.warmup import MAX_WARMUP_RECORDS, WARMUP_FILE, ExistingWarmup, WarmupOptions

__all__ = [
    "DEFAULT_PLATFORM",
    "DEFAULT_SIGNATURE",
    "FILES",
    "MAX_WARMUP_RECORDS",
    "MIN_PIDS",
    "VARIANTS",
    "WARMUP_FILE",
    "BaselineGate",
    "Cell",
    "DeterminismGate",
    "DockerServer",
    "ExistingWarmup",
    "ExpectedGate",
    "Flag",
    "GateOptions",
    "Job",
    "KubernetesServer",
    "LatencyGate",
    "Limits",
    "LoadTimeGate",
    "MemoryGate",
    "Method",
    "ModelTransfer",
    "Options",
    "OutputsGate",
    "ProcessServer",
    "PullPolicy",
    "RequestOptions",
    "RobustGate",
    "ServerMessages",
    "ServerOptions",
    "SizeGate",
    "SwapGate",
    "WarmGate",
    "WarmupOptions",
]

VARIANTS.update(process=ProcessServer, docker=DockerServer, kubernetes=KubernetesServer)
