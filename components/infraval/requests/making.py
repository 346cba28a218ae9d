"""The sampled records -> those that fit, and the requests that are built of them."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from infraval import errors, options
from infraval.requests import acceptance, builders, coverage, prediction_logs, sampling, targets
from infraval.requests.harvest import Harvest
from infraval.tensorflow_protos import prediction_log_pb2

_MAX_REQUEST_BYTES = 1 << 30
"""Most that the records in a request may have together: no proto has 2 GiB, and tensors are larger than records."""

_MAX_REQUESTS_BYTES = 8 << 30
"""Most that the records in all requests may have together: they are on disk, in the warmup file too."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to build.

    Attributes:
      targets: what to call.
      batch_sizes: examples per request; each is a cell with every target that does not take lists.
      num_examples: distinct examples to send to each cell.
      seed: of the sample.
      model_name: for the requests' ModelSpec.
      max_dead_letter_share: the share of all records that may be left out.
      records_per_shard: how many to read of each shard, from its beginning; None for all.
    """

    targets: tuple[targets.Target, ...]
    batch_sizes: tuple[int, ...]
    num_examples: int
    seed: int
    model_name: str
    max_dead_letter_share: float = options.RequestOptions().max_dead_letter_share
    records_per_shard: int | None = None

    @property
    def needed(self) -> int:
        """Records that fill the largest batch and give all distinct examples."""
        return max(self.num_examples, *self.batch_sizes)

    def empty_harvest(self) -> Harvest:
        """A harvest whose sample has enough of the records."""
        return Harvest(sampling.Sample(self.needed, self.seed))


@dataclasses.dataclass(frozen=True)
class Requests:
    """Prepared requests.

    Attributes:
      path: TFRecord of PredictionLogs; the first ones cover every cell once.
      count: how many there are.
      records_read: records in all shards.
      records_checked: how many of them were looked at; those that occur several times count as often.
      dead_letters: how many of these fit no request, by cause.
      dead_letter_share_at_most: the share of all records, with a confidence of 99 %; None if all were looked at.
    """

    path: Path
    count: int
    records_read: int
    records_checked: int
    dead_letters: dict[str, int]
    dead_letter_share_at_most: float | None


class _Fitting:
    """The records that requests are built of, which stay in the sample's file: what is known of each without it."""

    def __init__(self, plan: Plan, sample: sampling.Sample) -> None:
        self.ranks: list[bytes] = []
        self._sample = sample
        self._room = _MAX_REQUESTS_BYTES
        self._targets = plan.targets
        self._buckets: list[list[Hashable]] = [[] for _ in plan.targets]
        self._known: dict[Hashable, Hashable] = {}  # few, and each of them is held once

    def add(self, rank: bytes, record: bytes) -> None:
        """Adds the sampled record of this rank."""
        self.ranks.append(rank)
        for target, buckets in zip(self._targets, self._buckets, strict=True):
            bucket = builders.shape_bucket(target, record)
            buckets.append(self._known.setdefault(bucket, bucket))

    def shape_bucket(self, target: int, position: int) -> Hashable:
        """What a record must have in common with others to share a batch of a target."""
        return self._buckets[target][position]

    def take(self, positions: Sequence[int]) -> list[bytes]:
        """The records at these positions, for a request.

        Raises:
          ExamplesError: they have more bytes than a request, or all so far more than all requests may have.
        """
        records: list[bytes] = []
        size = 0
        for position in positions:
            record = self._sample.record(self.ranks[position])
            size += len(record)
            if size > _MAX_REQUEST_BYTES:
                raise _too_large(f"a single request takes more than {_MAX_REQUEST_BYTES >> 20} MiB")
            if size > self._room:
                raise _too_large(f"the requests take more than {_MAX_REQUESTS_BYTES >> 20} MiB")
            records.append(record)
        self._room -= size
        return records


