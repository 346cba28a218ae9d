"""Options that users of other runners set: they change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import dill
import pytest

from infraval.requests import beam_transform, making, shards

Prepare = Callable[..., making.Requests]


@pytest.mark.parametrize(
    "given",
    ["--save_main_session", "--type_check_additional=all", "--runtime_type_check", "--pickle_library=dill_unsafe"],
)
def test_options_change_nothing(given: str, taxi_examples: Path, prepare: Prepare) -> None:
    """Type checks at run time, and pickling with either library."""
    paths = shards.find([str(taxi_examples / "Split-eval" / "data_tfrecord-0000[0-2]*")])
    found = prepare(paths, ["--direct_running_mode=in_memory", given])
    assert found.path.read_bytes() == prepare(paths).path.read_bytes()


@pytest.mark.parametrize("library", [cloudpickle, dill])
def test_the_transform_can_be_pickled(library: Any, make_plan: Callable[[str], making.Plan]) -> None:
    """With all that it is to do."""
    plan = make_plan("sink")
    copied = library.loads(library.dumps(beam_transform.Collect(plan, "folder", 3)))
    assert (copied._plan, copied._folder, copied._parts) == (plan, "folder", 3)  # noqa: SLF001 - all it has
