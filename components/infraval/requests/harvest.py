"""What is known of the records of some shards; what is known of all is merged from that.

However the shards are read, in processes of this machine or by Beam's workers elsewhere, this is the work on each of
them, and the form in which its result comes back.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from infraval import errors
from infraval.requests import sampling, shards, tfrecords

_COUNT = struct.Struct("<Q")


@dataclasses.dataclass
class Harvest:
    """The result of reading some shards.

    Attributes:
      sample: of their records.
      records_read: how many there are.
      problems: code and message for each shard that cannot be read.
    """

    sample: sampling.Sample
    records_read: int = 0
    problems: tuple[tuple[str, str], ...] = ()

    def merge(self, other: Harvest) -> None:
        """Adds what is known of other shards."""
        self.sample.merge(other.sample)
        self.records_read += other.records_read
        self.problems += other.problems


def of_shards(paths: Iterable[str], sample: sampling.Sample, records_per_shard: int | None = None) -> Harvest:
    """Reads shards, or the first records of each, into an empty sample; what is wrong with one is in the result."""
    harvest = Harvest(sample)
    for path in paths:
        try:
            for records in shards.read(path, records_per_shard):
                harvest.records_read += len(records)
                harvest.sample.add(records)
                del records  # which may be large, before the next are read
        except errors.ExamplesError as error:
            harvest.problems += ((error.code, str(error)),)
    return harvest


def dump(harvest: Harvest) -> Iterator[bytes]:
    """A harvest as records: what may be read back from another process or a store, and can be nothing but data."""
    ranks = harvest.sample.ranks()
    head = {
        "records_read": harvest.records_read,
        "problems": harvest.problems,
        "end": harvest.sample.end.hex(),
        "sampled": len(ranks),
    }
    yield json.dumps(head).encode()
    for sampled in map(harvest.sample.at, ranks):
        yield _COUNT.pack(sampled.times) + sampled.record


def load(records: Iterable[bytes], sample: sampling.Sample) -> Harvest:
    """Reads back what `dump` gave, into an empty sample of the same kind.

    Raises:
      ValueError: that is not what `dump` gives, or only a part of it.
    """
    remaining, sampled = iter(records), 0
    try:
        head: dict[str, Any] = json.loads(next(remaining, b""))
        harvest = Harvest(sample, int(head["records_read"]), tuple((code, text) for code, text in head["problems"]))
        end = bytes.fromhex(head["end"])
        for record in remaining:
            sample.add([record[_COUNT.size :]], _COUNT.unpack_from(record))
            sampled += 1
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise ValueError(f"not a harvest: {error}") from error
    if sampled != head.get("sampled"):
        raise ValueError(f"not a whole harvest: it has {sampled} records")
    sample.end_at(end)
    return harvest


def load_from(file: BinaryIO, sample: sampling.Sample) -> Harvest:
    """The same from a TFRecord file of what `dump` gave.

    Raises:
      CorruptError: it is not a whole TFRecord file.
      ValueError: it holds something else, or only a part of it.
    """
    return load((record for chunk in tfrecords.read_from(file) for record in chunk), sample)
