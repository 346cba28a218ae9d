"""Which records can feed the targets, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from infraval import options
from infraval.requests import acceptance, targets, tensors

STOPPED = "ignore:Unexpected end-group tag:RuntimeWarning"
"""protobuf 3.20's way to say that it stopped in the middle."""

SECRET = b"Grace.Hopper.1906"

WHOLE = targets.Target(("raw",), options.Method.PREDICT, serialized_input="raw")
CLASSIFY = targets.Target(("c",), options.Method.CLASSIFY)
LISTS = targets.Target(("c",), options.Method.CLASSIFY, takes_lists=True)
PAIR = targets.Target(("c", "r"), options.Method.MULTI_INFERENCE, (options.Method.CLASSIFY, options.Method.REGRESS))
DENSE = targets.Target(
    ("d",),
    options.Method.PREDICT,
    dense_inputs=(tensors.DenseInput("x", "x", "float", (2,)), tensors.DenseInput("n", "count", "uint8", (None,))),
)
OTHER = targets.Target(("o",), options.Method.PREDICT, dense_inputs=(tensors.DenseInput("y", "y", "string", ()),))


def record(x: Sequence[float] = (1, 2), count: Sequence[int] = (3,), y: Sequence[bytes] = (SECRET,)) -> bytes:
    """A tf.Example that feeds every target, unless it is told otherwise."""
    example = example_pb2.Example()
    example.features.feature["x"].float_list.value.extend(x)
    example.features.feature["count"].int64_list.value.extend(count)
    example.features.feature["y"].bytes_list.value.extend(y)
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def elwc(*counts: int, values: int = 1) -> bytes:
    """An ExampleListWithContext of so many features each; with few values, it also parses as a tf.Example."""
    made = input_pb2.ExampleListWithContext()
    for count in counts:
        features = made.examples.add().features.feature
        for number in range(count):
            features[f"f{number}"].float_list.value.extend([0.5] * values)
    made.context.features.feature["query"].bytes_list.value.append(b"\xff")
    serialized: bytes = made.SerializeToString(deterministic=True)
    return serialized


def causes(called: Sequence[targets.Target], *records: bytes) -> list[str | None]:
    """Why each of the records cannot feed all targets."""
    return list(map(acceptance.Acceptance(called).cause_of_rejection, records))


@pytest.mark.filterwarnings(STOPPED)
@pytest.mark.parametrize("garbage", [b"\xff\xff", b"garbage", record()[:-1], b"the text"])
def test_what_is_no_example_feeds_only_what_takes_bytes(garbage: bytes) -> None:
    """Also text that protobuf 3.20 only warns of; the empty record is an Example without features."""
    for target, bad in ((WHOLE, 0), (CLASSIFY, 1), (PAIR, 1), (DENSE, 1)):
        assert causes([target], record(), garbage) == [None, "not a tf.Example" if bad else None]
    assert causes([CLASSIFY], b"") == [None]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda: record(x=(1,)), "feature 'x' has the wrong number of values for input 'x' (float[2])"),
        (lambda: record(count=(256,)), "feature 'count' has values that input 'n' cannot hold (uint8)"),
        (lambda: record(y=(SECRET, SECRET)), "feature 'y' has the wrong number of values"),
        (lambda: record()[:2], "not a tf.Example"),
        (lambda: b"", "no feature 'x' (for input 'x')"),
    ],
)
def test_a_record_has_to_feed_every_target(change: Callable[[], bytes], cause: str) -> None:
    """One that feeds some only is left out of all; the cause holds nothing of it."""
    good, found = causes([WHOLE, DENSE, OTHER], record(), change())
    assert good is None
    assert found is not None
    assert cause in found
    assert SECRET.decode() not in found


def test_a_feature_with_a_field_of_a_later_version() -> None:
    """It has no values that can be known."""
    entry = b"\x0a\x01z\x12\x02\x48\x01"
    features = b"\x0a" + bytes([len(entry)]) + entry
    odd = record(y=[b"\xff\x80"]) + b"\x0a" + bytes([len(features)]) + features
    wanted = tensors.DenseInput("z", "z", "float", ())
    target = targets.Target(("z",), options.Method.PREDICT, dense_inputs=(wanted,))
    assert causes([DENSE, OTHER], odd) == [None]
    assert causes([target], odd) == ["feature 'z' is empty, but input 'z' needs float_list"]


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        (record(), "a tf.Example and not an ExampleListWithContext"),
        (b"the text", "not an ExampleListWithContext"),
        (b"", "an ExampleListWithContext without examples"),
        (elwc(), "an ExampleListWithContext without examples"),
    ],
)
@pytest.mark.filterwarnings(STOPPED)
def test_among_lists_only_lists_are_taken(other: bytes, cause: str) -> None:
    """Also those that parse as tf.Examples; an empty one would be an empty request."""
    lists = [elwc(1, 2), elwc(0), elwc(3, values=40)]
    assert causes([LISTS, WHOLE], *lists, other) == [None, None, None, cause]


def test_among_examples_lists_are_no_examples() -> None:
    """Not even those that parse as one: it would have no features."""
    cause = "an ExampleListWithContext and not a tf.Example"
    assert causes([CLASSIFY], record(), elwc(1), elwc(1, 2), b"") == [None, cause, cause, None]


SEQUENCE = example_pb2.SequenceExample()
SEQUENCE.feature_lists.feature_list["s"].feature.add().bytes_list.value.append(b"\xff")


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        (elwc(3, values=40), "an ExampleListWithContext and not a tf.Example"),
        (elwc(1, 2, 3, values=40), "an ExampleListWithContext and not a tf.Example"),
        (elwc(1, 2, 3), "an ExampleListWithContext and not a tf.Example"),
        (b"\x0a\x0c\x0a\x0a\x0a\x02\xff\xfe\x12\x04\x0a\x02\x0a\x00", "not a tf.Example"),
        (SEQUENCE.SerializeToString(), "no feature 'x'"),
    ],
)
def test_other_records_are_named_and_nothing_is_printed(
    other: bytes, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Protobuf 3.20 would write a line to standard error for a key that is not UTF-8, wherever it is parsed."""
    (found,) = causes([DENSE], other)
    assert found is not None
    assert cause in found
    assert capfd.readouterr() == ("", "")
