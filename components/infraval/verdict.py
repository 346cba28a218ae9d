"""What a validation found out: data, never an exception."""

from __future__ import annotations

import dataclasses
import enum

from infraval import options


class Gate(str, enum.Enum):
    """What a model has to pass; each has its module in `judge`."""

    LOAD = "load"
    RESPONSES = "responses"
    WARMUP = "warmup"
    UNCHANGED = "unchanged"


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a model was not blessed.

    Attributes:
      gate: the one it missed.
      message: one sentence or more, free of request payloads.
    """

    gate: Gate
    message: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Attributes:
      cell: which cell the request touched.
      code: gRPC status code, `OK` for an answer.
      message: the server's error text, redacted; empty for an answer.
      latency_s: seconds from sending the request to its answer or error.
    """

    cell: options.Cell
    code: str
    message: str
    latency_s: float

    @property
    def ok(self) -> bool:
        """Whether the server answered."""
        return self.code == "OK"


@dataclasses.dataclass(frozen=True)
class Server:
    """Which server judged the model.

    Attributes:
      name: `tensorflow_model_server` or `infraval embedded server`.
      version: what it says its version is.
      platform: the kind of sandbox it ran in.
      image: reference of its image, as asked for; empty for a process.
      image_id: the engine's id of that image.
      image_digest: the registry's `NAME@sha256:…`; empty for an image that came from none.
    """

    name: str
    version: str
    platform: str
    image: str = ""
    image_id: str = ""
    image_digest: str = ""


@dataclasses.dataclass(frozen=True)
class Warmup:
    """The warmup file of the staged model.

    Attributes:
      records: records in the file; 0 if the model has none and so starts cold.
      records_replayed: how many the server says it replayed at load; None if it did not say.
      from_model: how many of them came with the model.
      dropped: records that came with the model and are not in the file.
    """

    records: int = 0
    records_replayed: int | None = None
    from_model: int = 0
    dropped: int = 0


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long a cell takes in one boot.

    Attributes:
      cell: the cell.
      first_s: seconds of its first request since the boot.
      steady_s: median seconds of the same request repeated.
    """

    cell: options.Cell
    first_s: float
    steady_s: float


@dataclasses.dataclass(frozen=True)
class Cold:
    """The same model booted without its warmup file.

    Attributes:
      load_time_s: seconds until it was AVAILABLE.
      cold: latencies of that boot, by cell.
      warm: latencies of the boot with the warmup file, by cell.
    """

    load_time_s: float
    cold: tuple[Latency, ...]
    warm: tuple[Latency, ...]


@dataclasses.dataclass(frozen=True)
class Examples:
    """Where the requests came from.

    Attributes:
      records_read: records in the examples.
      dead_letters: records that no request could be built of, by cause.
      left_out: signatures that `all` left out, and why.
    """

    records_read: int = 0
    dead_letters: dict[str, int] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of a validation: what one server found and, with several images, what the others did.

    Attributes:
      reasons: what this server has against the model; empty for nothing.
      server: which server judged.
      tries: boots of the staged model.
      load_time_s: seconds from the start of the server until the model was AVAILABLE; None if it never was.
      warmup: the warmup file.
      examples: the source of the requests; None if none were given.
      outcomes: one for each request sent, in the order of the requests.
      digest: SHA-256 of the staged model directory, as hex.
      cold: the comparison with a cold boot; None if none was asked for, or the model did not serve.
      server_log: the last lines of the server's log, redacted, if it crashed or was not ready in time; else empty.
      others: the verdicts of the other images, in the order asked for. Those that failed the model come first, so
        this verdict itself is one of them if there is any.
    """

    reasons: tuple[Reason, ...]
    server: Server
    tries: int
    load_time_s: float | None
    warmup: Warmup
    examples: Examples | None
    outcomes: tuple[Outcome, ...]
    digest: str
    cold: Cold | None = None
    server_log: str = ""
    others: tuple[Verdict, ...] = ()

    @property
    def each(self) -> tuple[Verdict, ...]:
        """One verdict for each server, this one first."""
        return (self, *self.others)

    @property
    def blessed(self) -> bool:
        """Whether the model passed every gate on every server."""
        return not any(judged.reasons for judged in self.each)
