"""The sample is one of the whole, whatever the way its parts come in."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from infraval.requests import sampling

RECORDS = st.lists(st.binary(max_size=6), max_size=40)
SIZES = st.integers(min_value=1, max_value=8)
LIMITS = st.integers(min_value=1, max_value=60)
SEEDS = st.integers(min_value=0, max_value=2**64 - 1)


def sample_of(records: list[bytes], size: int, seed: int = 0, max_bytes: int = sampling.MAX_BYTES) -> sampling.Sample:
    """A sample that has seen the records."""
    sample = sampling.Sample(size, seed, max_bytes)
    sample.add(records)
    return sample


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
        one.merge(other)
        samples.append(one)
    assert samples[0].records == whole.records
    assert samples[0].is_cut == whole.is_cut


@given(records=RECORDS, size=SIZES, limit=LIMITS)
def test_a_limit_cuts_the_sample(records: list[bytes], size: int, limit: int) -> None:
    """It is the head of the sample without one, and as long as the bytes allow."""
    cut, whole = sample_of(records, size, max_bytes=limit), sample_of(records, size).records
    assert cut.records == whole[: len(cut.records)]
    assert sum(map(len, cut.records)) <= limit
    assert cut.is_cut == (len(cut.records) < len(whole))
    assert not cut.is_cut or sum(map(len, whole[: len(cut.records) + 1])) > limit


@given(records=RECORDS, size=SIZES, data=st.data())
def test_order_and_duplicates_do_not_matter(records: list[bytes], size: int, data: st.DataObject) -> None:
    """Records that come again, in another order, change nothing."""
    again = data.draw(st.permutations(records * 2))
    assert sample_of(again, size).records == sample_of(records, size).records


@given(records=RECORDS, size=SIZES)
def test_merging_is_idempotent(records: list[bytes], size: int) -> None:
    """A sample merged with one of the same records stays as it is, also with itself."""
    sample = sample_of(records, size)
    before = sample.records
    sample.merge(sample_of(records, size))
    sample.merge(sample)
    assert sample.records == before


@given(records=RECORDS, size=SIZES)
def test_it_holds_as_many_distinct_records_as_it_may(records: list[bytes], size: int) -> None:
    """Never more than its size, never one twice, never one that was not added, and all there are if they fit."""
    sampled = sample_of(records, size).records
    assert len(sampled) == len(set(sampled)) == min(size, len(set(records)))
    assert set(sampled) <= set(records)


@given(records=RECORDS, size=SIZES, more=SIZES)
def test_a_smaller_sample_is_the_head_of_a_larger_one(records: list[bytes], size: int, more: int) -> None:
    """Asking for more examples keeps those that were sampled before."""
    assert sample_of(records, size + more).records[:size] == sample_of(records, size).records


@given(records=RECORDS, size=SIZES, data=st.data())
def test_chunks_of_any_size_make_the_same_sample(records: list[bytes], size: int, data: st.DataObject) -> None:
    """How many records come at once does not matter."""
    sample, start = sampling.Sample(size, 0, sampling.MAX_BYTES), 0
    while start < len(records):
        end = data.draw(st.integers(start + 1, len(records)))
        sample.add(records[start:end])
        start = end
    assert sample.records == sample_of(records, size).records


def test_another_seed_draws_another_sample(taxi_records: list[bytes]) -> None:
    """Twenty seeds draw twenty different samples of real Examples; the same seed draws the same."""
    drawn = {tuple(sample_of(taxi_records, 5, seed).records) for seed in range(20)}
    assert len(drawn) == 20
    assert sample_of(taxi_records, 5, 7).records == sample_of(taxi_records[::-1], 5, 7).records


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
        draws.update(sample_of(records, size, seed).records)
    share = size / len(taxi_records)
    variance = seeds * share * (1 - share)
    spread = sum((draws[record] - seeds * share) ** 2 for record in taxi_records) / variance
    assert 424 - 6 * 29 < spread < 424 + 6 * 29
    of_frequent = sum(draws[record] for record in frequent) / draws.total()
    assert abs(of_frequent - 0.5) < 0.02
