"""Which records can feed the targets; the others are dead letters, counted by cause.

Every record of every shard passes through here, so TensorFlow's and protobuf's parsers, both in C++, first check a
chunk as a whole. Only a chunk in which something is wrong is checked record by record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from google.protobuf import message

from infraval.requests import record_kinds, targets, tensors
from infraval.tensorflow_protos import example_pb2


class Acceptance:
    """Sorts out records that cannot feed every target."""

    def __init__(self, called: Sequence[targets.Target]) -> None:
        self._takes_examples = any(target.takes_examples for target in called)
        self._takes_lists = any(target.takes_lists for target in called)
        self._dense_inputs = list(dict.fromkeys(dense for target in called for dense in target.dense_inputs))

    def accepted(self, records: Sequence[bytes], dead_letters: Counter[str]) -> Sequence[bytes]:
        """The records that can feed every target, in their order; the others are counted as dead letters by cause."""
        if not records or self._all_fit(records):
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
        if self._takes_lists:
            return False  # both readings of a list must be looked at
        if not self._takes_examples:
            return True
        return _all_parse(records) and (not self._dense_inputs or tensors.all_fit(records, self._dense_inputs))

    def cause_of_rejection(self, record: bytes) -> str | None:
        """Why a record cannot feed every target; None if it can. Names features and inputs, never a value."""
        if self._takes_lists:
            examples = record_kinds.example_list(record)
            if examples is None:
                is_example = record_kinds.example(record) is not None
                return f"{'a tf.Example and ' if is_example else ''}not an ExampleListWithContext"
            if not examples.examples:
                return "an ExampleListWithContext without examples"
        if not self._takes_examples:
            return None
        example = record_kinds.example(record)
        if example is None:
            is_list = record_kinds.example_list(record) is not None
            return f"{'an ExampleListWithContext and ' if is_list else ''}not a tf.Example"
        features = example.features.feature
        causes = (tensors.cause_of_rejection(features, dense) for dense in self._dense_inputs)
        return next((cause for cause in causes if cause), None)


def _all_parse(records: Sequence[bytes]) -> bool:
    parse = example_pb2.Example().ParseFromString
    try:
        parsed = sum(map(parse, records))
    except message.DecodeError:
        return False
    return bool(parsed == sum(map(len, records))) and all(map(record_kinds.cannot_be_a_list, records))
