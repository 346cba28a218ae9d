"""What the gates judge by: a model of options for each gate that has any, named as the gate is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from infraval.options import base

Undecided = Literal["pass", "fail", "error"]

Range: TypeAlias = tuple[float | None, float | None]


def _as_pairs(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise base.Mistake('{} must be an object such as {"probabilities": [0, 1]}.')
    return tuple(
        (name, tuple(pair) if isinstance(pair, list) else pair) for name, pair in sorted(value.items(), key=str)
    )


def _check_bounds(ranges: tuple[tuple[str, Range], ...]) -> tuple[tuple[str, Range], ...]:
    for name, (lowest, highest) in ranges:
        if (-math.inf if lowest is None else lowest) > (math.inf if highest is None else highest):
            raise base.Mistake("{} gives {name} a lowest value above the highest.", name=repr(name))
    return ranges


Ranges = Annotated[
    tuple[tuple[str, Range], ...],
    BeforeValidator(_as_pairs),
    AfterValidator(_check_bounds),
    PlainSerializer(dict),
]
"""Lowest and highest value by name, given as a dict; None stands for no bound. Held as pairs, which can be hashed."""


class Gate(base.Options):
    """What every gate with options has."""

    enabled: bool = True
    """Whether the gate judges; a gate that is off by default is also turned on by any other option of it."""
    undecided: Undecided | None = None
    """What it means if the gate cannot decide; by default `error` for a gate that is named here, else `pass` with a
    warning."""

    @property
    def is_turned_on(self) -> bool:
        """Whether these options say so, or any of them is given and none says otherwise."""
        return self.enabled or bool(self.model_fields_set and "enabled" not in self.model_fields_set)


class OutputsGate(Gate):
    """The gate `outputs`: responses are what the SignatureDef says."""

    group: ClassVar[str] = "gates.outputs"

    nan: Literal["fail", "allow"] = "fail"
    """Whether a NaN in an output fails the model."""
    inf: Literal["fail", "allow"] = "allow"
    """Whether an infinite value in an output fails the model."""
    range: Ranges = ()
    """Lowest and highest value of outputs, such as `{"probabilities": [0, 1]}`; null stands for no bound. The numbers
    of Classify are `scores`, those of Regress `outputs`."""
    sums_to_one: Annotated[base.Strings, base.Once] = ()
    """Outputs whose values sum to one along the last dimension, within a tolerance that depends on the dtype."""
    not_batched: Annotated[base.Strings, base.Once] = ()
    """Outputs whose first dimension is not the batch although it looks so, such as the parts of a ragged tensor."""


class WarmGate(Gate):
    """The gate `warm`: the first request of every cell after a boot is about as fast as later ones."""

    group: ClassVar[str] = "gates.warm"

    ratio: Annotated[float, Field(ge=1)] = 3.0
    """How many times the steady latency the first request may take."""
    floor_ms: Annotated[float, Field(ge=0)] = 20.0
    """Milliseconds that a first request may always take."""
    more_boots: Annotated[int, Field(ge=0, le=10)] = 2
    """Boots on which to measure a cell again that looks cold; the best boot counts."""
    counters: bool | None = None
    """Whether a first request for which the server builds a graph, or compiles, is cold however fast. By default if the
    server's counters can be read without a port of this machine, which a container and the embedded server as a process
    allow; with true, a `tensorflow_model_server` process opens a REST port for that, on every address."""

    def looks_cold(self, first_s: float, steady_s: float, slowest_s: float) -> bool:
        """Whether a first request took too long, and longer than any later one.

        On a busy machine any request may be slow: of sixteen that are equally warm, the first one is the slowest by
        chance one time in sixteen, and on three boots in a row one time in 4,096.
        """
        return first_s > max(self.floor_ms / 1000, self.ratio * steady_s, slowest_s)


Tolerance: TypeAlias = Annotated[float | None, Field(ge=0, le=1)]


class DeterminismGate(Gate):
    """The gate `determinism`: the same request gets the same answer, alone and with others at the same time."""

    group: ClassVar[str] = "gates.determinism"

    enabled: bool = False
    """Whether the gate judges; by default if there is a batching parameters file, or another option of the gate."""
    tolerance: Tolerance = None
    """Largest difference between two floats, as a share of the larger one; by default 0.001 for float and complex64,
    1e-6 for double and complex128, 0.01 for half, 0.05 for bfloat16."""


class ExpectedGate(Gate):
    """The gate `expected`: the answers are those that were recorded (`--expected`)."""

    group: ClassVar[str] = "gates.expected"

    enabled: bool = False
    """Whether the gate judges; by default if there are expected responses."""
    tolerance: Tolerance = None
    """Largest difference between two floats, as in `gates.determinism.tolerance`."""


Largest: TypeAlias = Annotated[float | None, Field(ge=0)]


class BaselineGate(Gate):
    """The gate `baseline`: a comparison with the model in production (`--baseline`); what has no bar is only told."""

    group: ClassVar[str] = "gates.baseline"

    enabled: bool = False
    """Whether the gate judges; by default if there is a baseline."""
    p50_ratio: Largest = None
    """Largest ratio of the median latency to the baseline's, of any cell."""
    p90_ratio: Largest = None
    """The same of the 90th percentile."""
    load_time_ratio: Largest = None
    """Largest ratio of the load time to the baseline's."""
    memory_ratio: Largest = None
    """Largest ratio of the server's resident memory after the load to the baseline's."""
    size_ratio: Largest = None
    """Largest ratio of the bytes on disk, without the warmup files, to the baseline's."""
    max_difference: Largest = None
    """Largest difference of a number from the baseline's answer; also fails outputs of another shape or dtype."""
    changed_class_share: Largest = None
    """Largest share of examples whose highest score is of another class than the baseline's."""
    changed_string_share: Largest = None
    """Largest share of strings that are not the baseline's."""
    budget_s: base.Seconds = 20.0
    """Seconds to spend on requests; each cell is sent at least once."""


