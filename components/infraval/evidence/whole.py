"""Everything one server showed about the staged model."""

from __future__ import annotations

import dataclasses

from infraval.evidence.boot import Boot, Latency
from infraval.evidence.comparisons import Baseline, Determinism, Expected
from infraval.evidence.load import Load, MemoryUse, Swap
from infraval.evidence.requests import Warmup
from infraval.evidence.robustness import Robustness
from infraval.evidence.run import Server


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Everything one server showed about the staged model.

    Attributes:
      boot: the last boot of the model as it was staged.
      tries: how often it was booted.
      requests: how many requests there were to send.
      warmup: the warmup file of the staged model.
      without_warmup: the same model booted without its warmup file, after the server refused it with the file.
      cold: the same, booted first for comparison; None unless the job compares.
      measured_again: latencies on further boots of cells that looked cold.
      unchanged: whether the staged directory was the same before and after.
      determinism: answers to the same requests; None unless that gate judges and every request was answered.
      expected: answers beside recorded responses; None in the same cases.
      baseline: the comparison with the model in production; None in the same cases.
      load: what it did under a load; None if there was none.
      model_bytes: bytes of the staged model's files, with its warmup file.
      memory: of the server that answers many requests; None if it was not measured, or is unknown.
      robustness: how malformed requests were taken; None if none were sent.
      swap: how a server took the model in the place of the baseline; None if it was not tried.
    """

    boot: Boot
    tries: int
    requests: int
    warmup: Warmup
    without_warmup: Boot | None = None
    cold: Boot | None = None
    measured_again: tuple[Latency, ...] = ()
    unchanged: bool = True
    determinism: Determinism | None = None
    expected: Expected | None = None
    baseline: Baseline | None = None
    load: Load | None = None
    model_bytes: int = 0
    memory: MemoryUse | None = None
    robustness: Robustness | None = None
    swap: Swap | None = None

    @property
    def server(self) -> Server:
        """Which server it was."""
        return self.boot.server

    @property
    def decisive(self) -> Boot:
        """The boot that tells most about the model itself: the one without the warmup file, if it failed too."""
        if self.without_warmup is not None and not self.without_warmup.answered_all:
            return self.without_warmup
        return self.boot
