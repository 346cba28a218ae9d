"""Compares responses: output by output, floats within a tolerance, everything else exactly.

Two floats are equal if they differ by no more than the tolerance times the larger of them, or times a hundredth of the
largest number in that output: what is close to zero beside the others is a rounding error of theirs. NaN equals NaN,
and infinity infinity. What a response holds decides nothing but its own comparison: nothing larger than the two
messages is made.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from google.protobuf import message

from infraval import evidence, options, protos, tensor_values
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2

TOLERANCES = {**tensor_values.TOLERANCES, "complex64": 1e-3, "complex128": 1e-6}
"""By dtype, a complex one as its parts; values of any other dtype must be equal."""

_NEAR_ZERO = 0.01
_CHUNK = 1 << 20
_MATRIX_RANK = 2

_Numbers: TypeAlias = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class _Output:
    """An output of a response.

    Attributes:
      dtype: as in a `TensorSpec`.
      shape: of a tensor; for Classify, the number of classes of each example if it varies.
      size: how many values the shape has.
      values: numbers, strings, or one string that stands for all of them; the last one repeats up to the size.
      tops: for Classify, the class of each example's highest score.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    values: _Numbers | list[bytes]
    tops: Sequence[object] | None = None


@dataclasses.dataclass(frozen=True)
class _Difference:
    """How the values of an output differ; see `evidence.Compared`."""

    differing: int = 0
    largest: float | None = None
    largest_relative: float | None = None


def compare(
    cell: options.Cell, one: bytes, other: bytes, tolerance: float | None = None
) -> tuple[evidence.Compared, ...]:
    """Compares two serialized responses to requests of a cell, by output in the order of their names.

    `tolerance` takes the place of the one of each dtype that has one. A response that cannot be read, and one that has
    no output, count as an output without a name.
    """

    def compared(output: str, **found: Any) -> evidence.Compared:
        return evidence.Compared(cell.signature, cell.method, output, **found)

    found, expected = _outputs(cell.method, one), _outputs(cell.method, other)
    if found is None or expected is None:
        differs = found is not expected or one != other
        return (compared("", responses_differing=int(differs), kinds=("unreadable",) if differs else ()),)
    pairs = [(name, found.get(name), expected.get(name)) for name in sorted({*found, *expected})]
    return tuple(compared(name, **_compared(a, b, tolerance)) for name, a, b in pairs) or (compared(""),)


def total(compared: Iterable[evidence.Compared]) -> tuple[evidence.Compared, ...]:
    """The same output of many pairs of responses as one."""
    found: dict[tuple[str, options.Method, str], evidence.Compared] = {}
    for each in compared:
        key = (each.signature, each.method, each.output)
        found[key] = _sum(found[key], each) if key in found else each
    return tuple(found.values())


def _sum(one: evidence.Compared, other: evidence.Compared) -> evidence.Compared:
    counts = ("responses", "responses_differing", "values", "values_differing", "rows", "rows_differing")
    return dataclasses.replace(
        one,
        **{name: getattr(one, name) + getattr(other, name) for name in counts},
        largest=_larger(one.largest, other.largest),
        largest_relative=_larger(one.largest_relative, other.largest_relative),
        kinds=tuple(sorted({*one.kinds, *other.kinds})),
    )


def _larger(one: float | None, other: float | None) -> float | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _compared(one: _Output | None, other: _Output | None, tolerance: float | None) -> dict[str, Any]:
    """How two outputs differ, one of which may be missing: the fields of an `evidence.Compared`."""
    known = other or one
    if known is None or one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        kind = "missing" if one is None or other is None else "dtype" if one.dtype != other.dtype else "shape"
        size = known.size if known else 0
        return {
            "dtype": known.dtype if known else "",
            "responses_differing": 1,
            "values": size,
            "values_differing": size,
            "kinds": (kind,),
        }
    if isinstance(one.values, list) or isinstance(other.values, list):
        difference = _strings_differ(one.values, other.values, one.size)
    else:
        allowed = TOLERANCES.get(one.dtype, 0.0)
        if tolerance is not None and one.dtype in TOLERANCES:
            allowed = tolerance
        difference = _numbers_differ(one.values, other.values, one.size, allowed)
    tops, other_tops = _tops(one), _tops(other)
    return {
        "dtype": one.dtype,
        "responses_differing": int(difference.differing > 0),
        "values": one.size,
        "values_differing": difference.differing,
        "largest": difference.largest,
        "largest_relative": difference.largest_relative,
        "kinds": ("value",) if difference.differing else (),
        "rows": min(len(tops), len(other_tops)),
        "rows_differing": sum(a != b for a, b in zip(tops, other_tops, strict=False)),
    }


def _strings_differ(one: Iterable[Any], other: Iterable[Any], size: int) -> _Difference:
    one, other = list(one), list(other)
    count = min(size, max(len(one), len(other)))
    differ = [a != b for a, b in zip(_filled(one, count, [b""]), _filled(other, count, [b""]), strict=True)]
    return _Difference(sum(differ) + (size - count) * bool(differ and differ[-1]))


def _filled(values: list[Any], count: int, empty: list[Any]) -> list[Any]:
    """So many values: the last one stands for those that are missing."""
    values = values or empty
    return values[:count] + values[-1:] * (count - len(values))