Bar: TypeAlias = Annotated[float | None, Field(gt=0)]


class LatencyGate(Gate):
    """The gate `latency`: percentiles of latency under a load stay below bars, or close to the baseline's."""

    group: ClassVar[str] = "gates.latency"

    enabled: bool = False
    """Whether the gate judges; any other option of it also turns it on."""
    p50_ms: Bar = None
    """Milliseconds within which half of the requests must be answered."""
    p90_ms: Bar = None
    """The same for 90 % of them."""
    p99_ms: Bar = None
    """The same for 99 % of them."""
    p50_ratio: Bar = None
    """Largest ratio of the median to the baseline's (`--baseline`) under the same load."""
    p90_ratio: Bar = None
    """The same of the 90th percentile."""
    p99_ratio: Bar = None
    """The same of the 99th percentile."""
    per: Literal["overall", "cell"] = "overall"
    """Whether the bars are for all requests together, or for those of each cell."""
    rate: Bar = None
    """Requests per second to send, whether or not earlier ones were answered; each is timed from when it was due."""
    concurrency: Annotated[int | None, Field(ge=1)] = None
    """Requests to keep in flight instead: the next is sent when one is answered; 1 if there is no `rate` either."""
    arrivals: Literal["poisson", "constant"] = "poisson"
    """With `rate`: whether requests come at random times, as from independent users, or evenly spaced."""
    budget_s: base.Seconds = 60.0
    """Seconds to send requests for, at most, half of them to the baseline if there is a ratio; the load ends as soon as
    every bar is decided."""

    @property
    def bars(self) -> tuple[tuple[int, float], ...]:
        """Percentile and seconds of each bar that is set."""
        all_of_them = ((50, self.p50_ms), (90, self.p90_ms), (99, self.p99_ms))
        return tuple((percentile, bar / 1000) for percentile, bar in all_of_them if bar is not None)

    @property
    def ratios(self) -> tuple[tuple[int, float], ...]:
        """Percentile and largest ratio to the baseline's of each that is set."""
        all_of_them = ((50, self.p50_ratio), (90, self.p90_ratio), (99, self.p99_ratio))
        return tuple((percentile, bar) for percentile, bar in all_of_them if bar is not None)

    @model_validator(mode="after")
    def _check_load(self) -> LatencyGate:
        """Refuses a gate without a bar, and two kinds of load."""
        if self.is_turned_on and not self.bars and not self.ratios:
            raise base.Mistake(
                "{gates.latency} needs a bar: set {gates.latency.p99_ms}, {gates.latency.p90_ms} or "
                "{gates.latency.p50_ms}, or with a baseline {gates.latency.p99_ratio}, {gates.latency.p90_ratio} or "
                "{gates.latency.p50_ratio}."
            )
        if self.rate is not None and self.concurrency is not None:
            raise base.Mistake("{gates.latency.rate} and {gates.latency.concurrency} exclude each other; drop one.")
        if self.rate is None and "arrivals" in self.model_fields_set:
            raise base.Mistake("{gates.latency.arrivals} is about {gates.latency.rate}; drop one or give the other.")
        return self


class LoadTimeGate(Gate):
    """The gate `load_time`: the model is AVAILABLE soon after the server's start."""

    group: ClassVar[str] = "gates.load_time"

    enabled: bool = False
    """Whether the gate judges; any other option of it also turns it on."""
    max_s: Bar = None
    """Seconds that the model as it ships may take until it is AVAILABLE, with its warmup."""
    cold_max_s: Bar = None
    """The same without its warmup file; needs --compare-cold (warmup.compare_cold) if it has one."""

    @model_validator(mode="after")
    def _check_bars(self) -> LoadTimeGate:
        """Refuses a gate without a bar."""
        if self.is_turned_on and self.max_s is None and self.cold_max_s is None:
            raise base.Mistake(
                "{gates.load_time} needs a bar: set {gates.load_time.max_s} or {gates.load_time.cold_max_s}."
            )
        return self


