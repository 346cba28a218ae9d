"""Which records are taken does not depend on how they come: one by one or thousands at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
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


RECORDS = st.lists(
    st.one_of(
        st.builds(elwc, st.integers(0, 2), values=st.sampled_from([1, 40])),
        st.builds(
            record,
            st.lists(st.floats(width=32), min_size=1, max_size=3),
            st.lists(st.integers(-1, 256), max_size=2),
            st.lists(st.binary(max_size=2), min_size=1, max_size=2),
        ),
        st.just(record()),
        st.binary(max_size=12),
    ),
    max_size=12,
)
CALLED = st.lists(st.sampled_from([WHOLE, CLASSIFY, LISTS, PAIR, DENSE, OTHER]), min_size=1, max_size=3)


@pytest.mark.filterwarnings(STOPPED)
@given(called=CALLED, records=RECORDS, data=st.data())
def test_chunks_do_not_matter(called: list[targets.Target], records: list[bytes], data: st.DataObject) -> None:
    """The same records are taken, and the others counted by the same causes, whatever comes together."""
    accept = acceptance.Acceptance(called).accepted
    alone: Counter[str] = Counter()
    expected = [kept for one in records for kept in accept([one], alone)]

    together: Counter[str] = Counter()
    taken: list[bytes] = []
    start = 0
    while start < len(records):
        end = data.draw(st.integers(start + 1, len(records)))
        taken += accept(records[start:end], together)
        start = end

    assert taken == expected
    assert together == alone
    assert len(expected) + alone.total() == len(records)


@pytest.mark.parametrize("called", [[WHOLE], [CLASSIFY], [DENSE], [WHOLE, DENSE, CLASSIFY]])
def test_no_records_are_none(called: list[targets.Target]) -> None:
    """Nothing in, nothing out."""
    dead_letters: Counter[str] = Counter()
    assert list(acceptance.Acceptance(called).accepted([], dead_letters)) == []
    assert not dead_letters


@pytest.mark.filterwarnings(STOPPED)
@pytest.mark.parametrize("garbage", [b"\xff\xff", b"garbage", record()[:-1], b"the text"])
def test_what_is_no_example_feeds_only_what_takes_bytes(garbage: bytes) -> None:
    """Also text that protobuf 3.20 only warns of; the empty record is an Example without features."""
    for target, bad in ((WHOLE, 0), (CLASSIFY, 1), (PAIR, 1), (DENSE, 1)):
        dead_letters: Counter[str] = Counter()
        taken = acceptance.Acceptance([target]).accepted([record(), garbage], dead_letters)
        assert list(taken) == [record(), garbage][: 2 - bad]
        assert dict(dead_letters) == ({"not a tf.Example": 1} if bad else {})
    assert list(acceptance.Acceptance([CLASSIFY]).accepted([b""], Counter())) == [b""]


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
    """One that feeds some only is left out of all, and counted once; the cause holds nothing of it."""
    dead_letters: Counter[str] = Counter()
    taken = acceptance.Acceptance([WHOLE, DENSE, OTHER]).accepted([record(), change(), record()], dead_letters)
    assert list(taken) == [record(), record()]
    ((found, count),) = dead_letters.items()
    assert cause in found
    assert SECRET.decode() not in found
    assert count == 1


def test_what_only_tensorflow_cannot_parse_is_looked_at_alone() -> None:
    """A Feature with a field of a later version in front; TensorFlow's message quotes bytes that are no text."""
    entry = b"\x0a\x01z\x12\x02\x48\x01"
    features = b"\x0a" + bytes([len(entry)]) + entry
    odd = record(y=[b"\xff\x80"]) + b"\x0a" + bytes([len(features)]) + features
    wanted = tensors.DenseInput("z", "z", "float", ())
    dead_letters: Counter[str] = Counter()
    assert list(acceptance.Acceptance([DENSE, OTHER]).accepted([odd], dead_letters)) == [odd]
    target = targets.Target(("z",), options.Method.PREDICT, dense_inputs=(wanted,))
    assert list(acceptance.Acceptance([target]).accepted([odd], dead_letters)) == []
    assert dict(dead_letters) == {"feature 'z' is empty, but input 'z' needs float_list": 1}


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
    dead_letters: Counter[str] = Counter()
    assert list(acceptance.Acceptance([LISTS, WHOLE]).accepted([*lists, other], dead_letters)) == lists
    assert dead_letters == {cause: 1}


def test_among_examples_lists_are_no_examples() -> None:
    """Not even those that parse as one: it would have no features."""
    dead_letters: Counter[str] = Counter()
    taken = acceptance.Acceptance([CLASSIFY]).accepted([record(), elwc(1), elwc(1, 2), b""], dead_letters)
    assert list(taken) == [record(), b""]
    assert dead_letters == {"an ExampleListWithContext and not a tf.Example": 2}


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
    dead_letters: Counter[str] = Counter()
    assert list(acceptance.Acceptance([DENSE]).accepted([other, other], dead_letters)) == []
    ((found, count),) = dead_letters.items()
    assert cause in found
    assert count == 2
    assert capfd.readouterr() == ("", "")
