"""Which records can feed the targets; the others are dead letters, counted by cause."""

from __future__ import annotations

from collections.abc import Sequence

from infraval.requests import record_kinds, targets, tensors


class Acceptance:
    """Tells records that can feed every target from those that cannot."""

    def __init__(self, called: Sequence[targets.Target]) -> None:
        self._takes_examples = any(target.takes_examples for target in called)
        self._takes_lists = any(target.takes_lists for target in called)
        self._dense_inputs = list(dict.fromkeys(dense for target in called for dense in target.dense_inputs))

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
        for dense in self._dense_inputs:
            if cause := tensors.cause_of_rejection(features, dense):
                return cause
        return None
