"""What one server did with the staged model: collected by `trial`, judged by `gates`, shown by `report`."""

from infraval.evidence.answers import LATE, OK, Outcome, Response, Responses
from infraval.evidence.boot import (
    Boot,
    Counters,
    Crashed,
    Late,
    Latency,
    Memory,
    MemorySample,
    Phase,
    Refused,
    Timeline,
)
from infraval.evidence.comparisons import Baseline, Beside, Compared, Determinism, Expected, Unanswered, ratio
from infraval.evidence.load import Latencies, Load, LoadPoint, MemoryUse, Quantile, Swap
from infraval.evidence.requests import Examples, Fed, Warmup, WarmupCell
from infraval.evidence.robustness import Killer, Robustness
from infraval.evidence.run import Run, Server, Stage
from infraval.evidence.whole import Evidence

__all__ = [
    "LATE",
    "OK",
    "Baseline",
    "Beside",
    "Boot",
    "Compared",
    "Counters",
    "Crashed",
    "Determinism",
    "Evidence",
    "Examples",
    "Expected",
    "Fed",
    "Killer",
    "Late",
    "Latencies",
    "Latency",
    "Load",
    "LoadPoint",
    "Memory",
    "MemorySample",
    "MemoryUse",
    "Outcome",
    "Phase",
    "Quantile",
    "Refused",
    "Response",
    "Responses",
    "Robustness",
    "Run",
    "Server",
    "Stage",
    "Swap",
    "Timeline",
    "Unanswered",
    "Warmup",
    "WarmupCell",
    "ratio",
]
