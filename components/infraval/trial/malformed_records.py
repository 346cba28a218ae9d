"""tf.Examples that a careless client might send, derived from a good one, whose values are never shown."""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

from infraval import escape
from infraval.tensorflow_protos import example_pb2

BAD_STRINGS = (
    ("an empty string", b""),
    ("a string that is not UTF-8", b"\xff\xfe"),
    ("bytes that are not an image", b"\x89PNG\r\n\x1a\n\0\0"),
)
"""A server that decodes images takes the last one for a PNG, which then lacks its data."""

_NOT_AN_EXAMPLE = b"\n\xff"
"""The length of a field, cut off."""

_INT64_LIMITS = (-(2**63), 2**63 - 1)

_ZEROS: dict[str, Any] = {"float_list": 0.0, "int64_list": 0, "bytes_list": b""}
_OTHER_KIND = {"float_list": "bytes_list", "int64_list": "bytes_list", "bytes_list": "float_list"}

_MAX_VALUES = 8
"""Values of a feature that are shown; of more, it is said how many."""


@dataclasses.dataclass(frozen=True)
class Variation:
    """A record that differs from a good one.

    Attributes:
      what: what is wrong with it.
      record: the record.
      shown: as a JSON value.
    """

    what: str
    record: bytes
    shown: Any


def as_json(value: Any) -> Any:
    """A value as TF Serving's REST API spells it: bytes in base64."""
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def variations(good: example_pb2.Example) -> Iterator[Variation]:
    """Malformed and boundary records, the smallest first."""
    yield Variation("not a tf.Example", _NOT_AN_EXAMPLE, as_json(_NOT_AN_EXAMPLE))
    yield Variation("a tf.Example without features", b"", {})
    kinds = {feature.WhichOneof("kind") for feature in good.features.feature.values()} - {None}
    if not kinds:
        return
    yield _changed(good, "features without values", kinds, lambda kind, _: (kind, []))
    yield _changed(good, "features of another kind", kinds, lambda kind, _: (_OTHER_KIND[kind], [_zero(kind)]))
    yield _changed(good, "a value too many", kinds, lambda kind, count: (kind, [_ZEROS[kind]] * (count + 1)))
    for what, kind, values in (
        ("NaN", "float_list", [math.nan]),
        ("an infinite value", "float_list", [math.inf, -math.inf]),
        ("an extreme integer", "int64_list", _INT64_LIMITS),
        *((what, "bytes_list", [value]) for what, value in BAD_STRINGS),
    ):
        for value in values if kind in kinds else ():
            yield _changed(good, what, {kind}, functools.partial(_repeated, value))


def _repeated(value: Any, kind: str, count: int) -> tuple[str, list[Any]]:
    return kind, [value] * count


def _zero(kind: str) -> Any:
    return _ZEROS[_OTHER_KIND[kind]]


def _changed(
    good: example_pb2.Example, what: str, kinds: set[str], change: Callable[[str, int], tuple[str, list[Any]]]
) -> Variation:
    """A record whose features of these kinds have other values; `change` gets a feature's kind and number of values."""
    record = example_pb2.Example.FromString(good.SerializeToString())
    shown: dict[str, Any] = {}
    for key, feature in sorted(record.features.feature.items()):
        kind = feature.WhichOneof("kind")
        name = escape.name(key)
        if kind not in kinds:
            shown[name] = "as in an example"
            continue
        other, values = change(kind, len(getattr(feature, kind).value))
        feature.Clear()
        getattr(feature, other).SetInParent()
        getattr(feature, other).value.extend(values)
        shown[name] = [*map(as_json, values)] if len(values) <= _MAX_VALUES else f"{len(values)} x {as_json(values[0])}"
    return Variation(what, record.SerializeToString(deterministic=True), shown)
