"""Examples at a URI, a sample that comes back through a store, and a part of the examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors
from infraval.requests import beam_transform, harvest, making, processes, shards

MakePlan = Callable[..., making.Plan]


@pytest.fixture
def uri(folder_store: Any, taxi_records: list[bytes], write_shards: Callable[..., str]) -> str:
    """Three shards in the store, in a folder whose name means something else to a glob."""
    folder = Path(write_shards(taxi_records, 3)).parent
    (folder_store.root / "bucket").mkdir()
    folder.rename(folder_store.root / "bucket" / "examples[1]")
    return "folder://bucket/examples[[]1]/*"


def test_the_sample_comes_back_through_the_store(
    uri: str, folder_store: Any, make_plan: MakePlan, tmp_path: Path, taxi_records: list[bytes]
) -> None:
    """The same as in the client's own way; nothing is left there, and no shard is copied."""
    plan, paths, before = make_plan(), shards.find([uri]), folder_store.files()
    found = beam_transform.collect(
        plan, paths, tmp_path / "work", beam_transform.in_memory_pipeline, "folder://bucket/out"
    )
    here = processes.collect(plan, paths)
    assert list(found.dump()) == list(here.dump())
    assert found.records_read == here.records_read == len(taxi_records)
    assert folder_store.files() == before
    assert any("out/infraval-sample-" in opened for opened in folder_store.opened)


def test_an_interrupted_run_leaves_no_sample(
    uri: str, folder_store: Any, make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was written already."""
    before, read = folder_store.files(), beam_transform._read  # noqa: SLF001 - to look when the sample is there

    def interrupt(path: str, into: harvest.Harvest) -> None:
        if not path.endswith("/all-0"):
            return read(path, into)
        assert folder_store.files() != before
        raise KeyboardInterrupt

    monkeypatch.setattr(beam_transform, "_read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        beam_transform.collect(
            make_plan(), shards.find([uri]), tmp_path, beam_transform.in_memory_pipeline, "folder://bucket"
        )
    assert folder_store.files() == before


def test_a_result_that_is_not_there(
    uri: str, make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is said, with the URI."""
    monkeypatch.setattr(beam_transform.storage, "_rename", lambda files, unfinished, _: files.remove(unfinished))
    with pytest.raises(errors.ExamplesError, match="folder://bucket/infraval-sample-") as caught:
        beam_transform.collect(
            make_plan(), shards.find([uri]), tmp_path, beam_transform.in_memory_pipeline, "folder://bucket"
        )
    assert caught.value.code == "examples/no-result"


@given(count=st.integers(1, 50), max_shards=st.none() | st.integers(1, 60), max_records=st.none() | st.integers(1, 500))
def test_a_part_is_within_its_bounds(count: int, max_shards: int | None, max_records: int | None) -> None:
    """Distinct shards in their order, from the first on, and no more records than allowed, nor none."""
    paths = [f"{number:02}" for number in range(count)]
    chosen, each = shards.part(paths, max_shards, max_records)
    assert chosen == sorted({*chosen})
    assert chosen[0] == paths[0]
    assert len(chosen) == min(count, max_shards or count, max_records or count)
    assert (each is None) == (max_records is None)
    assert each is None or (each >= 1 and len(chosen) * each <= (max_records or 0))


def test_only_the_first_records_of_each_shard_are_read(uri: str, make_plan: MakePlan, tmp_path: Path) -> None:
    """By Beam as by the client itself, of shards with more and with fewer of them."""
    for limit, expected in ((7, 21), (142, 424), (1000, 424)):
        plan = dataclasses.replace(make_plan(), records_per_shard=limit)
        here = processes.collect(plan, shards.find([uri]))
        there = beam_transform.collect(plan, shards.find([uri]), tmp_path, beam_transform.in_memory_pipeline)
        assert here.records_read == there.records_read == expected
        assert list(here.dump()) == list(there.dump())
