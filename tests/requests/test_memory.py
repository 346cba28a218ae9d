"""What the client holds in memory does not grow with the examples: they go from file to file, one by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infraval.requests import tfrecords
from infraval.tensorflow_protos import example_pb2

MIB = 1 << 20
MANY = 128
MAX_GROWTH_MIB = 80
"""35 to 60 were measured; a single copy of all records in memory is 128."""

CODE = """
import re, sys
from pathlib import Path
from infraval import options
from infraval.requests import preparation
from infraval.staging import warmup_file
from infraval.trial import replay

make_pipeline = None
if sys.argv[2] == "beam":
    from infraval.requests import beam_transform
    make_pipeline = beam_transform.in_memory_pipeline
for number, examples in enumerate(sys.argv[3:]):
    requests = options.RequestOptions(signatures=("classify:classify",), num_examples=1000)
    job = options.Job(model=Path(sys.argv[1]), examples=(examples,), requests=requests)
    folder = Path(examples).parent
    logs, _ = preparation.build(job, preparation.select(job), folder / "requests", make_pipeline, lambda _: None)
    written = warmup_file.write(folder / "warmup", logs, job.warmup)
    sent = replay.OfLogs(logs)
    print(written.records, sum(sent[position][1].ByteSize() for position in range(len(sent))) >> 20)
    # Not ru_maxrss, which begins with that of the process that started this one.
    print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10)
"""


def _write(folder: Path, count: int) -> Path:
    folder.mkdir()
    path = folder / "examples"
    filler = bytes(MIB)

    def record(number: int) -> bytes:
        example = example_pb2.Example()
        example.features.feature["x"].float_list.value[:] = [number]
        example.features.feature["filler"].bytes_list.value.append(filler)
        return example.SerializeToString()

    tfrecords.write(path, map(record, range(count)))
    return path


@pytest.mark.parametrize("reader", ["processes", "beam"])
def test_many_examples_take_no_more_memory_than_a_few(reader: str, sink_model: Path, tmp_path: Path) -> None:
    """All of 128 records of 1 MiB are sampled, built, written to the warmup file and read again to be sent."""
    paths = [_write(tmp_path / str(count), count) for count in (1, MANY)]
    finished = subprocess.run(
        [sys.executable, "-c", CODE, sink_model, reader, *paths], capture_output=True, text=True, check=True
    )
    few, few_mib, many, many_mib = finished.stdout.splitlines()
    assert (few, many) == ("1 1", f"{MANY} {MANY}")
    assert int(many_mib) - int(few_mib) < MAX_GROWTH_MIB
