"""What a runner's workers find is the same to the last byte, wherever they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from infraval import errors
from infraval.requests import making, shards

Prepare = Callable[..., making.Requests]

RUNNERS = ["in_memory", "multi_processing", "portable", "dask"]


@pytest.fixture(scope="module")
def in_memory() -> tuple[str, ...]:
    """Options for the DirectRunner in this process."""
    return ("--direct_running_mode=in_memory",)


@pytest.fixture(scope="module")
def multi_processing() -> tuple[str, ...]:
    """Options for the DirectRunner with worker processes."""
    return ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.mark.slow
@pytest.mark.usefixtures("no_dask_client_left")
@pytest.mark.parametrize("plan", ["taxi", "sink"])
@pytest.mark.parametrize("runner", RUNNERS)
def test_another_runner_gives_the_same_file(
    runner: str, plan: str, taxi_examples: Path, sink_examples: Path, prepare: Prepare, request: pytest.FixtureRequest
) -> None:
    """All four RPCs, from a sample of 15,000 records and from features of several shapes; also what is told of them."""
    paths = shards.find([str(taxi_examples / "Split-*" / "*")]) if plan == "taxi" else [str(sink_examples)]
    alone = prepare(paths, plan=plan)
    there = prepare(paths, request.getfixturevalue(runner), plan=plan)
    assert there.path.read_bytes() == alone.path.read_bytes()
    assert dataclasses.replace(there, path=alone.path) == alone
    assert alone.records_read == (15_000 if plan == "taxi" else 50)


@pytest.mark.slow
@pytest.mark.usefixtures("no_dask_client_left")
@pytest.mark.parametrize("runner", RUNNERS)
def test_another_runner_tells_of_bad_examples_the_same_way(
    runner: str, tmp_path: Path, prepare: Prepare, request: pytest.FixtureRequest
) -> None:
    """What a worker finds out comes back as the same error."""
    bad = tmp_path / "bad.gz"
    bad.write_bytes(b"neither gzip nor TFRecord")
    raised = []
    for given in (None, request.getfixturevalue(runner)):
        with pytest.raises(errors.ExamplesError, match=f"{bad} is corrupt") as caught:
            prepare([str(bad)], given)
        raised.append((caught.value.code, str(caught.value)))
    assert raised[0] == raised[1]
