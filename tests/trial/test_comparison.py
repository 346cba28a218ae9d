"""Laws of comparing two responses, for every method, dtype and way to write a tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import dtypes, evidence, options
from infraval.requests import tensors
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2
from infraval.trial import comparison

NAN, INF = float("nan"), float("inf")
PREDICT = options.Cell("s", options.Method.PREDICT, 1)
CLASSIFY = options.Cell("s", options.Method.CLASSIFY, 1)
REGRESS = options.Cell("s", options.Method.REGRESS, 1)
FLOATS = ("half", "bfloat16", "float", "double")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")


def tensor(values: Any, dtype: str = "float") -> tensor_pb2.TensorProto:
    """A tensor as a server sends it."""
    if dtype == "string":
        made = tensors.empty(dtype, np.shape(values))
        made.string_val.extend(np.array(values, object).ravel().tolist())
        return made
    array = np.array(values).astype(dtypes.as_numpy(dtype))
    made = tensors.empty(dtype, array.shape)
    made.tensor_content = tensors.content(array)
    return made


def predicted(**outputs: tensor_pb2.TensorProto) -> bytes:
    """A serialized PredictResponse."""
    response = prediction_log_pb2.PredictionLog().predict_log.response
    for alias, each in outputs.items():
        response.outputs[alias].CopyFrom(each)
    content: bytes = response.SerializeToString()
    return content


def classified(*examples: dict[str, float]) -> bytes:
    """A serialized ClassificationResponse with the scores of each example by label."""
    response = prediction_log_pb2.PredictionLog().classify_log.response
    for scores in examples:
        found = response.result.classifications.add()
        for label, score in scores.items():
            found.classes.add(label=label, score=score)
    content: bytes = response.SerializeToString()
    return content


def regressed(*values: float) -> bytes:
    """A serialized RegressionResponse."""
    response = prediction_log_pb2.PredictionLog().regress_log.response
    for value in values:
        response.result.regressions.add(value=value)
    content: bytes = response.SerializeToString()
    return content


def one_output(one: tensor_pb2.TensorProto, other: tensor_pb2.TensorProto, **given: Any) -> evidence.Compared:
    """How two tensors differ."""
    (found,) = comparison.compare(PREDICT, predicted(y=one), predicted(y=other), **given)
    return found


@given(st.sampled_from(FLOATS), st.lists(st.floats(width=16), min_size=1, max_size=6))
def test_a_response_equals_itself(dtype: str, values: list[float]) -> None:
    """NaN equals NaN, and infinity infinity, whatever the tolerance."""
    found = one_output(tensor(values, dtype), tensor(values, dtype), tolerance=0.0)
    assert (found.responses_differing, found.values, found.values_differing) == (0, len(values), 0)
    assert (found.largest, found.kinds) == (None, ())


@given(
    st.sampled_from(FLOATS),
    st.lists(st.floats(allow_nan=False, width=16), min_size=1, max_size=6),
    st.lists(st.floats(allow_nan=False, width=16), min_size=1, max_size=6),
)
def test_which_one_comes_first_does_not_matter(dtype: str, one: list[float], other: list[float]) -> None:
    """Neither to how many values differ nor to by how much."""
    count = min(len(one), len(other))
    pair = tensor(one[:count], dtype), tensor(other[:count], dtype)
    assert one_output(*pair) == one_output(*reversed(pair))


@given(
    st.lists(st.floats(-100, 100, width=16), min_size=2, max_size=6),
    st.lists(st.floats(-100, 100, width=16), min_size=2, max_size=6),
    st.integers(-20, 20),
)
def test_the_unit_of_an_output_does_not_matter(one: list[float], other: list[float], exponent: int) -> None:
    """A tolerance is a share, so probabilities of a millionth are not equal just because they are small."""
    count = min(len(one), len(other))
    factor = 2.0**exponent
    first = one_output(tensor(one[:count], "double"), tensor(other[:count], "double"))
    scaled = [tensor([each * factor for each in values[:count]], "double") for values in (one, other)]
    second = one_output(scaled[0], scaled[1])
    assert first.values_differing == second.values_differing
    if first.largest is not None:
        assert second.largest == pytest.approx(first.largest * factor)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_differ_beyond_the_tolerance_of_their_dtype(dtype: str) -> None:
    """Far within it and far beyond it; an own tolerance takes its place."""
    tolerance = comparison.TOLERANCES[dtype]
    base = [1.0, 0.5, 0.25]
    near, far = [1.0, 0.5 * (1 + tolerance / 2), 0.25], [1.0, 0.5 * (1 + tolerance * 3), 0.25]
    assert one_output(tensor(near, dtype), tensor(base, dtype)).values_differing == 0
    found = one_output(tensor(far, dtype), tensor(base, dtype))
    assert (found.values_differing, found.kinds) == (1, ("value",))
    assert found.largest == pytest.approx(0.5 * tolerance * 3, rel=0.5)
    assert found.largest_relative == pytest.approx(tolerance * 3, rel=0.5)
    assert one_output(tensor(far, dtype), tensor(base, dtype), tolerance=0.5).values_differing == 0


def test_what_is_next_to_zero_beside_the_others_is_a_rounding_error() -> None:
    """But not if all are as small."""
    assert one_output(tensor([1.0, 1e-7]), tensor([1.0, -1e-7])).values_differing == 0
    assert one_output(tensor([1e-7, 1e-7]), tensor([1e-7, -1e-7])).values_differing == 1


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64", "complex128"])
@pytest.mark.parametrize(("one", "other"), [(NAN, 1.0), (INF, 1.0), (INF, -INF), (NAN, INF)])
def test_what_is_not_finite_equals_only_itself(dtype: str, one: float, other: float) -> None:
    """There is no difference to tell, only that there is one."""
    found = one_output(tensor([1.0, one], dtype), tensor([1.0, other], dtype), tolerance=10.0)
    assert (found.values_differing, found.largest) == (1, None)


@given(st.sampled_from(INTEGERS), st.data())
def test_integers_are_compared_exactly(dtype: str, data: st.DataObject) -> None:
    """The smallest difference of the largest numbers is told, and the tolerance is not for them."""
    info = np.iinfo(np.uint8 if dtype == "bool" else dtypes.as_numpy(dtype))
    low, high = (0, 1) if dtype == "bool" else (int(info.min), int(info.max))
    one, other = data.draw(st.integers(low, high)), data.draw(st.integers(low, high))
    kind = np.bool_ if dtype == "bool" else dtypes.as_numpy(dtype)
    found = one_output(tensor(np.array([one], kind), dtype), tensor(np.array([other], kind), dtype), tolerance=0.5)
    assert found.values_differing == (one != other)
    if one != other:
        assert found.largest == pytest.approx(abs(one - other))


@given(st.lists(st.binary(max_size=3), min_size=1), st.lists(st.binary(max_size=3), min_size=1))
def test_strings_are_compared_exactly(one: list[bytes], other: list[bytes]) -> None:
    """Also those that are no UTF-8."""
    count = min(len(one), len(other))
    found = one_output(tensor(one[:count], "string"), tensor(other[:count], "string"))
    assert found.values_differing == sum(a != b for a, b in zip(one, other, strict=False))
    assert found.largest is None


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=10))
def test_the_ways_to_write_strings_are_equal(strings: list[bytes]) -> None:
    """One by one, or as lengths and content."""
    packed = tensors.empty("string", (len(strings),))
    packed.tensor_content = b"".join(varint(len(each)) for each in strings) + b"".join(strings)
    assert one_output(packed, tensor(strings, "string")).values_differing == 0
    changed = [*strings[:-1], strings[-1] + b"!"]
    assert one_output(packed, tensor(changed, "string")).values_differing == 1


@given(st.integers(0, 5), st.integers(1, 5))
def test_the_ways_to_write_numbers_are_equal(first: int, repeated: int) -> None:
    """As content, or one by one, where the last one stands for those that are missing; none at all are zeros."""
    short = tensors.empty("float", (first + repeated,))
    short.float_val.extend([float(each) for each in range(first)] + [7.0])
    full = [float(each) for each in range(first)] + [7.0] * repeated
    assert one_output(short, tensor(full)).values_differing == 0
    assert one_output(short, tensor([*full[:-1], 8.0])).values_differing == 1
    other = tensors.empty("float", (first + repeated,))
    other.float_val.extend([float(each) for each in range(first)] + [8.0])
    assert one_output(short, other).values_differing == repeated
    assert one_output(tensors.empty("float", (3,)), tensor([0.0] * 3)).values_differing == 0


def test_a_claimed_size_takes_no_memory() -> None:
    """A shape of 10^15 values in a message of a few bytes is counted, not made."""
    huge, other = (tensors.empty("float", (10**9, 10**6)) for _ in range(2))
    huge.float_val.append(1.0)
    other.float_val.append(2.0)
    found = one_output(huge, other)
    assert (found.values, found.values_differing, found.largest) == (10**15, 10**15, 1.0)
    assert one_output(tensors.empty("float", (-1,)), tensors.empty("float", (-1,))).values == 0


@pytest.mark.parametrize(
    ("other", "kind"),
    [(tensor([[1.0, 2.0]]), "shape"), (tensor([1.0, 2.0], "double"), "dtype"), (None, "missing")],
)
def test_another_shape_dtype_or_no_output_is_a_difference(other: tensor_pb2.TensorProto | None, kind: str) -> None:
    """Of all values; the outputs beside it are compared all the same, and the order does not matter."""
    mine, good = tensor([1.0, 2.0]), tensor([5.0])
    theirs = {"z": good} | ({} if other is None else {"y": other})
    for pair in ((predicted(y=mine, z=good), predicted(**theirs)), (predicted(**theirs), predicted(y=mine, z=good))):
        y, z = comparison.compare(PREDICT, *pair)
        assert (y.output, y.kinds, y.values, y.values_differing) == ("y", (kind,), 2, 2)
        assert (z.output, z.responses_differing) == ("z", 0)


@given(st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=5), st.integers(0, 4), st.floats(0.5, 2, width=16))
def test_classify_is_compared_by_scores_and_classes(scores: list[float], place: int, more: float) -> None:
    """One score that is changed is one value of one output."""
    place %= len(scores)
    before = {str(index): score for index, score in enumerate(scores)}
    after = before | {str(place): scores[place] + more}
    classes, found = comparison.compare(CLASSIFY, classified(before), classified(after))
    assert (classes.output, classes.responses_differing, classes.values) == ("classes", 0, len(scores))
    assert (found.output, found.values_differing) == ("scores", 1)
    assert found.largest == pytest.approx(more, rel=1e-3)


def test_the_top_class_is_its_label() -> None:
    """Wherever it stands among the classes; without labels, its place."""
    moved = comparison.compare(CLASSIFY, classified({"a": 0.9, "b": 0.1}), classified({"b": 0.1, "a": 0.9}))
    assert [(each.rows, each.rows_differing) for each in moved] == [(0, 0), (1, 0)]
    changed = comparison.compare(CLASSIFY, classified({"a": 0.9, "b": 0.1}), classified({"a": 0.4, "b": 0.6}))
    assert (changed[1].rows, changed[1].rows_differing) == (1, 1)
    tensors_differ = one_output(tensor([[0.1, 0.9], [0.6, 0.4]]), tensor([[0.2, 0.8], [0.4, 0.6]]))
    assert (tensors_differ.rows, tensors_differ.rows_differing) == (2, 1)
    assert type(tensors_differ.rows_differing) is int  # NumPy's own is no JSON
    assert one_output(tensor([[1, 2]], "int64"), tensor([[2, 1]], "int64")).rows == 0


def test_another_number_of_results_is_another_shape() -> None:
    """Of examples, and of classes of an example."""
    assert comparison.compare(REGRESS, regressed(1.0), regressed(1.0, 2.0))[0].kinds == ("shape",)
    three, two = classified({"a": 1, "b": 2}, {"a": 1}), classified({"a": 1}, {"a": 1, "b": 2})
    assert {each.kinds for each in comparison.compare(CLASSIFY, three, two)} == {("shape",)}
    assert {each.kinds for each in comparison.compare(CLASSIFY, three, three)} == {()}


def test_multi_inference_is_compared_by_task() -> None:
    """Each output has the name of its signature in front."""

    def answered(score: float, value: float) -> bytes:
        response = prediction_log_pb2.PredictionLog().multi_inference_log.response
        first, second = response.results.add(), response.results.add()
        first.model_spec.signature_name = "c"
        first.classification_result.classifications.add().classes.add(label="a", score=score)
        second.model_spec.signature_name = "r"
        second.regression_result.regressions.add(value=value)
        content: bytes = response.SerializeToString()
        return content

    cell = options.Cell("c,r", options.Method.MULTI_INFERENCE, 1)
    found = comparison.compare(cell, answered(0.5, 1.0), answered(0.5, 2.0))
    assert [(each.output, each.values_differing) for each in found] == [
        ("c/classes", 0),
        ("c/scores", 0),
        ("r/outputs", 1),
    ]


@pytest.mark.parametrize("pair", [(b"\xff", predicted()), (predicted(), b"\xff"), (b"\xff", b"\xfe")])
def test_what_cannot_be_read_is_a_difference(pair: tuple[bytes, bytes]) -> None:
    """Unless both are the same bytes."""
    (found,) = comparison.compare(PREDICT, *pair)
    assert (found.responses_differing, found.kinds) == (1, ("unreadable",))
    assert comparison.compare(PREDICT, b"\xff", b"\xff")[0].responses_differing == 0


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")
@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(options.Method))
def test_no_bytes_make_it_fail(one: bytes, other: bytes, method: options.Method) -> None:
    """A server may send anything."""
    for each in comparison.compare(options.Cell("s", method, 1), one, other):
        assert 0 <= each.values_differing <= each.values
        assert each.largest is None or math.isfinite(each.largest)


@given(st.lists(st.tuples(st.floats(-9, 9, width=16), st.floats(-9, 9, width=16)), min_size=1, max_size=9))
def test_the_total_of_pairs_is_their_sum(pairs: list[tuple[float, float]]) -> None:
    """Counts add up, and the largest difference of all is the largest of each."""
    each = [comparison.compare(REGRESS, regressed(a), regressed(b)) for a, b in pairs]
    (found,) = comparison.total(one for compared in each for one in compared)
    assert found.responses == found.values == len(pairs)
    assert found.responses_differing == sum(one.responses_differing for (one,) in each)
    differences = [one.largest for (one,) in each if one.largest is not None]
    assert found.largest == max(differences, default=None)


def test_large_responses_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result as in one."""
    values = np.arange(1000.0)
    other = values.copy()
    other[[3, 500, 999]] += 5
    whole = one_output(tensor(values), tensor(other))
    monkeypatch.setattr(comparison, "_CHUNK", 7)
    assert one_output(tensor(values), tensor(other)) == whole
    assert whole.values_differing == 3
