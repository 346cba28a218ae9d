"""Whether a record is a tf.Example or an ExampleListWithContext (ELWC), as TF-Ranking writes them.

Nothing in the bytes names the message, and some bytes parse as both. But what was written as one of them has no values
when it is read as the other, so the reading with values is the right one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import message

from infraval import protos
from infraval.tensorflow_protos import example_pb2, input_pb2

cannot_be_a_list = re.compile(rb"(?:\n[\x80-\xff]*[\x01-\x7f]){2}\n[\x80-\xff]*[\x00-\x7f][^\n]").match
r"""Matches a record that starts as most tf.Examples do: with Features, an entry, its key, and not a `\n` in the key.

In an ExampleListWithContext, the key is one level further down, after one more tag, which is the byte `\n`.
"""


def example(record: bytes) -> example_pb2.Example | None:
    """The tf.Example that a record is; None if it is something else."""
    parsed = _parsed(record, example_pb2.Example())
    if parsed is None or cannot_be_a_list(record) or _has_values(parsed):
        return parsed
    other = _parsed(record, input_pb2.ExampleListWithContext())
    return None if other is not None and _list_has_values(other) else parsed


def example_list(record: bytes) -> input_pb2.ExampleListWithContext | None:
    """The ExampleListWithContext that a record is, which may have no examples; None if it is something else."""
    parsed = _parsed(record, input_pb2.ExampleListWithContext())
    if parsed is None or _list_has_values(parsed):
        return parsed
    other = _parsed(record, example_pb2.Example())
    return None if other is not None and _has_values(other) else parsed


def merged(examples: input_pb2.ExampleListWithContext) -> Iterator[example_pb2.Example]:
    """The tf.Examples that TF Serving makes of a list: each has the context's features, unless it has its own.

    See InputToSerializedExampleTensor in tensorflow_serving/servables/tensorflow/util.cc.
    """
    context = examples.context.SerializeToString()
    for one in examples.examples:
        yield example_pb2.Example.FromString(context + one.SerializeToString())


def _parsed(record: bytes, into: Any) -> Any:
    try:
        protos.parse(record, into)
    except message.DecodeError:
        return None
    return into


def _has_values(parsed: example_pb2.Example) -> bool:
    return any(feature.WhichOneof("kind") for feature in parsed.features.feature.values())


def _list_has_values(parsed: input_pb2.ExampleListWithContext) -> bool:
    return _has_values(parsed.context) or any(map(_has_values, parsed.examples))
