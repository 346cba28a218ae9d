"""What the gates judge by: a model of options for each gate that has any, named as the gate is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

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


class OutputsGate(Gate):
    """The gate `outputs`: responses are what the SignatureDef says."""

    group: ClassVar[str] = "gates.outputs"

    nan: Literal["fail", "allow"] = "fail"
    """Whether a NaN in an output fails the model."""
    inf: Literal["fail", "allow"] = "allow"
    """Whether an infinite value in an output fails the model."""
    range: Ranges = ()
    """Lowest and highest value of outputs, such as `{"probabilities": [0, 1]}`; null stands for no bound."""
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

    def looks_cold(self, first_s: float, steady_s: float) -> bool:
        """Whether a first request took too long."""
        return first_s > max(self.floor_ms / 1000, self.ratio * steady_s)


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


class GateOptions(base.Options):
    """What the gates judge by; the gates without options are always on."""

    group: ClassVar[str] = "gates"

    outputs: Annotated[OutputsGate, base.Lax] = OutputsGate()
    warm: Annotated[WarmGate, base.Lax] = WarmGate()
    memory: Annotated[MemoryGate, base.Lax] = MemoryGate()
    robust: Annotated[RobustGate, base.Lax] = RobustGate()
    size: Annotated[SizeGate, base.Lax] = SizeGate()

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
