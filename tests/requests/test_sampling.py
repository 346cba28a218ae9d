"""The sample is one of the whole, whatever the way its parts come in."""

from __future__ import annotations

import errno
import os
import tempfile
from collections import Counter
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval.requests import harvest, sampling

RECORDS = st.lists(st.binary(max_size=6), max_size=40)
SIZES = st.integers(min_value=1, max_value=8)
LIMITS = st.integers(min_value=1, max_value=60)
SEEDS = st.integers(min_value=0, max_value=2**64 - 1)


MAX_BYTES = 1 << 20


def empty(size: int, seed: int = 0, max_bytes: int = MAX_BYTES) -> sampling.Sample:
    """A sample for so many distinct records."""
    return sampling.Sample(size, seed, sampling.Limits(max_bytes, times_needed=1, spare_records=0))


def records_of(sample: sampling.Sample) -> list[tuple[bytes, int]]:
    """The sampled records, lowest rank first, and how often each occurs."""
    return [(sample.record(rank), sample.times(rank)) for rank in sample.ranks()]


def add(one: sampling.Sample, other: sampling.Sample, chunk: int = 3) -> None:
    """Adds a sample to another, as one that comes back from a process or a store."""
    dumped = list(harvest.Harvest(other).dump())
    harvest.Harvest(one).add(dumped[start : start + chunk] for start in range(0, len(dumped), chunk))


def sample_of(records: list[bytes], size: int, seed: int = 0, max_bytes: int = MAX_BYTES) -> sampling.Sample:
    """A sample that has seen the records."""
    sample = empty(size, seed, max_bytes)
    sample.add(records)
    return sample


def distinct(sample: sampling.Sample) -> list[bytes]:
    """The sampled records, without how often each occurs."""
    return [record for record, _ in records_of(sample)]


@given(parts=st.lists(RECORDS, min_size=1, max_size=6), size=SIZES, limit=LIMITS, seed=SEEDS, data=st.data())
def test_samples_of_any_partition_merge_into_the_sample_of_the_whole(
    parts: list[list[bytes]], size: int, limit: int, seed: int, data: st.DataObject
) -> None:
    """Merging is associative and commutative: any two samples may be merged next, until one is left."""
    whole = sample_of([record for part in parts for record in part], size, seed, limit)
    samples = [sample_of(part, size, seed, limit) for part in parts]
    while len(samples) > 1:
        one = samples.pop(data.draw(st.integers(0, len(samples) - 1)))
        other = samples.pop(data.draw(st.integers(0, len(samples) - 1)))
        add(one, other, data.draw(st.integers(1, 9)))
        samples.append(one)
    assert records_of(samples[0]) == records_of(whole)
    assert (samples[0].is_cut, samples[0].is_whole) == (whole.is_cut, whole.is_whole)
    counts = Counter(record for part in parts for record in part)
    assert {record: count for record, count in records_of(whole) if counts[record] != count} == {}


@given(records=RECORDS, size=SIZES, limit=LIMITS)
def test_a_limit_cuts_the_sample(records: list[bytes], size: int, limit: int) -> None:
    """It is the head of the sample without one, and as long as the bytes allow."""
    sample, whole = sample_of(records, size, max_bytes=limit), distinct(sample_of(records, size))
    cut = distinct(sample)
    assert cut == whole[: len(cut)]
    assert sum(map(len, cut)) <= limit
    assert sample.is_cut == (len(cut) < len(whole))
    assert not sample.is_cut or sum(map(len, whole[: len(cut) + 1])) > limit


