"""What a shard's harvest costs on one core: reading it, the bytes of its file, and merging it.

The figures of docs/guide/large-data.md; `python tests/benchmarks/harvests.py`.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from infraval.requests import harvest, sampling, tfrecords

SHARD_RECORDS = (1_000, 10_000, 100_000)
RECORD_BYTES = (136, 1_000)
MERGED = 8
NEEDED = 100


def of(path: Path, count: int, record_bytes: int) -> harvest.Harvest:
    """Writes a shard of random records, and reads it."""
    tfrecords.write(path, (os.urandom(record_bytes) for _ in range(count)))
    return _read(path)


def _read(path: Path) -> harvest.Harvest:
    read = harvest.Harvest(sampling.Sample(NEEDED, 0))
    read.read([str(path)])
    return read


def main() -> None:
    """Prints one table."""
    print(f"{'record':>8} {'records':>9} {'records/s':>11} {'MB/s':>7} {'harvest bytes':>15} {'merge ms':>9}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard"
        for record_bytes in RECORD_BYTES:
            for count in SHARD_RECORDS:
                if count * record_bytes > 1 << 30:
                    continue
                parts = [of(path, count, record_bytes)]
                seconds = []
                for _ in range(3):
                    started = time.perf_counter()
                    _read(path)
                    seconds.append(time.perf_counter() - started)
                size = sum(map(len, parts[0].dump()))
                merged_ms = _merge_ms(path, parts, count, record_bytes)
                rate = count / min(seconds)
                print(
                    f"{record_bytes:>8,} {count:>9,} {rate:>11,.0f} {rate * record_bytes / 1e6:>7,.0f} "
                    f"{size:>15,} {merged_ms:>9,.1f}"
                )


def _merge_ms(path: Path, parts: list[harvest.Harvest], count: int, record_bytes: int) -> float:
    parts = parts + [of(path, min(count, 20_000), record_bytes) for _ in range(MERGED - 1)]
    dumped = [list(part.dump()) for part in parts]
    started = time.perf_counter()
    whole = harvest.Harvest(sampling.Sample(NEEDED, 0))
    for part in dumped:
        whole.add([part])
    whole.sample.ranks()
    return (time.perf_counter() - started) / MERGED * 1000


if __name__ == "__main__":
    main()
