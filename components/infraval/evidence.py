"""What one server did with the staged model: collected by `trial`, judged by `gates`, shown by `report`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from infraval import options

OK = "OK"
"""Name of the gRPC status code of an answer."""


@dataclasses.dataclass(frozen=True)
class Server:
    """Which server it was.

    Attributes:
      name: `tensorflow_model_server` or `infraval embedded server`.
      version: what it says its version is.
      platform: name of the kind of sandbox it ran in.
      embedded: whether it is infraval's own stand-in.
      image: reference of its image, as in the options; empty for a process.
      image_id: the engine's id of that image, `sha256:…`.
      image_digest: the registry's `NAME@sha256:…`; empty for an image that came from no registry.
      ignored_flags: flags that it was given, and that have no effect on the embedded server.
    """

    name: str
    version: str
    platform: str
    embedded: bool
    image: str = ""
    image_id: str = ""
    image_digest: str = ""
    ignored_flags: tuple[str, ...] = ()


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
class Outcome:
    """The outcome of one request.

    Attributes:
      cell: the cell that the request belongs to.
      code: name of the gRPC status code, `OK` for an answer.
      message: the server's error message, redacted; empty for an answer.
      latency_s: seconds from sending the request to its answer or error.
    """

    cell: options.Cell
    code: str
    message: str
    latency_s: float

    @property
    def ok(self) -> bool:
        """Whether the server answered."""
        return self.code == OK


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long a cell takes in one boot.

    Attributes:
      cell: the cell.
      first_s: seconds of its first request after the boot.
      steady_s: median seconds of the same request, repeated and answered.
      is_steady: whether the last repeats took about as long as those before them.
    """

    cell: options.Cell
    first_s: float
    steady_s: float
    is_steady: bool = True


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer that was kept for the gates, which no output may hold.

    Attributes:
      cell: the cell of its request.
      content: the serialized response message.
      shapes: for Predict, of the inputs that were sent, by alias.
      output_filter: for Predict, the outputs that were asked for; empty for all.
    """

    cell: options.Cell
    content: bytes = dataclasses.field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    output_filter: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Responses:
    """The answers of a boot.

    Attributes:
      kept: those that fit into the memory for them, in the order of the requests.
      answered: how many there were.
      largest_bytes: bytes of the largest of them, as a message.
      largest_request_bytes: the same of the requests that were answered.
    """

    kept: tuple[Response, ...] = ()
    answered: int = 0
    largest_bytes: int = 0
    largest_request_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Warmup:
    """The warmup file of the staged model.

    Attributes:
      records: records in the file; 0 if the model has none and so starts cold.
      from_model: how many of them came with the model.
      dropped: records that came with the model and are not in the file.
    """

    records: int = 0
    from_model: int = 0
    dropped: int = 0


@dataclasses.dataclass(frozen=True)
class Fed:
    """What feeds an input of the requests.

    Attributes:
      signature: key of the signature.
      method: the RPC.
      input: alias of the input.
      feature: key of the feature in the tf.Examples; None for the whole record.
    """

    signature: str
    method: options.Method
    input: str
    feature: str | None


@dataclasses.dataclass(frozen=True)
class Examples:
    """Where the requests came from.

    Attributes:
      shards: files that the examples have.
      shards_read: how many of them were read; fewer if `max_shards` or `max_records` says so.
      records_per_shard: most records that were read of each, from its beginning; None if all were.
      records_read: records in what was read.
      records_checked: how many of them were looked at: all, or, if there are many, those of a random sample.
      dead_letters: how many of these no request could be built from, by cause.
      dead_letter_share_at_most: of all records, with a confidence of 99 %; None if all were looked at.
      left_out: signatures that `all` left out, and why.
      fed: what feeds each input.
      constants: inputs that get the same value in every request, `SIGNATURE/INPUT` -> its JSON.
      defaults: inputs that the requests leave to the model's defaults, `SIGNATURE/INPUT` each.
    """

    shards: int = 0
    shards_read: int = 0
    records_per_shard: int | None = None
    records_read: int = 0
    records_checked: int = 0
    dead_letters: dict[str, int] = dataclasses.field(default_factory=dict)
    dead_letter_share_at_most: float | None = None
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    fed: tuple[Fed, ...] = ()
    constants: dict[str, str] = dataclasses.field(default_factory=dict)
    defaults: list[str] = dataclasses.field(default_factory=list)


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
      server_log: the last lines of the server's log, redacted, if it crashed or was not ready in time; else empty.
    """

    server: Server
    failure: Refused | Crashed | Late | None = None
    load_time_s: float | None = None
    records_replayed: int | None = None
    outcomes: tuple[Outcome, ...] = ()
    responses: Responses = Responses()
    death: str | None = None
    latencies: tuple[Latency, ...] = ()
    server_log: str = ""

    @property
    def definite(self) -> bool:
        """Whether another try would have the same result."""
        return self.death is None and (self.failure is None or isinstance(self.failure, Refused))

    @property
    def answered_all(self) -> bool:
        """Whether the model was served and every request was answered."""
        return self.failure is None and self.death is None and all(outcome.ok for outcome in self.outcomes)


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
class MemoryUse:
    """The memory of a server over many requests.

    Attributes:
      after_load: when the model was AVAILABLE, after its warmup.
      at_end: after the last request.
      requests: how many were sent.
      growth_bytes_per_1000: slope of the anonymous, else resident, bytes over 1000 requests; None with too few samples.
      growth_error: its standard error.
    """

    after_load: Memory
    at_end: Memory
    requests: int
    growth_bytes_per_1000: float | None = None
    growth_error: float | None = None


@dataclasses.dataclass(frozen=True)
class Killer:
    """A malformed request that the server did not survive, or did not answer.

    Attributes:
      signature: key of the signature; several, separated by commas, for MultiInference.
      method: the RPC.
      input: alias of the input that is wrong; empty if that is the request as a whole.
      what: what is wrong.
      request: the request as compact JSON, without values of examples.
      cause: what the server died of; empty if it lives and did not answer in time.
      said: the last line of its log, redacted.
    """

    signature: str
    method: options.Method
    input: str
    what: str
    request: str
    cause: str
    said: str = ""


@dataclasses.dataclass(frozen=True)
class Robustness:
    """How the server took malformed requests.

    Attributes:
      sent: how many it was sent.
      left: how many were not sent; those of a kind of which one was a killer are left out and not counted.
      boots: how often the model was booted for them.
      killers: those that it did not survive, one of each kind.
      lost: why no more was sent or what became of a server that was not the model's doing, a sentence each.
    """

    sent: int
    left: int
    boots: int
    killers: tuple[Killer, ...] = ()
    lost: tuple[str, ...] = ()


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
      model_bytes: bytes of the staged model's files, with its warmup file.
      memory: of the server; None if it was not measured, or the sandbox does not know it.
      robustness: how malformed requests were taken; None if none were sent.
    """

    boot: Boot
    tries: int
    requests: int
    warmup: Warmup
    without_warmup: Boot | None = None
    cold: Boot | None = None
    measured_again: tuple[Latency, ...] = ()
    unchanged: bool = True
    model_bytes: int = 0
    memory: MemoryUse | None = None
    robustness: Robustness | None = None

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
