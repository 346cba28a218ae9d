"""A tf.Example and an ExampleListWithContext are told apart by what they hold, also if the bytes parse as both."""

from __future__ import annotations

import pytest
from google.protobuf import message
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from infraval.requests import record_kinds

FEATURES = st.one_of(
    st.just(feature_pb2.Feature()),
    st.builds(
        lambda values: feature_pb2.Feature(int64_list={"value": values}), st.lists(st.integers(0, 200), max_size=3)
    ),
    st.builds(
        lambda values: feature_pb2.Feature(float_list={"value": values}),
        st.lists(st.floats(width=32, allow_nan=False), max_size=3),
    ),
    st.builds(lambda value: feature_pb2.Feature(bytes_list={"value": [value]}), st.binary(max_size=3)),
)
# Longer names could be serialized features themselves; `\n` is the byte of a tag.
NAMES = st.one_of(st.text(max_size=3), st.sampled_from(["\n", "\n\n", "query"]))


def _example(features: dict[str, feature_pb2.Feature] | None) -> example_pb2.Example:
    made = example_pb2.Example()
    if features is not None:
        made.features.SetInParent()
        for name, feature in features.items():
            made.features.feature[name].CopyFrom(feature)
    return made


EXAMPLES = st.builds(_example, st.none() | st.dictionaries(NAMES, FEATURES, max_size=3))
LISTS = st.builds(
    lambda examples, context: input_pb2.ExampleListWithContext(examples=examples, context=context),
    st.lists(EXAMPLES, max_size=4),
    st.none() | EXAMPLES,
)


def _holds_values(*examples: example_pb2.Example) -> bool:
    return any(feature.WhichOneof("kind") for each in examples for feature in each.features.feature.values())


@given(written=EXAMPLES)
def test_an_example_is_one(written: example_pb2.Example) -> None:
    """Whatever its features are called; and with a value it is nothing else."""
    record = written.SerializeToString()
    assert record_kinds.example(record) == written
    if _holds_values(written):
        assert record_kinds.example_list(record) is None


@given(written=LISTS)
def test_a_list_is_one(written: input_pb2.ExampleListWithContext) -> None:
    """Wherever its values are; and with a value it is nothing else."""
    record = written.SerializeToString()
    assert record_kinds.example_list(record) == written
    if _holds_values(written.context, *written.examples):
        assert record_kinds.example(record) is None
        assert not record_kinds.cannot_be_a_list(record)


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")
@given(record=st.binary(max_size=30))
def test_any_bytes(record: bytes) -> None:
    """What parses as one of them is at least one of them, and nothing else is."""
    found = record_kinds.example(record) is not None or record_kinds.example_list(record) is not None
    parses = []
    for kind in (example_pb2.Example, input_pb2.ExampleListWithContext):
        try:
            parses.append(kind().ParseFromString(record) == len(record))
        except message.DecodeError:
            parses.append(False)
    assert found == any(parses)


def test_the_context_is_merged_into_each_example() -> None:
    """An example's own feature of the same name stays."""
    value = [feature_pb2.Feature(int64_list={"value": [number]}) for number in range(3)]
    listed = input_pb2.ExampleListWithContext(
        examples=[_example({"own": value[0]}), _example({"query": value[1]}), _example(None)],
        context=_example({"query": value[2]}),
    )
    assert [dict(example.features.feature) for example in record_kinds.merged(listed)] == [
        {"own": value[0], "query": value[2]},
        {"query": value[1]},
        {"query": value[2]},
    ]
