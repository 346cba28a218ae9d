"""Answers and figures beside others: to the same requests, to recorded ones, and of the model in production."""

from __future__ import annotations

import dataclasses

from infraval import options
from infraval.evidence.boot import Memory


def ratio(one: float | None, other: float | None) -> float | None:
    """How many times the other figure one is; None if either was not measured, or the other is zero."""
    return one / other if one is not None and other else None


@dataclasses.dataclass(frozen=True)
class Compared:
    """One output in pairs of responses, the second of which is what the first is compared with.

    Attributes:
      signature: key of the signature that was called; for MultiInference the keys joined by a comma.
      method: the RPC.
      output: its alias; for MultiInference after the key of its signature and a slash.
      dtype: of its values, such as `float` or `string`.
      responses: how many pairs there were.
      responses_differing: how many of them differ in this output.
      values: how many values the outputs of those responses have.
      values_differing: how many of them differ by more than the tolerance; all if the outputs are not of one shape.
      largest: the largest difference between two finite numbers; None if there are none.
      largest_relative: the same as a share of the larger number, which is 2 if they have opposite signs.
      kinds: in which ways the pairs differ: `value`, `shape`, `dtype`, `missing` or `unreadable`.
      rows: how many rows of scores, of classes if that is what they are, there were.
      rows_differing: how many of them have their highest score in another place.
    """

    signature: str
    method: options.Method
    output: str
    dtype: str = ""
    responses: int = 1
    responses_differing: int = 0
    values: int = 0
    values_differing: int = 0
    largest: float | None = None
    largest_relative: float | None = None
    kinds: tuple[str, ...] = ()
    rows: int = 0
    rows_differing: int = 0


@dataclasses.dataclass(frozen=True)
class Unanswered:
    """Requests that got the same error instead of an answer to compare.

    Attributes:
      signature: key of the signature that was called; for MultiInference the keys joined by a comma.
      method: the RPC.
      code: name of the gRPC status code.
      message: the server's error message, redacted.
      requests: how many they are.
    """

    signature: str
    method: options.Method
    code: str
    message: str = ""
    requests: int = 1


@dataclasses.dataclass(frozen=True)
class Determinism:
    """Answers to the same requests, sent several times.

    Attributes:
      batched: whether the server merges requests that come at the same time.
      requests: how many requests were sent alone, twice each, and then again with others.
      at_once: how many were sent at the same time then.
      alone: the second answers beside the first ones.
      together: the answers to requests that were sent with others beside the first ones.
      unanswered: what got an error when it was sent with others, or a second time.
    """

    batched: bool
    requests: int
    at_once: int
    alone: tuple[Compared, ...] = ()
    together: tuple[Compared, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()


@dataclasses.dataclass(frozen=True)
class Expected:
    """Answers to recorded requests beside the recorded responses.

    Attributes:
      records: how many requests were sent.
      is_part: whether there are more of them in the files.
      answered: how many were answered.
      equal: how many answers equal the recorded response in all outputs.
      compared: the answers beside the recorded responses.
      unanswered: what got an error.
    """

    records: int
    is_part: bool
    answered: int
    equal: int
    compared: tuple[Compared, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()


@dataclasses.dataclass(frozen=True)
class Beside:
    """How long a request of a cell takes, sent to the model and to the baseline in turn.

    Attributes:
      cell: the cell.
      pairs: how often it was sent to each.
      p50_s: median seconds of the model.
      baseline_p50_s: median seconds of the baseline.
      p90_s: 90th percentile of the model; None if it was not sent often enough to tell.
      baseline_p90_s: the same of the baseline.
    """

    cell: options.Cell
    pairs: int
    p50_s: float
    baseline_p50_s: float
    p90_s: float | None = None
    baseline_p90_s: float | None = None

    @property
    def p50_ratio(self) -> float | None:
        """The model's median beside the baseline's."""
        return ratio(self.p50_s, self.baseline_p50_s)

    @property
    def p90_ratio(self) -> float | None:
        """The same of the 90th percentile."""
        return ratio(self.p90_s, self.baseline_p90_s)


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The model beside the one in production, on servers of one kind at the same time.

    Attributes:
      digest: of the baseline's directory.
      size_bytes: of the model's files, but for its warmup file.
      baseline_size_bytes: the same of the baseline.
      requests: how many requests were sent to both.
      latencies: by cell, of those that both answered.
      compared: the model's answers beside the baseline's.
      unanswered: what got an error from the baseline.
      baseline_warmup_records: in the warmup file that came with the baseline.
      baseline_load_time_s: seconds until the baseline was AVAILABLE.
      baseline_memory: of the baseline's server after the load; None if unknown.
    """

    digest: str
    size_bytes: int
    baseline_size_bytes: int
    requests: int
    latencies: tuple[Beside, ...] = ()
    compared: tuple[Compared, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()
    baseline_warmup_records: int = 0
    baseline_load_time_s: float | None = None
    baseline_memory: Memory | None = None
