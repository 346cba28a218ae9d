"""What is known of the records of some shards; what is known of all is merged from that.

However the shards are read, in processes of this machine or by Beam's workers elsewhere, this is the work on each of
them, and the form in which its result comes back.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from infraval import errors
from infraval.requests import sampling, shards


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

    def read(self, paths: Iterable[str], records_per_shard: int | None = None) -> None:
        """Reads shards, or the first records of each; what is wrong with one is a problem."""
        for path in paths:
            try:
                for records in shards.read(path, records_per_shard):
                    self.records_read += len(records)
                    self.sample.add(records)
                    del records  # which may be large, before the next are read
            except errors.ExamplesError as error:
                self.problems += ((error.code, str(error)),)

    def dump(self) -> Iterator[bytes]:
        """The harvest as records: what `add` takes in another process, or from a store, and can be nothing but data."""
        ranks = self.sample.ranks()
        head = {
            "records_read": self.records_read,
            "problems": self.problems,
            "end": self.sample.end.hex(),
            "times": [self.sample.times(rank) for rank in ranks],
        }
        yield json.dumps(head).encode()
        yield from map(self.sample.record, ranks)

    def add(self, dumped: Iterable[Sequence[bytes]]) -> None:
        """Adds what is known of other shards, by what `dump` gave of them, in chunks of any size.

        Raises:
          ValueError: that is not what `dump` gives, or only a part of it; the harvest is of no use any more.
        """
        chunks = (chunk for chunk in dumped if chunk)
        try:
            head_record, *first = next(chunks, [b""])
            head: dict[str, Any] = json.loads(head_record)
            times = [int(count) for count in head["times"]]
            self.records_read += int(head["records_read"])
            self.problems += tuple((str(code), str(text)) for code, text in head["problems"])
            self.sample.end_at(bytes.fromhex(head["end"]))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"not a harvest: {error}") from error
        counts, added = itertools.chain(times, itertools.repeat(1)), 0
        for records in itertools.chain([first], chunks):
            self.sample.add(records, list(itertools.islice(counts, len(records))))
            added += len(records)
            del records  # which may be large, before the next are read
        if added != len(times):
            raise ValueError(f"not a harvest: it has {added} records instead of the {len(times)} that it claims")