def make(plan: Plan, harvest: Harvest, path: Path) -> Requests:
    """Builds requests of the sampled records that fit, and writes them to `path`.

    Raises:
      ExamplesError: a shard cannot be read, there is no record, too many records do not fit, or the requests would be
        too large.
    """
    if harvest.problems:
        code, message = min(harvest.problems)
        more = f" ({len(harvest.problems) - 1} more problems like this.)" if len(harvest.problems) > 1 else ""
        raise errors.ExamplesError(message + more, code=code)
    accept = acceptance.Acceptance(plan.targets)
    dead_letters: Counter[str] = Counter()
    fitting = _Fitting(plan, harvest.sample)
    checked = 0
    needed, ranks = plan.needed, harvest.sample.ranks()
    for rank in ranks:
        record, count = harvest.sample.record(rank), harvest.sample.times(rank)
        checked += count
        if cause := accept.cause_of_rejection(record):
            dead_letters[cause] += count
        elif len(fitting.ranks) < needed:
            fitting.add(rank, record)
        del record  # which may be large, before the next is read
    _check_share(plan, harvest, dead_letters, checked)
    if len(fitting.ranks) < needed and not harvest.sample.is_whole:
        if harvest.sample.is_cut:
            raise _too_large(f"the sample of them takes more than {sampling.LIMITS.max_bytes >> 20} MiB")
        raise errors.ExamplesError(
            f"Only {len(fitting.ranks)} of {checked} sampled records can feed the requested signatures, and "
            f"{needed} are needed. Use fewer (--num-examples, requests.num_examples) or smaller batches "
            "(--batch-size, warmup.batch_sizes).",
            code="examples/unfit",
        )
    count = prediction_logs.write(path, _build(plan, fitting))
    at_most = None if harvest.sample.is_whole else _upper_bound(sum(dead_letters.values()) / checked, len(ranks))
    return Requests(path, count, harvest.records_read, checked, dict(sorted(dead_letters.items())), at_most)


def _upper_bound(share: float, size: int) -> float:
    """Wilson's one-sided bound, with a confidence of 99 %, on the share of a population of which a sample is known."""
    z = 2.326
    middle = share + z * z / (2 * size)
    spread = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    return min(1.0, (middle + spread) / (1 + z * z / size))


def _too_large(what: str) -> errors.ExamplesError:
    return errors.ExamplesError(
        f"The examples are too large for so many: {what}. Use fewer of them (--num-examples, requests.num_examples) or "
        "smaller batches (--batch-size, warmup.batch_sizes).",
        code="examples/too-large",
    )


def _check_share(plan: Plan, harvest: Harvest, dead_letters: Counter[str], checked: int) -> None:
    left_out = sum(dead_letters.values())
    if left_out <= plan.max_dead_letter_share * checked and left_out < checked:
        return
    causes = "; ".join(f"{cause} ({count} times)" for cause, count in dead_letters.most_common(3))
    of_all = "" if harvest.sample.is_whole else f", sampled from {harvest.records_read},"
    raise errors.ExamplesError(
        f"{left_out} of {checked} records{of_all} cannot feed the requested signatures: {causes}. At most a share of "
        f"{plan.max_dead_letter_share:g} may be left out, and never all. Fix the examples or --feature "
        "(requests.features), or raise --max-dead-letter-share (requests.max_dead_letter_share).",
        code="examples/unfit",
    )


def _build(plan: Plan, fitting: _Fitting) -> Iterator[prediction_log_pb2.PredictionLog]:
    cells = [
        ((number, size), size)
        for number, target in enumerate(plan.targets)
        if target.takes_records
        for size in target.records_per_request(plan.batch_sizes)
    ]
    for target in plan.targets:
        if not target.takes_records:
            yield builders.build(target, plan.model_name, ())

    def shape_bucket(cell: tuple[int, int], position: int) -> Hashable:
        return fitting.shape_bucket(cell[0], position)

    for (number, _), batch in coverage.deal(cells, plan.num_examples, range(len(fitting.ranks)), shape_bucket):
        yield builders.build(plan.targets[number], plan.model_name, fitting.take(batch))
