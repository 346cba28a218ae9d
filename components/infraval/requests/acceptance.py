"""Which records can feed the targets; the others are dead letters, counted by cause.

Every record of every shard passes through here, so TensorFlow's and protobuf's parsers, both in C++, first check a
chunk as a whole. Only a chunk in which something is wrong is checked record by record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from google.protobuf import message
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from infraval import protos
from infraval.requests import targets, tensors

_NOT_AN_EXAMPLE_BUT_ELWC = (
    "an ExampleListWithContext and not a tf.Example (only Predict can take it, with a signature that parses it)"
)


class Acceptance:
    """Sorts out records that cannot feed every target."""

    def __init__(self, called: Sequence[targets.Target]) -> None:
        self._parses = any(target.takes_examples for target in called)
        self._dense_inputs = list(dict.fromkeys(dense for target in called for dense in target.dense_inputs))

    def accepted(self, records: Sequence[bytes], dead_letters: Counter[str]) -> Sequence[bytes]:
        """The records that can feed every target, in their order; the others are counted as dead letters by cause."""
        if not (records and self._parses) or self._all_fit(records):
            return records
        accepted = []
        for record in records:
            cause = self.cause_of_rejection(record)
            if cause is None:
                accepted.append(record)
            else:
                dead_letters[cause] += 1
        return accepted

    def _all_fit(self, records: Sequence[bytes]) -> bool:
        return _all_parse(records) and (not self._dense_inputs or tensors.all_fit(records, self._dense_inputs))

    def cause_of_rejection(self, record: bytes) -> str | None:
        """Why a record cannot feed every target; None if it can. Names features and inputs, never a value."""
        if not self._parses:
            return None
        example = example_pb2.Example()
        try:
            protos.parse(record, example)
        except message.DecodeError:
            return _NOT_AN_EXAMPLE_BUT_ELWC if _is_elwc(record) else "not a tf.Example"
        features = example.features.feature
        causes = (tensors.cause_of_rejection(features, dense) for dense in self._dense_inputs)
        return next((cause for cause in causes if cause), None)


def _is_elwc(record: bytes) -> bool:
    """Whether a record holds tf.Examples with a context, as TF-Ranking writes them."""
    parsed = input_pb2.ExampleListWithContext()
    try:
        protos.parse(record, parsed)
    except message.DecodeError:
        return False
    return any(example.features.feature for example in parsed.examples)


def _all_parse(records: Sequence[bytes]) -> bool:
    parse = example_pb2.Example().ParseFromString
    try:
        return bool(sum(map(parse, records)) == sum(map(len, records)))
    except message.DecodeError:
        return False