@given(
    parts=st.lists(RECORDS, min_size=1, max_size=4),
    size=SIZES,
    max_bytes=LIMITS,
    memory_bytes=st.integers(0, 30),
)
def test_records_in_a_file_are_the_same_as_in_memory(
    parts: list[list[bytes]], size: int, max_bytes: int, memory_bytes: int
) -> None:
    """Added, merged or dumped, and however often the file is started again without dropped records."""
    in_memory, whole = (
        sampling.Sample(size, 0, sampling.Limits(max_bytes, 1, 0, memory_bytes=memory))
        for memory in (MAX_BYTES, memory_bytes)
    )
    for part in parts:
        in_memory.add(part)
        one = sampling.Sample(size, 0, sampling.Limits(max_bytes, 1, 0, memory_bytes=memory_bytes))
        for record in part:
            one.add([record])
        add(whole, one)
    assert records_of(whole) == records_of(in_memory)
    assert (whole.is_whole, whole.is_cut, whole.end) == (in_memory.is_whole, in_memory.is_cut, in_memory.end)
    there = empty(size, max_bytes=max_bytes)
    add(there, whole)
    assert records_of(there) == records_of(in_memory)


def test_a_sample_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the directory, and is a problem of the harvest, not a traceback of a worker."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(sampling.tempfile, "TemporaryFile", Mock(side_effect=full))
    monkeypatch.setattr(harvest.shards, "read", lambda *_: iter([[b"record"]]))
    full_harvest = harvest.Harvest(sampling.Sample(1, 0, sampling.Limits(memory_bytes=1)))
    full_harvest.read(["shard"])
    ((_, message),) = full_harvest.problems
    assert tempfile.gettempdir() in message
    assert "TMPDIR" in message


@given(records=RECORDS, size=SIZES, data=st.data())
def test_order_and_duplicates_do_not_matter(records: list[bytes], size: int, data: st.DataObject) -> None:
    """Records that come again, in another order, change nothing."""
    again = data.draw(st.permutations(records * 2))
    assert distinct(sample_of(again, size)) == distinct(sample_of(records, size))


@given(records=RECORDS, needed=SIZES, spare=st.integers(0, 20), limit=LIMITS, spare_bytes=LIMITS)
def test_spare_records_come_after_those_that_are_needed(
    records: list[bytes], needed: int, spare: int, limit: int, spare_bytes: int
) -> None:
    """Only in so far as all that it holds has few bytes."""
    sample = sampling.Sample(needed, 0, sampling.Limits(limit, 2, spare, spare_bytes))
    sample.add(records)
    ranked = distinct(sample_of(records, len(records) + 1))
    held = distinct(sample)
    assert held == ranked[: len(held)]
    assert len(held) <= max(2 * needed, spare)
    assert sum(map(len, held)) <= limit
    if len(held) > 2 * needed:
        assert sum(map(len, held)) <= spare_bytes
    if len(held) < min(len(ranked), max(2 * needed, spare)):
        more = sum(map(len, ranked[: len(held) + 1]))
        assert more > (limit if len(held) < 2 * needed else min(limit, spare_bytes))
    assert sample.is_whole == (held == ranked)


