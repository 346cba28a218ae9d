"""What booting a model once showed."""

from __future__ import annotations

import dataclasses

from infraval import options
from infraval.evidence.answers import Outcome, Responses
from infraval.evidence.run import Server


@dataclasses.dataclass(frozen=True)
class Refused:
    """The server refused to load the model.

    Attributes:
      code: name of the gRPC status code.
      message: its message, redacted.
    """

    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Crashed:
    """The server died of `cause`, such as SIGSEGV, while it loaded the model."""

    cause: str


@dataclasses.dataclass(frozen=True)
class Late:
    """The model was not AVAILABLE within `limit_s`."""

    limit_s: float


@dataclasses.dataclass(frozen=True)
class Counters:
    """What a server has counted since its start; None for what it does not count.

    Attributes:
      graph_builds: sets of inputs and outputs for which it has made a graph ready to run.
      xla_compilations: what XLA has compiled.
      warmup_records: records of warmup files that it has read; TF Serving counts them since 2.20.
      unknown: why nothing is known although it was asked for; else empty.
    """

    graph_builds: int | None = None
    xla_compilations: int | None = None
    warmup_records: int | None = None
    unknown: str = ""


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long a cell takes in one boot.

    Attributes:
      cell: the cell.
      first_s: seconds of its first request after the boot.
      steady_s: median seconds of the same request, repeated and answered.
      is_steady: whether the last repeats took about as long as those before them.
      slowest_s: seconds of the slowest repeat.
      graph_builds: by how much the first request moved the server's counter of them; None if unknown.
      xla_compilations: the same.
      first_sent_s: when the first request was sent, in seconds since the boot began; None if that is not known.
    """

    cell: options.Cell
    first_s: float
    steady_s: float
    is_steady: bool = True
    slowest_s: float = 0.0
    graph_builds: int | None = None
    xla_compilations: int | None = None
    first_sent_s: float | None = None

    @property
    def built(self) -> bool:
        """Whether the server built or compiled something for the first request, as far as its counters tell."""
        return bool(self.graph_builds or self.xla_compilations)


@dataclasses.dataclass(frozen=True)
class Memory:
    """How much memory a server takes at a moment, all its processes together.

    Attributes:
      resident_bytes: what is in the machine's memory; in a container, without cached files that may be dropped.
      anonymous_bytes: the part of it that no file backs; None if unknown.
      peak_bytes: the most that was resident since the start; None if unknown.
    """

    resident_bytes: int
    anonymous_bytes: int | None = None
    peak_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Phase:
    """What a boot was busy with: seconds from its beginning to that of the phase, and how many it took."""

    name: str
    start_s: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class MemorySample:
    """How much memory a server took at a time, in seconds since the boot began.

    Attributes:
      time_s: when it was.
      resident_bytes: as in `Memory`.
      anonymous_bytes: as in `Memory`.
    """

    time_s: float
    resident_bytes: int
    anonymous_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When a boot did what.

    Attributes:
      phases: in their order: `load`, `warmup` (the last part of the load, if the server says how long it took),
        `first requests` (of each cell, and repeated ones), `requests`, and a phase for each gate with requests of its
        own: `requests again`, `expected`, `baseline`, `under load`, `many requests`.
      memory: what the server took meanwhile, at most 400 samples; none while first requests are timed.
    """

    phases: tuple[Phase, ...] = ()
    memory: tuple[MemorySample, ...] = ()


@dataclasses.dataclass(frozen=True)
class Boot:
    """The result of booting a model once.

    Attributes:
      server: which server it was.
      failure: why the model was not served; None if it was.
      load_time_s: seconds from the start of the server, for the embedded server from the start of the load, until it
        was AVAILABLE.
      records_replayed: warmup records that the server says it replayed; None if it did not say.
      outcomes: of the requests that were sent, in their order.
      responses: the answers to them.
      death: what the server died of while it answered; None if it did not die.
      latencies: by cell, if they were measured.
      memory: after the load, warmup included; None if unknown.
      counters: when the server became AVAILABLE; None if they were not to be read.
      server_log: the last lines of the server's log, redacted, if it crashed or was not ready in time; else empty.
      timeline: when it did what.
    """

    server: Server
    failure: Refused | Crashed | Late | None = None
    load_time_s: float | None = None
    records_replayed: int | None = None
    outcomes: tuple[Outcome, ...] = ()
    responses: Responses = dataclasses.field(default_factory=Responses)
    death: str | None = None
    latencies: tuple[Latency, ...] = ()
    memory: Memory | None = None
    counters: Counters | None = None
    server_log: str = ""
    timeline: Timeline = Timeline()

    @property
    def definite(self) -> bool:
        """Whether another try would have the same result."""
        return self.death is None and (self.failure is None or isinstance(self.failure, Refused))

    @property
    def answered_all(self) -> bool:
        """Whether the model was served and every request was answered."""
        return self.failure is None and self.death is None and all(outcome.ok for outcome in self.outcomes)
