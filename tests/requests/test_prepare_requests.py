"""From shards of real Examples to the file of requests, in processes of the client and through Beam."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, options, signals, storage
from infraval.requests import beam_transform, making, prediction_logs, processes, sampling, shards, tfrecords

GARBAGE = [b"\xff\xffGrace.Hopper.1906", b"Grace.Hopper.1906\xff", b"the name is Grace.Hopper.1906"]
"""No tf.Examples; the name stands for personal data in them."""

STOPPED = "ignore:Unexpected end-group tag:RuntimeWarning"
"""protobuf 3.20's way to say that it stopped in the middle, as of the last of these."""

Prepare = Callable[..., making.Requests]
WriteShards = Callable[..., str]


def records_of(log: prediction_log_pb2.PredictionLog) -> list[bytes]:
    """The serialized Examples of a Predict request to the taxi model."""
    return list(log.predict_log.request.inputs["examples"].string_val)


def test_any_sharding_gives_the_same_file(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """One shard or twelve, gzip or plain, in any order, with records that come twice: the same bytes."""
    another_order = sorted(taxi_records)
    patterns = [
        write_shards(taxi_records, 1, "one"),
        write_shards(another_order, 3, "three"),
        write_shards(taxi_records[::-1], 12, "twelve_plain", suffix=""),
        write_shards(another_order + taxi_records[:50], 12, "twelve_with_duplicates"),
    ]
    keys = ("predict", "classification", "regression")
    files = set()
    for number, pattern in enumerate(patterns):
        prepared = prepare(pattern, *keys, name=str(number), batch_sizes=(1, 8), num_examples=20)
        assert prepared.count == len(list(prediction_logs.read(prepared.path))) == 3 * (20 + 3)
        files.add(prepared.path.read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("way", ["in_memory", "multi_threading", "alone", "processes"])
def test_every_way_gives_the_same_file(
    way: str, taxi_examples: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 15,000 Examples of both splits: Beam in this process or as TFX starts it, and the client without Beam."""
    pattern = str(taxi_examples / "Split-*" / "*")
    plan = {"batch_sizes": (1, 4), "num_examples": 5}
    here = prepare(pattern, "predict", "regression", name="here", beam_too=True, **plan)
    if way == "processes":
        monkeypatch.setattr(processes, "_START_BYTES", 1)
    given = () if way in {"alone", "processes"} else (f"--direct_running_mode={way}", "--direct_num_workers=2")
    there = prepare(pattern, "predict", "regression", name="there", given=given, **plan)
    assert here.path.read_bytes() == there.path.read_bytes()
    assert dataclasses.replace(there, path=here.path) == here
    assert here.records_read == 15_000
    assert 10_000 <= here.records_checked < 15_000
    assert here.dead_letter_share_at_most == pytest.approx(0.00054, abs=0.00001)


def test_all_records_are_looked_at_if_there_are_few(taxi_examples: Path, prepare: Prepare) -> None:
    """The share of those that do not fit is then no estimate."""
    prepared = prepare(str(taxi_examples / "Split-eval" / "*"))
    assert prepared.records_read == prepared.records_checked == 5091
    assert prepared.dead_letter_share_at_most is None


def test_the_share_of_records_that_do_not_fit_is_estimated(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the records is bad, one of them very often: what was looked at says about that, and the error too."""
    monkeypatch.setattr(sampling, "LIMITS", sampling.Limits(spare_records=100))
    bad = [b"\xff%d" % number for number in range(212)]
    pattern = write_shards([*taxi_records, *bad], 3)
    prepared = prepare(pattern, "regression", share=0.5)
    assert prepared.records_read == 636
    assert prepared.records_checked == 100
    share = sum(prepared.dead_letters.values()) / 100
    assert 0.15 < share < 0.52
    assert share < (prepared.dead_letter_share_at_most or 0) < share + 0.13
    with pytest.raises(errors.ExamplesError, match=r"of 100 records, sampled from 636, cannot feed") as caught:
        prepare(pattern, "regression", share=0.1)
    assert caught.value.code == "examples/unfit"


def test_more_examples_are_needed_than_were_found_to_fit(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent fewer in silence."""
    monkeypatch.setattr(sampling, "LIMITS", sampling.Limits(spare_records=1))
    pattern = write_shards([*taxi_records[:40], *(b"\xff%d" % number for number in range(360))])
    with pytest.raises(errors.ExamplesError, match="and 30 are needed") as caught:
        prepare(pattern, "regression", num_examples=30, share=0.99)
    assert caught.value.code == "examples/unfit"


def test_the_seed_decides(taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare) -> None:
    """Requests hold the sample of all records; another seed, other records."""
    pattern = write_shards(taxi_records, 3)
    for seed in (0, 2**64 - 1):
        sample = sampling.Sample(5, seed)
        sample.add(taxi_records)
        prepared = prepare(pattern, name=str(seed), num_examples=5, seed=seed)
        assert [records_of(log) for log in prediction_logs.read(prepared.path)] == [
            [sample.record(rank)] for rank in sample.ranks()[:5]
        ]


def test_the_first_requests_touch_every_cell(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """Each signature, by its own RPC, at each batch size."""
    prepared = prepare(
        write_shards(taxi_records), "regression", "predict", "serving_default", batch_sizes=(4, 1), num_examples=6
    )
    cells = [prediction_logs.cell(log) for log in prediction_logs.read(prepared.path)]
    methods = {
        "regression": options.Method.REGRESS,
        "predict": options.Method.PREDICT,
        "serving_default": options.Method.CLASSIFY,
    }
    assert cells[:6] == [options.Cell(key, methods[key], size) for key, size in itertools.product(methods, (4, 1))]
    assert len(cells) == prepared.count == 3 * (2 + 6)


def test_more_examples_asked_for_than_there_are(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """All distinct ones are sent, each once; what was read is counted with its duplicates."""
    prepared = prepare(write_shards(taxi_records[:3] * 4, 2), num_examples=100)
    sent = [record for log in prediction_logs.read(prepared.path) for record in records_of(log)]
    assert sorted(sent) == sorted(taxi_records[:3])
    assert (prepared.count, prepared.records_read) == (3, 12)


def test_fewer_distinct_records_than_the_batch_takes(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """Batches are full all the same; the records start over."""
    prepared = prepare(write_shards(taxi_records[:2]), batch_sizes=(5,))
    (log,) = prediction_logs.read(prepared.path)
    assert len(records_of(log)) == 5
    assert set(records_of(log)) == set(taxi_records[:2])


@pytest.mark.filterwarnings(STOPPED)
def test_records_that_are_no_examples_are_counted_and_left_out(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """Classify and Regress carry parsed Examples; the good records around the bad ones are all sent."""
    good = taxi_records[:5]
    pattern = write_shards([good[0], *GARBAGE, *good[1:]], 3)
    for name in ("classification", "regression"):
        prepared = prepare(pattern, name, name=name, num_examples=100, share=0.4)
        assert (prepared.count, prepared.records_read) == (5, 8)
        assert prepared.dead_letters == {"not a tf.Example": 3}
        assert b"Grace" not in prepared.path.read_bytes()


@pytest.mark.filterwarnings(STOPPED)
def test_nothing_but_garbage_is_an_error_without_its_content(
    write_shards: WriteShards, prepare: Prepare, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The message counts by cause; no byte of a record is in it, nor in any output."""
    with pytest.raises(errors.ExamplesError, match=r"not a tf\.Example \(3 times\)") as caught:
        prepare(write_shards(GARBAGE), "classification")
    out, err = capfd.readouterr()
    assert "Hopper" not in f"{caught.value} {caught.value.__cause__} {out} {err} {caplog.text}"


@pytest.mark.filterwarnings(STOPPED)
@pytest.mark.parametrize(("share", "good"), [(0.2, 8), (0.19, 0), (0, 0), (1, 8)])
def test_how_many_may_be_left_out(
    share: float, good: int, taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """Two of ten are a share of 0.2: taken if so many may be, else an error that says how to let them pass."""
    pattern = write_shards([*GARBAGE[:2], *taxi_records[:8]], 3)
    if good:
        prepared = prepare(pattern, "regression", num_examples=100, share=share)
        assert (prepared.count, prepared.dead_letters) == (good, {"not a tf.Example": 2})
        return
    message = r"2 of 10 records cannot feed .*: not a tf\.Example \(2 times\)\. .*raise --max-dead-letter-share"
    with pytest.raises(errors.ExamplesError, match=message):
        prepare(pattern, "regression", share=share)


@pytest.mark.filterwarnings(STOPPED)
def test_all_is_never_left_out(write_shards: WriteShards, prepare: Prepare) -> None:
    """Whatever the share: nothing would be validated."""
    with pytest.raises(errors.ExamplesError, match=r"3 of 3 records cannot feed .* and never all"):
        prepare(write_shards(GARBAGE), "regression", share=1)


def test_the_most_frequent_causes_are_told(
    sink_model: Path, write_shards: WriteShards, prepare: Prepare, taxi_records: list[bytes]
) -> None:
    """By number, the first three; a cause names feature and input."""
    records = []
    for number in range(10):
        example = example_pb2.Example()
        example.features.feature["x"].float_list.value.extend([1.0] * (number % 2 + 1))
        records.append(example.SerializeToString())
    message = (
        r"13 of 13 .*: feature 'x' has the wrong number of values for input 'x' \(float\[3\]\) \(10 times\); "
        r"no feature 'x' \(for input 'x'\) \(3 times\)\."
    )
    with pytest.raises(errors.ExamplesError, match=message):
        prepare(
            write_shards([*records, *taxi_records[:3]]), "serving_default", model=sink_model, records=records, share=0.5
        )


@pytest.mark.parametrize("second", ["int64_list", "float_list"])
def test_a_record_that_can_be_read_in_two_ways_is_no_request(
    second: str, sink_model: Path, write_shards: WriteShards, prepare: Prepare
) -> None:
    """A Feature with two lists, as no protobuf library writes it, whether its neighbours are good or bad."""

    def feature(kind: str, *values: float) -> bytes:
        made = feature_pb2.Feature()
        getattr(made, kind).value.extend(values)
        return made.SerializeToString()

    def record(serialized: bytes) -> bytes:
        entry = b"\x0a\x01x\x12" + bytes([len(serialized)]) + serialized
        features = b"\x0a" + bytes([len(entry)]) + entry
        return b"\x0a" + bytes([len(features)]) + features

    good = record(feature("float_list", 1, 2, 3))
    odd = record(feature("float_list", 1, 2, 3) + feature(second, 4))
    plan = {"model": sink_model, "records": [good], "num_examples": 9, "share": 0.7}
    for number, records in enumerate(([good, odd], [good, odd, b"\xff"])):
        prepared = prepare(write_shards(records, folder=str(number)), "serving_default", **plan)
        assert (prepared.count, sum(prepared.dead_letters.values())) == (1, number + 1)


def test_requests_of_several_shapes(
    sink_model: Path, sink_examples: Path, sink_features: tuple[str, ...], prepare: Prepare
) -> None:
    """An input of unknown size is fed by content: a batch holds one shape, all examples are sent, none is lost."""
    prepared = prepare(
        str(sink_examples),
        "dynamic",
        "two_inputs",
        model=sink_model,
        features=(*sink_features[:1], "dynamic/x=series"),
        records=list(shards.peek([str(sink_examples)])),
        batch_sizes=(1, 4),
        num_examples=9,
    )
    logs = list(prediction_logs.read(prepared.path))
    assert [str(prediction_logs.cell(log)) for log in logs[:4]] == [
        str(options.Cell(key, options.Method.PREDICT, size)) for key in ("dynamic", "two_inputs") for size in (1, 4)
    ]
    tensors = [log.predict_log.request.inputs["x"] for log in logs if "x" in log.predict_log.request.inputs]
    sizes = Counter(tuple(dim.size for dim in tensor.tensor_shape.dim) for tensor in tensors)
    assert sum(count for (batch, _), count in sizes.items() if batch == 1) == 9
    assert {length for batch, length in sizes if batch == 4} == {length for batch, length in sizes if batch == 1}
    assert len(logs) == prepared.count


def test_predict_takes_any_bytes(write_shards: WriteShards, prepare: Prepare) -> None:
    """A string input may hold images as well as Examples: what they are is for the model to say."""
    prepared = prepare(write_shards(GARBAGE), num_examples=3)
    assert prepared.dead_letters == {}
    assert {record for log in prediction_logs.read(prepared.path) for record in records_of(log)} == set(GARBAGE)


def test_shards_are_found_once_and_sorted(taxi_examples: Path) -> None:
    """Patterns may overlap, and `**` goes down."""
    both = shards.find([str(taxi_examples / "Split-*" / "*"), str(taxi_examples / "Split-eval" / "*")])
    assert both == sorted(both)
    assert len(both) == len(set(both)) == 24
    assert set(both) < set(shards.find([str(taxi_examples / "**")]))


def test_beam_leaves_nothing_if_it_is_interrupted(
    taxi_examples: Path, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its temporary directory is in that of the run, which is removed."""
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(beam_transform.Collect, "expand", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(str(taxi_examples / "Split-eval" / "*"), "predict", name="run/requests", beam_too=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("module", "name", "limit", "refused"),
    [
        (sampling, "LIMITS", sampling.Limits(100_000), False),
        (sampling, "LIMITS", sampling.Limits(1_000), True),
        (making, "_MAX_REQUESTS_BYTES", 100_000, False),
        (making, "_MAX_REQUESTS_BYTES", 10_000, True),
        (making, "_MAX_REQUEST_BYTES", 20_000, False),
        (making, "_MAX_REQUEST_BYTES", 5_000, True),
    ],
)
def test_examples_that_are_too_large_for_so_many(
    module: Any,
    name: str,
    limit: Any,
    refused: bool,
    taxi_records: list[bytes],
    write_shards: WriteShards,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten records of about 400 bytes, in batches up to 30: not cut in silence, and the message says what to change."""
    monkeypatch.setattr(module, name, limit)
    pattern = write_shards(taxi_records[:10], 3)
    plan = {"num_examples": 10, "batch_sizes": (1, 20, 30)}
    if not refused:
        assert prepare(pattern, **plan).count == 12
        return
    with pytest.raises(errors.ExamplesError, match="--num-examples") as caught:
        prepare(pattern, **plan)
    assert caught.value.code == "examples/too-large"


def test_a_shard_whose_name_is_not_utf_8(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare
) -> None:
    """It is read, and the requests can be written to such a place, in this process as by Beam's workers."""
    pattern = write_shards(taxi_records[:3], suffix="")
    (shard,) = Path(pattern).parent.iterdir()
    shard.rename(shard.with_name(os.fsdecode(b"data_tfrecord-\xff")))
    for beam_too in (False, True):
        prepared = prepare(pattern, name=os.fsdecode(b"requests \xff"), num_examples=3, beam_too=beam_too)
        assert prepared.count == len(list(prediction_logs.read(prepared.path))) == 3


def test_workers_that_write_to_a_file_system_of_their_own(
    taxi_records: list[bytes], write_shards: WriteShards, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a runner on other machines do: that is said, instead of a bare FileNotFoundError."""
    monkeypatch.setattr(storage, "_rename", lambda files, unfinished, _: files.remove(unfinished))
    with pytest.raises(errors.ExamplesError, match="beam_pipeline_args") as caught:
        prepare(write_shards(taxi_records[:5]), beam_too=True)
    assert caught.value.code == "examples/no-result"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_while_beam_starts_a_thread_leaves_no_thread(
    when: str,
    taxi_records: list[bytes],
    write_shards: WriteShards,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python would wait for it at exit, for ever."""
    start, interrupted = threading.Thread.start, []

    def interrupt(thread: threading.Thread) -> None:
        sampler = "StateSampler" in repr(getattr(thread, "_target", None))
        if not sampler or when == "after":
            start(thread)
        if sampler:
            interrupted.append(thread)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(write_shards(taxi_records[:5]), beam_too=True)
    assert len(interrupted) == 1
    assert not interrupted[0].is_alive()


def out_of_memory() -> None:
    """A fault, unlike a signal."""
    raise MemoryError


@pytest.mark.parametrize(
    ("happens", "raised", "logged"),
    [
        (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt, False),
        (lambda: signal.raise_signal(signal.SIGTERM), SystemExit, False),
        (out_of_memory, RuntimeError, True),
    ],
)
def test_a_signal_within_a_do_fn_is_not_logged_but_a_fault_is(
    happens: Callable[[], None],
    raised: type[BaseException],
    logged: bool,
    taxi_records: list[bytes],
    write_shards: WriteShards,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Beam logs the traceback of whatever a DoFn raises."""

    def read(*_: object) -> Iterator[list[bytes]]:
        happens()
        yield [b"never"]

    pattern = write_shards(taxi_records[:5])
    monkeypatch.setattr(shards, "read", read)
    with pytest.raises(raised), signals.abort_on_signal():
        prepare(pattern, beam_too=True)
    assert any(record.levelno >= logging.ERROR for record in caplog.records) == logged


def test_only_short_bytes_pass_between_workers(
    taxi_records: list[bytes], write_shards: WriteShards, make_plan: Callable[..., making.Plan], tmp_path: Path
) -> None:
    """Beam flushes buffers by the clock, also in the middle of an object that is being pickled, and holds copies."""
    plan, folder = make_plan(records=taxi_records), str(tmp_path / "folder")
    paths = shards.find([write_shards(taxi_records, shards=3)])
    read = [part for path in paths for part in beam_transform.ReadShard(plan, folder).process(path.encode())]
    merge = beam_transform.MergeHarvests(plan, folder, "part")
    halves = [part for number, of in enumerate((read[:2], read[2:])) for part in merge.process((number, of))]
    (whole,) = beam_transform.MergeHarvests(plan, folder, "all").process((0, halves))
    assert {type(part) for part in (*read, *halves, whole)} == {bytes}
    assert max(map(len, (*read, *halves, whole))) < 1000
    with Path(os.fsdecode(whole)).open("rb") as file:
        found = [record for chunk in tfrecords.read_from(file) for record in chunk]
    here = plan.empty_harvest()
    here.read(paths)
    assert found == list(here.dump())


@pytest.mark.parametrize("count", [1, 40])
def test_harvests_are_merged_in_parts(
    count: int,
    taxi_records: list[bytes],
    write_shards: WriteShards,
    make_plan: Callable[..., making.Plan],
    tmp_path: Path,
) -> None:
    """If there are many, and a shard that is named twice counts twice; nothing of them is left."""
    plan = make_plan(records=taxi_records)
    paths = shards.find([write_shards(taxi_records, shards=count)]) * 2
    here = processes.collect(plan, paths)
    there = beam_transform.collect(plan, paths, tmp_path / "work", beam_transform.in_memory_pipeline)
    assert list(here.dump()) == list(there.dump())
    assert there.records_read == 2 * len(taxi_records)
    assert not list((tmp_path / "work").glob("infraval-sample-*"))


def test_workers_that_do_not_share_a_file_system_are_told(
    taxi_records: list[bytes], write_shards: WriteShards, make_plan: Callable[..., making.Plan], tmp_path: Path
) -> None:
    """What one of them wrote is not there for the one that merges: a problem in the result, with its code."""
    plan, folder = make_plan(records=taxi_records), tmp_path / "folder"
    (path,) = shards.find([write_shards(taxi_records, shards=1)])
    (read,) = beam_transform.ReadShard(plan, str(folder)).process(path.encode())
    Path(os.fsdecode(read)).unlink()
    (whole,) = beam_transform.MergeHarvests(plan, str(folder), "all").process((0, [read]))
    found = plan.empty_harvest()
    with Path(os.fsdecode(whole)).open("rb") as file:
        found.add(tfrecords.read_from(file))
    ((code, message),) = found.problems
    assert code == "examples/no-result"
    assert os.fsdecode(read) in message