class MemoryGate(Gate):
    """The gate `memory`: the server takes little memory, and does not take more and more."""

    group: ClassVar[str] = "gates.memory"

    enabled: bool = False
    """Whether the gate judges; any other option of it turns it on too."""
    peak_bytes: base.Bytes | None = None
    """Bytes that may be resident at any time, such as 2g; null for any number."""
    after_load_bytes: base.Bytes | None = None
    """Bytes that may be resident once the model is loaded and warm; null for any number."""
    growth_bytes_per_1000: base.Bytes | None = 64 << 20
    """Bytes that the server may grow by in 1000 requests, such as 10m; null for any number."""
    requests: Annotated[int, Field(ge=100)] = 1000
    """Requests to send while it is measured, over and over the same."""
    budget_s: base.Seconds = 60.0
    """Seconds to send them for."""


class RobustGate(Gate):
    """The gate `robust`: the server survives malformed and boundary requests."""

    group: ClassVar[str] = "gates.robust"

    enabled: bool = False
    """Whether the gate judges; any other option of it turns it on too."""
    max_boots: Annotated[int, Field(ge=1, le=100)] = 5
    """Boots that may be used up: one, and another one after each death."""
    huge_batch: Annotated[int, Field(ge=0)] = 1000
    """Rows of the largest batch, or as many as 8 MiB hold; 0 for no such request."""
    budget_s: base.Seconds = 60.0
    """Seconds to send requests for, without the boots."""


class SizeGate(Gate):
    """The gate `size`: the model's files and its messages are small enough."""

    group: ClassVar[str] = "gates.size"

    enabled: bool = False
    """Whether the gate judges; any other option of it turns it on too."""
    max_bytes: base.Bytes | None = None
    """Bytes that the model's files may have together, with the warmup file, such as 512m; null for any number."""
    max_response_bytes: base.Bytes = 4 << 20
    """Bytes that a response may have; by default, gRPC's clients refuse a response of more than 4 MiB."""
    max_request_bytes: base.Bytes | None = None
    """Bytes that a request may have, for a proxy in front of the server; TensorFlow Serving itself takes 2 GiB."""


class SwapGate(Gate):
    """The gate `swap`: a server under load changes from the baseline to the model, and its clients do not notice."""

    group: ClassVar[str] = "gates.swap"

    enabled: bool = False
    """Whether the gate judges (`--rehearse-swap`); any other option of it also turns it on. Needs a baseline."""
    rate: Annotated[float, Field(gt=0)] = 20.0
    """Requests per second to send meanwhile, evenly spaced, whether or not earlier ones were answered."""
    before_s: base.Seconds = 5.0
    """Seconds to send them to the baseline alone before the model appears beside it."""
    max_failed: Annotated[int, Field(ge=0)] = 0
    """Requests that may fail once the model has appeared."""
    p99_ms: Bar = None
    """Milliseconds within which 99 % of the requests must be answered during the swap."""
    p99_ratio: Bar = None
    """Largest ratio of the 99th percentile during the swap to the one before it."""
    max_s: Bar = None
    """Seconds until the model answers after its directory has appeared; the server looks for one once a second."""
    peak_bytes: base.Bytes | None = None
    """Bytes that may be resident at any time, when both models are loaded, such as 2g; null for any number."""


class GateOptions(base.Options):
    """What the gates judge by; the gates without options are always on."""

    group: ClassVar[str] = "gates"

    outputs: Annotated[OutputsGate, base.Lax] = OutputsGate()
    warm: Annotated[WarmGate, base.Lax] = WarmGate()
    determinism: Annotated[DeterminismGate, base.Lax] = DeterminismGate()
    expected: Annotated[ExpectedGate, base.Lax] = ExpectedGate()
    baseline: Annotated[BaselineGate, base.Lax] = BaselineGate()
    latency: Annotated[LatencyGate, base.Lax] = LatencyGate()
    load_time: Annotated[LoadTimeGate, base.Lax] = LoadTimeGate()
    memory: Annotated[MemoryGate, base.Lax] = MemoryGate()
    robust: Annotated[RobustGate, base.Lax] = RobustGate()
    size: Annotated[SizeGate, base.Lax] = SizeGate()
    swap: Annotated[SwapGate, base.Lax] = SwapGate()

    @classmethod
    def unknown(cls, key: str) -> str:
        """Names the gates that have options."""
        del key
        return f"is not a gate with options; the gates with options are {', '.join(sorted(cls.model_fields))}."

    def on(self, name: str) -> bool:
        """Whether a gate with options judges."""
        own: Gate = getattr(self, name)
        return own.enabled or (name in self.model_fields_set and "enabled" not in own.model_fields_set)

    def undecided(self, name: str) -> Undecided:
        """What it means if a gate cannot decide."""
        own: Gate | None = getattr(self, name, None)
        said = own.undecided if own is not None else None
        return said or ("error" if name in self.model_fields_set else "pass")