@given(records=RECORDS, size=SIZES, limit=LIMITS, data=st.data())
def test_harvests_pass_through_a_file(records: list[bytes], size: int, limit: int, data: st.DataObject) -> None:
    """What comes back stands for the same, also when it is merged with others."""
    here = harvest.Harvest(sample_of(records, size, max_bytes=limit), len(records))
    here.problems = tuple(data.draw(st.lists(st.tuples(st.text(), st.text()), max_size=2)))
    there = harvest.Harvest(empty(size, max_bytes=limit))
    there.add([list(here.dump())])
    assert there == harvest.Harvest(there.sample, len(records), here.problems)
    more = data.draw(RECORDS)
    for each in (here, there):
        add(each.sample, sample_of(more, size, max_bytes=limit))
    assert records_of(there.sample) == records_of(here.sample)
    assert (there.sample.is_whole, there.sample.is_cut) == (here.sample.is_whole, here.sample.is_cut)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [b"{"],
        [b"[]"],
        [b"1"],
        [b"{}"],
        [b'{"records_read": null, "problems": [], "end": "", "times": []}'],
        [b'{"records_read": Infinity, "problems": [], "end": "", "times": []}'],
        [b'{"records_read": 1, "problems": [1], "end": "", "times": []}'],
        [b'{"records_read": 1, "problems": [], "end": "x", "times": []}'],
        [b'{"records_read": 1, "problems": [], "end": "", "times": [null]}', b"record"],
        [b'{"records_read": 1, "problems": [], "end": "", "times": 1}', b"record"],
        [b'{"records_read": 1, "problems": [], "end": "", "times": []}', b"record"],
        [b'{"records_read": 1, "problems": [], "end": "ff", "times": [1, 1]}', b"record"],
        [b'{"records_read": 1, "problems": [], "end": "ff", "times": [1]}', b"record", b"record"],
    ],
)
def test_what_is_not_a_harvest_is_not_loaded(records: list[bytes]) -> None:
    """It is an error of one kind, whatever is wrong."""
    for chunks in ([records], [[record] for record in records]):
        with pytest.raises(ValueError, match="not a harvest"):
            harvest.Harvest(empty(1)).add(chunks)


@given(records=RECORDS, size=SIZES)
def test_it_holds_as_many_distinct_records_as_it_may(records: list[bytes], size: int) -> None:
    """Never more than its size, never one twice, never one that was not added, and all there are if they fit."""
    sampled = distinct(sample_of(records, size))
    assert len(sampled) == len(set(sampled)) == min(size, len(set(records)))
    assert set(sampled) <= set(records)


@given(records=RECORDS, size=SIZES, more=SIZES)
def test_a_smaller_sample_is_the_head_of_a_larger_one(records: list[bytes], size: int, more: int) -> None:
    """Asking for more examples keeps those that were sampled before."""
    assert distinct(sample_of(records, size + more))[:size] == distinct(sample_of(records, size))


@given(records=RECORDS, size=SIZES, data=st.data())
def test_chunks_of_any_size_make_the_same_sample(records: list[bytes], size: int, data: st.DataObject) -> None:
    """How many records come at once does not matter, nor whether somebody looks in between."""
    sample, start = empty(size), 0
    while start < len(records):
        if data.draw(st.booleans()):
            assert records_of(sample) == records_of(sample_of(records[:start], size))
        end = data.draw(st.integers(start + 1, len(records)))
        sample.add(records[start:end])
        start = end
    assert records_of(sample) == records_of(sample_of(records, size))


def test_another_seed_draws_another_sample(taxi_records: list[bytes]) -> None:
    """Twenty seeds draw twenty different samples of real Examples; the same seed draws the same."""
    drawn = {tuple(distinct(sample_of(taxi_records, 5, seed))) for seed in range(20)}
    assert len(drawn) == 20
    assert distinct(sample_of(taxi_records, 5, 7)) == distinct(sample_of(taxi_records[::-1], 5, 7))


def test_every_distinct_record_is_as_likely_as_any_other(taxi_records: list[bytes]) -> None:
    """Over many seeds the draws of real Examples spread like chance does, and frequent records are not favoured.

    Each of 424 records is in a sample of 42 with probability p; over 500 seeds the sum of squared deviations, each
    divided by its variance, is about 424 with a standard deviation of about 29. Being six of those off, on either
    side, would be no chance.
    """
    frequent = taxi_records[::2]
    records = taxi_records + frequent * 5
    draws, size, seeds = Counter[bytes](), 42, 500
    for seed in range(seeds):
        draws.update(distinct(sample_of(records, size, seed)))
    share = size / len(taxi_records)
    variance = seeds * share * (1 - share)
    spread = sum((draws[record] - seeds * share) ** 2 for record in taxi_records) / variance
    assert 424 - 6 * 29 < spread < 424 + 6 * 29
    of_frequent = sum(draws[record] for record in frequent) / draws.total()
    assert abs(of_frequent - 0.5) < 0.02
