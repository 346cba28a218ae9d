"""Models whose answers differ from others that a real embedded server gave, and good twins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import infraval
from infraval import options, verdict

SaveModel = Callable[..., Path]
EMBEDDED = options.ProcessServer(server="embedded")
PADDED = "max_batch_size { value: 4 }\nbatch_timeout_micros { value: 100000 }\nallowed_batch_sizes: 4\n"


def _validate(model: Path, examples: Path, **given: Any) -> verdict.Verdict:
    given = {"requests": {"num_examples": 3}} | given
    return infraval.validate(infraval.Job(model=model, examples=str(examples), server=EMBEDDED, **given))


def _finding(judged: verdict.Verdict, gate: str) -> verdict.Finding:
    (found,) = [finding for finding in judged.servers[0].findings if finding.gate == gate]
    return found


def _numbers(names: tf.Tensor) -> tf.Tensor:
    """1, 2, 3 for the three names."""
    return 1 + tf.strings.to_number(tf.strings.substr(names, -1, 1))


def _dropout(names: tf.Tensor) -> tf.Tensor:
    return tf.nn.dropout(tf.tile(_numbers(names)[:, None], [1, 20]), 0.5)


def _share_of_batch(names: tf.Tensor) -> tf.Tensor:
    numbers = _numbers(names)
    return numbers / tf.reduce_sum(numbers)


@pytest.fixture
def padded(tmp_path: Path) -> Path:
    """A batching parameters file that pads every batch to four."""
    path = tmp_path / "batching.txt"
    path.write_text(PADDED)
    return path


def test_dropout_that_is_left_on_fails_for_determinism_alone(
    save_model: SaveModel, secret_examples: Path, secret: str
) -> None:
    """On a server without batches; the reason names the output, and neither request nor answer."""
    judged = _validate(save_model(_dropout), secret_examples, gates={"determinism": {"enabled": True}})
    assert [finding.gate for finding in judged.failures] == ["determinism"]
    assert "'result'" in judged.failures[0].reasons[0]
    assert secret not in repr(judged.failures)
    shown = judged.servers[0].evidence.determinism
    assert shown is not None
    assert not shown.batched
    assert shown.alone[0].responses_differing == shown.requests == 3


def test_a_sum_over_the_batch_fails_for_determinism_alone(
    save_model: SaveModel, secret_examples: Path, padded: Path
) -> None:
    """A server that batches turns the gate on; alone, each request gets the same answer every time."""
    judged = _validate(save_model(_share_of_batch), secret_examples, warmup={"batching_parameters_file": str(padded)})
    assert [finding.gate for finding in judged.failures] == ["determinism"]
    shown = judged.servers[0].evidence.determinism
    assert shown is not None
    assert shown.batched
    assert not any(each.responses_differing for each in shown.alone)
    assert shown.together[0].responses_differing > 0


def test_rows_that_do_not_depend_on_each_other_pass(save_model: SaveModel, secret_examples: Path, padded: Path) -> None:
    """The good twin of both, on a server that batches."""
    judged = _validate(save_model(_numbers), secret_examples, warmup={"batching_parameters_file": str(padded)})
    assert judged.blessed, judged.failures
    assert _finding(judged, "determinism").status is verdict.Status.PASSED
