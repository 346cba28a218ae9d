"""What to do next, by symptom: one table, whose sentences are fixed.

A message that a model may write can bring up a hint, but is never a part of it: only numbers and option names of
infraval's own are filled in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from infraval import evidence, options, verdict
from infraval.requests import signatures


@dataclasses.dataclass(frozen=True)
class _Case:
    """What hints are found in.

    Attributes:
      job: what was asked for.
      judged: what came of it.
      signatures: of the model, by key.
    """

    job: options.Job
    judged: verdict.Verdict
    signatures: Mapping[str, signatures.Signature]

    @property
    def outcomes(self) -> tuple[evidence.Outcome, ...]:
        """Of all servers."""
        return tuple(outcome for server in self.judged.servers for outcome in server.evidence.decisive.outcomes)

    @property
    def messages(self) -> Iterator[str]:
        """What the servers said of failures, redacted."""
        for server in self.judged.servers:
            for boot in filter(None, (server.evidence.boot, server.evidence.without_warmup)):
                if isinstance(boot.failure, evidence.Refused):
                    yield boot.failure.message
                yield from (outcome.message for outcome in boot.outcomes)


_Values: TypeAlias = Mapping[str, object]
"""What is filled into a hint's sentence."""


def _no_variable(case: _Case) -> _Values | None:
    return {} if any("Could not find variable" in message for message in case.messages) else None


def _no_image(case: _Case) -> _Values | None:
    if not any("Unknown image file format" in message for message in case.messages):
        return None
    failed = {(each.cell.signature, each.cell.method) for each in case.outcomes if not each.ok}
    fed = case.judged.examples.fed if case.judged.examples else ()
    records = {each.feature is None for each in fed if (each.signature, each.method) in failed}
    return {"fed": "something" if len(records) != 1 else "whole records" if records.pop() else "a feature"}


def _late(case: _Case) -> _Values | None:
    limits, outcomes = case.job.limits, case.outcomes
    # The server may have a shorter limit of its own; the two clocks of one request differ by little.
    least_s = 0.9 * limits.request_timeout_s
    late = sum(each.code == evidence.LATE and each.latency_s >= least_s for each in outcomes)
    values = {
        "late": late,
        "requests": len(outcomes),
        "limit_s": limits.request_timeout_s,
        "concurrency": limits.concurrency,
    }
    return values if late else None


def _batches_of_one(case: _Case) -> _Values | None:
    examples = case.judged.examples
    if examples is None:
        return None
    not_fed = examples.constants.keys() | set(examples.defaults)
    called = {key for outcome in case.outcomes for key in outcome.cell.signature.split(",")} & case.signatures.keys()
    fixed = sum(
        any(
            tensor.shape and tensor.shape[0] == 1 and f"{key}/{alias}" not in not_fed
            for alias, tensor in case.signatures[key].inputs.items()
        )
        for key in called
    )
    return {"fixed": fixed, "called": len(called)} if fixed else None


def _not_kept(case: _Case) -> _Values | None:
    return {} if case.judged.blessed and case.job.output is None else None


@dataclasses.dataclass(frozen=True)
class _Row:
    """A row of the table.

    Attributes:
      code: of the hint.
      find: the values for its sentence; None if the symptom is not there.
      sentence: with a place for each value.
    """

    code: str
    find: Callable[[_Case], _Values | None]
    sentence: str


_ROWS = (
    _Row(
        "keras-3-export",
        _no_variable,
        "TF Serving finds no value for a variable of the model. If it is a Keras 3 model that tf.saved_model.save "
        "wrote, export it with keras.export.ExportArchive, or through a tf.Module that holds the variables "
        "(docs/guide/switching.md).",
    ),
    _Row(
        "not-an-image",
        _no_image,
        "An input that decodes images was fed {fed}, in which there is no encoded image (examples.fed in the report). "
        "Name the feature that holds one with --feature SIGNATURE/INPUT=FEATURE (requests.features).",
    ),
    _Row(
        "request-timeout",
        _late,
        "{late} of {requests} requests had no answer within --request-timeout (limits.request_timeout_s), which is "
        "{limit_s:g} s. If the model is only slow, raise it, or lower --concurrency (limits.concurrency), which is "
        "{concurrency}.",
    ),
    _Row(
        "batch-of-one",
        _batches_of_one,
        "{fixed} of {called} signatures that were called take batches of 1 only, so TF Serving cannot batch their "
        "requests. To batch, export them with a first dimension of None.",
    ),
    _Row(
        "not-kept",
        _not_kept,
        "The copy that was blessed is not kept. To get it, give --output DIR (output).",
    ),
)


def of(
    job: options.Job, judged: verdict.Verdict, available: Mapping[str, signatures.Signature]
) -> tuple[verdict.Hint, ...]:
    """The hints for a verdict, in the order of the table.

    Args:
      job: what was asked for.
      judged: what came of it.
      available: the model's signatures.
    """
    case = _Case(job, judged, available)
    found = ((row, row.find(case)) for row in _ROWS)
    return tuple(verdict.Hint(row.code, row.sentence.format_map(values)) for row, values in found if values is not None)