def _numbers_differ(one: _Numbers, other: _Numbers, size: int, tolerance: float) -> _Difference:
    count = min(size, max(len(one), len(other)))
    if not count or (len(one) == len(other) and one.tobytes() == other.tobytes()):
        return _Difference()
    floor = tolerance and _NEAR_ZERO * max(_largest_finite(one), _largest_finite(other))
    differing, last = 0, False
    largest = relative = -1.0
    for start in range(0, count, _CHUNK):
        end = min(count, start + _CHUNK)
        a, b = _part(one, start, end), _part(other, start, end)
        unequal = np.asarray(a != b) & ~(np.isnan(a) & np.isnan(b))
        wide_a, wide_b = _wide(a), _wide(b)
        finite = np.isfinite(wide_a) & np.isfinite(wide_b)
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.abs(wide_a - wide_b)
            larger = np.maximum(np.abs(wide_a), np.abs(wide_b))
            near = finite & (distance <= tolerance * np.maximum(larger, floor))
        differ = unequal & ~near
        differing += int(differ.sum())
        last = bool(differ[-1])
        far = finite & unequal
        if far.any():
            largest = max(largest, float(distance[far].max()))
            relative = max(relative, float((distance[far] / np.maximum(larger[far], np.finfo(np.float64).tiny)).max()))
    if last:
        differing += size - count  # the last value stands for these
    if largest < 0:
        return _Difference(differing)
    return _Difference(differing, min(largest, sys.float_info.max), min(relative, 2.0))


def _part(values: _Numbers, start: int, end: int) -> _Numbers:
    """The values from `start` to `end`: the last one stands for those that are missing, zero for all of none."""
    part = values[start:end]
    if len(part) == end - start:
        return part
    fill = values[-1:] if len(values) else np.zeros(1, values.dtype)
    return np.concatenate([part, np.repeat(fill, end - start - len(part))])


def _wide(values: _Numbers) -> _Numbers:
    """The values in a type in which their differences neither overflow nor, for int64, lose much."""
    if values.dtype == ml_dtypes.bfloat16:
        values = values.astype(np.float32)
    return values.astype(np.clongdouble if values.dtype.kind == "c" else np.longdouble)


def _largest_finite(values: _Numbers) -> float:
    largest = 0.0
    for start in range(0, len(values), _CHUNK):
        part = np.abs(_wide(values[start : start + _CHUNK]))
        largest = max(largest, float(part.max(where=np.isfinite(part), initial=0.0)))
    return min(largest, sys.float_info.max)


def _tops(output: _Output) -> Sequence[object]:
    """Where each row of scores has its highest one; nothing for what are not rows of scores."""
    if output.tops is not None:
        return output.tops
    whole = isinstance(output.values, np.ndarray) and len(output.values) == output.size > 0
    if output.dtype not in TOLERANCES or len(output.shape) < _MATRIX_RANK or output.shape[-1] < _MATRIX_RANK:
        return ()
    if not whole or output.dtype.startswith("complex"):
        return ()
    rows = np.asarray(output.values).astype(np.float64).reshape(-1, output.shape[-1])
    return np.argmax(rows, axis=1).tolist()  # type: ignore[no-any-return]


def _outputs(method: options.Method, content: bytes) -> dict[str, _Output] | None:
    """The outputs of a serialized response, by name; None if it cannot be parsed."""
    parsed = getattr(prediction_log_pb2.PredictionLog(), f"{method.value}_log").response
    try:
        protos.parse(content, parsed)
    except message.DecodeError:
        return None
    if method is options.Method.PREDICT:
        return {alias: _of_tensor(tensor) for alias, tensor in parsed.outputs.items()}
    if method is not options.Method.MULTI_INFERENCE:
        return dict(_of_result(parsed.result))
    found: dict[str, _Output] = {}
    for number, result in enumerate(parsed.results):
        kind = result.WhichOneof("result")
        key = result.model_spec.signature_name or str(number)
        found |= {f"{key}/{name}": each for name, each in (_of_result(getattr(result, kind)) if kind else ())}
    return found


def _of_tensor(tensor: tensor_pb2.TensorProto) -> _Output:
    dtype, shape = tensor_values.dtype(tensor), tensor_values.shape(tensor)
    size = max(0, math.prod(shape))
    if dtype == "string":
        return _Output(dtype, shape, size, _strings(tensor, size))
    numbers = tensor_values.numbers(tensor)
    if numbers is None:
        return _Output(dtype, shape, size, [tensor.SerializeToString(deterministic=True)])
    return _Output(dtype, shape, size, numbers[:size])


def _strings(tensor: tensor_pb2.TensorProto, size: int) -> list[bytes]:
    """The strings of a tensor; in `tensor_content` the lengths of all of them, as varints, come before them."""
    content = tensor.tensor_content
    if not content:
        return list(tensor.string_val[:size])
    lengths: list[int] = []
    position = length = shift = 0
    while len(lengths) < size and position < len(content):
        byte = content[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift = min(shift + 7, 63)
        if byte < 0x80:  # noqa: PLR2004 - the top bit says that the number goes on
            lengths.append(length)
            length = shift = 0
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings


def _of_result(result: Any) -> Iterator[tuple[str, _Output]]:
    """The outputs of a ClassificationResult or a RegressionResult."""
    if not hasattr(result, "classifications"):
        values = np.array([each.value for each in result.regressions], np.float32)
        yield "outputs", _Output("float", values.shape, len(values), values)
        return
    examples = [list(each.classes) for each in result.classifications]
    counts = [len(each) for each in examples]
    shape = (len(counts), counts[0]) if counts and len(set(counts)) == 1 else tuple(counts)
    labels = [each.label.encode() for classes in examples for each in classes]
    scores = np.array([each.score for classes in examples for each in classes], np.float32)
    tops = [_top(classes) for classes in examples]
    yield "classes", _Output("string", shape, len(labels), labels)
    yield "scores", _Output("float", shape, len(scores), scores, tops)


def _top(classes: Sequence[Any]) -> object:
    """The label of the highest score, or its place if it has none; None without classes."""
    if not classes:
        return None
    place = int(np.argmax([each.score for each in classes]))
    return classes[place].label or place
