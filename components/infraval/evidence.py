"""What one server did with the staged model: collected by `trial`, judged by `gates`, shown by `report`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from infraval import options, percentile_bars

OK = "OK"
"""Name of the gRPC status code of an answer."""

LATE = "DEADLINE_EXCEEDED"
"""The same if there was none in time."""


def ratio(one: float | None, other: float | None) -> float | None:
    """How many times the other figure one is; None if either was not measured, or the other is zero."""
    return one / other if one is not None and other else None


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
      sent_s: when it was sent, in seconds since the boot began; None if that is not known.
    """

    cell: options.Cell
    code: str
    message: str
    latency_s: float
    sent_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the server answered."""
        return self.code == OK


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
class Compared:
    """One output in pairs of responses, the second of which is what the first is compared with.

    Attributes:
      signature: key of the signature that was called; for MultiInference the keys joined by a comma.
      method: the RPC.
      output: its alias; for MultiInference after the key of its signature and a slash.
      dtype: of its values, such as `float` or `string`.
      responses: how many pairs there were.
      responses_differing: how many of them differ in this output.
      values: how many values the outputs of those responses have.
      values_differing: how many of them differ by more than the tolerance; all if the outputs are not of one shape.
      largest: the largest difference between two finite numbers; None if there are none.
      largest_relative: the same as a share of the larger number, which is 2 if they have opposite signs.
      kinds: in which ways the pairs differ: `value`, `shape`, `dtype`, `missing` or `unreadable`.
      rows: how many rows of scores, of classes if that is what they are, there were.
      rows_differing: how many of them have their highest score in another place.
    """

    signature: str
    method: options.Method
    output: str
    dtype: str = ""
    responses: int = 1
    responses_differing: int = 0
    values: int = 0
    values_differing: int = 0
    largest: float | None = None
    largest_relative: float | None = None
    kinds: tuple[str, ...] = ()
    rows: int = 0
    rows_differing: int = 0


@dataclasses.dataclass(frozen=True)
class Unanswered:
    """Requests that got the same error instead of an answer to compare.

    Attributes:
      signature: key of the signature that was called; for MultiInference the keys joined by a comma.
      method: the RPC.
      code: name of the gRPC status code.
      message: the server's error message, redacted.
      requests: how many they are.
    """

    signature: str
    method: options.Method
    code: str
    message: str = ""
    requests: int = 1


@dataclasses.dataclass(frozen=True)
class Determinism:
    """Answers to the same requests, sent several times.

    Attributes:
      batched: whether the server merges requests that come at the same time.
      requests: how many requests were sent alone, twice each, and then again with others.
      at_once: how many were sent at the same time then.
      alone: the second answers beside the first ones.
      together: the answers to requests that were sent with others beside the first ones.
      unanswered: what got an error when it was sent with others, or a second time.
    """

    batched: bool
    requests: int
    at_once: int
    alone: tuple[Compared, ...] = ()
    together: tuple[Compared, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()


@dataclasses.dataclass(frozen=True)
class Expected:
    """Answers to recorded requests beside the recorded responses.

    Attributes:
      records: how many requests were sent.
      is_part: whether there are more of them in the files.
      answered: how many were answered.
      equal: how many answers equal the recorded response in all outputs.
      compared: the answers beside the recorded responses.
      unanswered: what got an error.
    """

    records: int
    is_part: bool
    answered: int
    equal: int
    compared: tuple[Compared, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()


@dataclasses.dataclass(frozen=True)
class Beside:
    """How long a request of a cell takes, sent to the model and to the baseline in turn.

    Attributes:
      cell: the cell.
      pairs: how often it was sent to each.
      p50_s: median seconds of the model.
      baseline_p50_s: median seconds of the baseline.
      p90_s: 90th percentile of the model; None if it was not sent often enough to tell.
      baseline_p90_s: the same of the baseline.
    """

    cell: options.Cell
    pairs: int
    p50_s: float
    baseline_p50_s: float
    p90_s: float | None = None
    baseline_p90_s: float | None = None

    @property
    def p50_ratio(self) -> float | None:
        """The model's median beside the baseline's."""
        return ratio(self.p50_s, self.baseline_p50_s)

    @property
    def p90_ratio(self) -> float | None:
        """The same of the 90th percentile."""
        return ratio(self.p90_s, self.baseline_p90_s)


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The model beside the one in production, on servers of one kind at the same time.

    Attributes:
      digest: of the baseline's directory.
      size_bytes: of the model's files, but for its warmup file.
      baseline_size_bytes: the same of the baseline.
      requests: how many requests were sent to both.
      latencies: by cell, of those that both answered.
      compared: the model's answers beside the baseline's.
      unanswered: what got an error from the baseline.
      baseline_warmup_records: in the warmup file that came with the baseline.
      baseline_load_time_s: seconds until the baseline was AVAILABLE.
      baseline_memory: of the baseline's server after the load; None if unknown.
    """

    digest: str
    size_bytes: int
    baseline_size_bytes: int
    requests: int
    latencies: tuple[Beside, ...] = ()
    compared: tuple[Compared, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()
    baseline_warmup_records: int = 0
    baseline_load_time_s: float | None = None
    baseline_memory: Memory | None = None


@dataclasses.dataclass(frozen=True)
class WarmupCell:
    """What a warmup file holds for one cell.

    Attributes:
      cell: the cell.
      records: how many it has.
      bytes: of these records.
    """

    cell: options.Cell
    records: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Warmup:
    """The warmup file of the staged model.

    Attributes:
      records: records in the file; 0 if the model has none and so starts cold.
      from_model: how many of them came with the model.
      dropped: records that came with the model and are not in the file.
      cells: what the file holds by cell, in the order of their first records.
    """

    records: int = 0
    from_model: int = 0
    dropped: int = 0
    cells: tuple[WarmupCell, ...] = dataclasses.field(default=(), compare=False)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a validation: seconds from its beginning to that of the stage, and how many it took."""

    name: str
    start_s: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Run:
    """When and where a validation ran, and what asked for it.

    Attributes:
      started: time of day in UTC, as ISO 8601.
      seconds: how long it took until the verdict.
      asked: the command line, or the call of Python, without what is secret.
      system: the operating system, its version and the kind of processor.
      cpus: processors that it could use.
      versions: of infraval, Python and packages, by name.
      stages: in their order.
    """

    started: str
    seconds: float
    asked: str
    system: str
    cpus: int
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stages: tuple[Stage, ...] = ()


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
    responses: Responses = Responses()
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


@dataclasses.dataclass(frozen=True)
class Quantile:
    """A percentile of latency.

    Attributes:
      percentile: such as 99.9.
      seconds: what it is.
      low_s: it is not below this, with a confidence of 95 %; 0 if the requests do not tell.
      high_s: nor above this; None if the requests do not tell.
    """

    percentile: float
    seconds: float
    low_s: float = 0.0
    high_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Latencies:
    """How long requests took under a load, in seconds.

    Attributes:
      cell: the cell of the requests; None for all of them.
      requests: how many were answered and counted.
      p50_s: half of them took this long or less.
      p90_s: 90 % of them.
      p99_s: 99 % of them.
      max_s: the longest.
      over: how many took longer than each bar, in the order of the gate's bars.
      over_since_sent: the same, timed from when a request was really sent: what is not infraval's own lag.
      intervals: where the percentiles are with a confidence of 95 %.
      intervals_since_sent: the same, timed from when a request was really sent; empty if nothing is compared.
      curve: percentiles from the median on that the requests are enough for; of all requests, empty for a cell.
    """

    cell: options.Cell | None
    requests: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    over: tuple[int, ...] = ()
    over_since_sent: tuple[int, ...] = ()
    intervals: tuple[percentile_bars.Interval, ...] = ()
    intervals_since_sent: tuple[percentile_bars.Interval, ...] = ()
    curve: tuple[Quantile, ...] = ()

    def percentile_s(self, percentile: int) -> float:
        """The 50th, 90th or 99th percentile."""
        return {50: self.p50_s, 90: self.p90_s, 99: self.p99_s}[percentile]

    def interval(self, percentile: int, *, since_sent: bool = False) -> percentile_bars.Interval:
        """Where that percentile is; one without bounds if that is not known."""
        found = self.intervals_since_sent if since_sent else self.intervals
        return next((each for each in found if each.percentile == percentile), percentile_bars.Interval(percentile))


@dataclasses.dataclass(frozen=True)
class LoadPoint:
    """A stretch of time under load.

    Attributes:
      time_s: seconds from the beginning of the load to that of the stretch.
      requests: how many were answered in it.
      p50_s: of their latencies, in seconds.
      p99_s: the same.
      max_s: the same.
    """

    time_s: float
    requests: int
    p50_s: float
    p99_s: float
    max_s: float


@dataclasses.dataclass(frozen=True)
class Load:
    """What a server did under a load.

    Attributes:
      overall: the latencies of all requests that were counted; the first ones are not, until latencies are steady.
      cells: the same by cell, in the order of the requests.
      sent: requests that were sent.
      settling: answers that were not counted.
      steady: whether latencies became steady.
      errors: how many requests failed, by the name of the gRPC status code.
      message: of the first that failed, redacted.
      death: what the server died of; None if it did not.
      late: requests that were sent more than 10 ms after they were due.
      dropped: requests that were not sent, because too many were in flight.
      lag_p99_s: 99 % of the requests were sent this long after they were due, or less.
      lag_max_s: the longest such time.
      seconds: how long requests were sent.
      cells_left_out: cells without a request in the load, because they did not fit into memory.
      points: what happened over time, at most 200.
      baseline: what the baseline did under the same load, in turn; None if it was not compared.
      start_s: seconds from the beginning of the boot to that of the load; None if that is not known.
    """

    overall: Latencies
    cells: tuple[Latencies, ...] = ()
    sent: int = 0
    settling: int = 0
    steady: bool = True
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    message: str = ""
    death: str | None = None
    late: int = 0
    dropped: int = 0
    lag_p99_s: float = 0.0
    lag_max_s: float = 0.0
    seconds: float = 0.0
    cells_left_out: int = 0
    points: tuple[LoadPoint, ...] = ()
    baseline: Load | None = None
    start_s: float | None = None

    @property
    def rate(self) -> float:
        """Requests that were sent per second."""
        return self.sent / self.seconds if self.seconds > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class MemoryUse:
    """The memory of a server that answers many requests.

    Attributes:
      after_requests: once it had answered every request.
      at_end: after the last of the many.
      peak_bytes: the most that was resident since the start; in a container, of the moments at which it was measured.
      requests: how many were sent meanwhile.
      growth_bytes_per_1000: slope of the anonymous, else resident, bytes over 1000 requests; None with too few samples.
      growth_error: its standard error.
      failure: what ended it early: what the server died of, or the code of a request that failed; None if nothing did.
    """

    after_requests: Memory
    at_end: Memory
    peak_bytes: int
    requests: int
    growth_bytes_per_1000: float | None = None
    growth_error: float | None = None
    failure: str | None = None


@dataclasses.dataclass(frozen=True)
class Swap:
    """A server under load that had the baseline, beside which the model appeared as a higher version.

    Attributes:
      rate: requests per second.
      before: latencies until the model appeared.
      during: those of requests that were due after that, until two seconds after the baseline was unloaded.
      during_p99_since_sent_s: the 99th percentile timed from when requests were really sent: without infraval's lag.
      failed_before: requests that failed before the model appeared.
      errors: how many requests failed after that, by the name of the gRPC status code.
      message: of the first of them, redacted.
      dropped: requests that were not sent, because too many were in flight.
      cells_left_out: cells without a request, because the baseline does not answer one or they are too large.
      answered_s: seconds after which the model answered; None if it did not.
      unloaded_s: seconds from then until the baseline was unloaded; None if it was not.
      waited_s: seconds that the swap was waited for.
      refused: why the server did not load the model; None if it did not say so.
      death: what the server died of; None if it did not.
      before_bytes: resident before the model appeared; None if unknown.
      peak_bytes: the most that was resident since the start; in a container, of the moments at which it was measured.
    """

    rate: float
    before: Latencies
    during: Latencies
    during_p99_since_sent_s: float = 0.0
    failed_before: int = 0
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    message: str = ""
    dropped: int = 0
    cells_left_out: int = 0
    answered_s: float | None = None
    unloaded_s: float | None = None
    waited_s: float = 0.0
    refused: Refused | None = None
    death: str | None = None
    before_bytes: int | None = None
    peak_bytes: int | None = None

    @property
    def failed(self) -> int:
        """Requests that failed, or were not sent, after the model had appeared."""
        return sum(self.errors.values()) + self.dropped


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
