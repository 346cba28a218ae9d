"""Speed of `prepare` against its peers, in one run on one machine: `make bench`, or RECORDS=4000000 for more records.

Every measurement is a process of its own, so that none warms or fattens another. Rates are ratios against a peer of
the same run: absolute numbers say more about the machine than about the code.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RECORD_BYTES = 136
FILLER_BYTES = 94
SHARDS = 8
ROUNDS, REPEATS = 3, 2
"""Measurements take turns, and the best counts: whatever else the machine does only ever slows a run down."""
RECORDS = int(os.environ.get("RECORDS", "1_000_000"))
FEW, MANY = 100_000, 1_000_000
MIB = 1 << 20
SINK = Path(__file__).parents[1] / "golden" / "models" / "sink" / "1"

TARGETS = {
    # peer, least ratio
    "prepare, string signature": [("Beam ReadFromTFRecord | FixedSizeGlobally", 10.0), ("bare record iterator", 1.0)],
    "prepare, dense inputs": [("bare record iterator", 0.9)],
    "prepare, Classify": [("bare record iterator", 0.9)],
}
MAX_GROWTH_MIB = 100
LARGE_RECORDS, LARGE_BYTES = 200, 1_000_000
MAX_PEAK_LARGE_MIB = 500_000_000 / MIB


def write_shards(folder: Path, count: int, *, compressed: bool) -> None:
    """Writes tf.Examples of exactly RECORD_BYTES bytes: feature x of three floats, and a filler."""
    import tensorflow as tf  # noqa: PLC0415 - each measurement imports what it measures, after its clock has started

    rng = random.Random(count)  # noqa: S311 - data for a benchmark, not a secret
    folder.mkdir()
    options = tf.io.TFRecordOptions(compression_type="GZIP" if compressed else "")
    suffix = ".gz" if compressed else ""
    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(folder / f"data-{shard:05d}{suffix}"), options) as writer:
            for _ in range(count // SHARDS):
                example = tf.train.Example()
                example.features.feature["x"].float_list.value[:] = [rng.random() for _ in range(3)]
                example.features.feature["filler"].bytes_list.value.append(rng.randbytes(FILLER_BYTES))
                record = example.SerializeToString()
                if len(record) != RECORD_BYTES:
                    raise AssertionError(f"{len(record)} bytes instead of {RECORD_BYTES}")
                writer.write(record)


def write_large_shards(folder: Path) -> None:
    """Writes tf.Examples that are all sampled: LARGE_RECORDS of LARGE_BYTES bytes and a little more."""
    from infraval.requests import tfrecords  # noqa: PLC0415
    from infraval.tensorflow_protos import example_pb2  # noqa: PLC0415

    def record(_: int) -> bytes:
        example = example_pb2.Example()
        example.features.feature["filler"].bytes_list.value.append(os.urandom(LARGE_BYTES))
        return example.SerializeToString()

    folder.mkdir()
    for shard in range(SHARDS):
        tfrecords.write(folder / f"data-{shard:05d}", map(record, range(LARGE_RECORDS // SHARDS)))


def measure(name: str, folder: str) -> dict[str, float]:
    """Runs one measurement in this process."""
    started = time.perf_counter()
    run = (MEASUREMENTS | LARGE)[name]()
    start_up_s = time.perf_counter() - started
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        records = run(folder)
        seconds.append(time.perf_counter() - started)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    return {"rate": records / min(seconds), "start_up_s": start_up_s, "peak_mib": peak_kib * 1024 / MIB}


def _bare() -> Callable[[str], int]:
    iterate = _iterator()
    return lambda folder: sum(1 for _ in iterate(folder))


def _iterator() -> Callable[[str], object]:
    import tensorflow as tf  # noqa: PLC0415

    kinds = tf.compat.v1.io.TFRecordCompressionType

    def iterate(folder: str) -> object:
        for path in sorted(Path(folder).iterdir()):
            options = tf.compat.v1.io.TFRecordOptions(kinds.GZIP if path.suffix == ".gz" else kinds.NONE)
            yield from tf.compat.v1.io.tf_record_iterator(str(path), options)

    return iterate


def _beam() -> Callable[[str], int]:
    import apache_beam as beam  # noqa: PLC0415
    from apache_beam.runners.portability import fn_api_runner  # noqa: PLC0415

    def run(folder: str) -> int:
        result = beam.Pipeline(runner=fn_api_runner.FnApiRunner())
        records = result | beam.io.ReadFromTFRecord(f"{folder}/*")
        _ = records | beam.combiners.Sample.FixedSizeGlobally(10) | beam.Map(len)
        result.run().wait_until_finish()
        return RECORDS

    return run


def _prepare(*signatures: str, beam_too: bool = False, num_examples: int = 10) -> Callable[[], Callable[[str], int]]:
    def start() -> Callable[[str], int]:
        from infraval import options  # noqa: PLC0415
        from infraval.requests import graph, making, processes, shards, targets  # noqa: PLC0415
        from infraval.requests import signatures as reader  # noqa: PLC0415

        def run(folder: str) -> int:
            paths = shards.find([f"{folder}/*"])
            called, _ = targets.resolve(
                options.RequestOptions(signatures=signatures),
                reader.read(SINK),
                shards.peek(paths),
                (1, 4),
                graph.of(reader.meta_graph(SINK)),
            )
            plan = making.Plan(tuple(called), (1, 4), num_examples, 0, "sink")
            with tempfile.TemporaryDirectory() as output:
                if beam_too:
                    from infraval.requests import beam_transform  # noqa: PLC0415

                    found = beam_transform.collect(plan, paths, Path(output), beam_transform.in_memory_pipeline)
                else:
                    found = processes.collect(plan, paths)
                prepared = making.make(plan, found, Path(output) / "requests")
            return prepared.records_read

        return run

    return start


MEASUREMENTS: dict[str, Callable[[], Callable[[str], int]]] = {
    "bare record iterator": _bare,
    "Beam ReadFromTFRecord | FixedSizeGlobally": _beam,
    "prepare, string signature": _prepare("classify"),
    "prepare, string signature, with Beam": _prepare("classify", beam_too=True),
    "prepare, dense inputs": _prepare("serving_default"),
    "prepare, Classify": _prepare("classify:classify"),
}
LARGE = {"prepare, large records": _prepare("classify:classify", num_examples=LARGE_RECORDS)}


def _in_own_process(*arguments: str) -> dict[str, float]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, __file__, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if finished.returncode:
        raise SystemExit(finished.stderr)
    measured: dict[str, float] = json.loads(finished.stdout or "{}")
    return measured


def _compare(folder: Path, kind: str) -> bool:
    print(f"\n{kind} shards, {RECORDS:,} records of {RECORD_BYTES} bytes")
    results: dict[str, dict[str, float]] = {}
    for name in list(MEASUREMENTS) * ROUNDS:
        result = _in_own_process("--measure", name, str(folder))
        if name not in results or result["rate"] > results[name]["rate"]:
            results[name] = result
    for name, result in results.items():
        print(f"  {name:<44} {result['rate']:>11,.0f} records/s   (start-up {result['start_up_s']:.1f} s)")
    good = True
    for name, peers in TARGETS.items():
        for peer, least in peers:
            ratio = results[name]["rate"] / results[peer]["rate"]
            good &= ratio >= least
            print(f"  {name} / {peer}: {ratio:.2f} (at least {least:g}: {'yes' if ratio >= least else 'NO'})")
    return good


def main() -> int:
    """Measures everything; exit code 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=3, metavar=("FOLDER", "COUNT", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return 0
    if options.write:
        folder, count, kind = options.write
        if kind == "large":
            write_large_shards(Path(folder))
        else:
            write_shards(Path(folder), int(count), compressed=kind == "gzip")
        return 0
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("gzip", "plain"):
            _in_own_process("--write", str(folder / kind), str(RECORDS), kind)
            good &= _compare(folder / kind, kind)
        peaks = []
        for count in (FEW, MANY):
            _in_own_process("--write", str(folder / str(count)), str(count), "gzip")
            peaks.append(
                _in_own_process("--measure", "prepare, string signature", str(folder / str(count)))["peak_mib"]
            )
        growth = peaks[1] - peaks[0]
        good &= growth < MAX_GROWTH_MIB
        print(
            f"\npeak memory: {peaks[0]:.0f} MiB at {FEW:,} records, {peaks[1]:.0f} MiB at {MANY:,}: {growth:+.0f} MiB"
        )
        print(f"  growth under {MAX_GROWTH_MIB} MiB: {'yes' if growth < MAX_GROWTH_MIB else 'NO'}")
        _in_own_process("--write", str(folder / "large"), str(LARGE_RECORDS), "large")
        peak = _in_own_process("--measure", *LARGE, str(folder / "large"))["peak_mib"]
        good &= peak <= MAX_PEAK_LARGE_MIB
        print(f"\npeak memory, 200 MB of samples: {peak * MIB / 1e6:.0f} MB")
        print(f"  at most 500 MB: {'yes' if peak <= MAX_PEAK_LARGE_MIB else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
