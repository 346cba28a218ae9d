"""A platform that infraval does not know: its options and its sandbox are all that it takes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field
from typing_extensions import Self

import infraval
from infraval import errors, options
from infraval.sandbox import base, registry
from infraval.sandbox.process import sandbox as process


class ShelfServer(options.ServerOptions):
    """Model servers on a shelf, each really a process."""

    platform: Literal["shelf"] = "shelf"
    programs: Annotated[tuple[str, ...], options.Flag("--program")] = Field(default=(), description="Programs to run.")
    outgrown: bool = False


class ShelfSandbox(process.ProcessSandbox):
    """A process that says where it is from."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.identity = dataclasses.replace(self.identity, platform="shelf")
        return self


class Shelf:
    """The platform, and what it was asked."""

    def __init__(self) -> None:
        self.checked: list[ShelfServer] = []
        self.booted: list[str] = []

    def check(self, server: ShelfServer, progress: Callable[[str], None]) -> None:
        """Says that it looked."""
        self.checked.append(server)
        progress("Looked at the shelf")

    def each(self, server: ShelfServer) -> dict[str, ShelfServer]:
        """One per program, by its program."""
        return {program: server.model_copy(update={"programs": (program,)}) for program in server.programs}

    def side_by_side(self, server: ShelfServer) -> int:
        """All of them."""
        return len(server.programs)

    def create(self, server: ShelfServer, launch: base.Launch, run_directory: Path) -> base.Sandbox:
        """A process, or one that says that it outgrew its limit."""
        self.booted.append(server.programs[0])
        made = ShelfSandbox(launch, options.ProcessServer(server=server.programs[0]), run_directory)
        if server.outgrown:
            made.poll = lambda: base.ServerExit(None, 9, out_of_memory=True, limit="the shelf's height")  # type: ignore[method-assign]
        return made

    def start_ahead(self, _server: ShelfServer, _launch: base.Launch, _run_directory: Path) -> None:
        """Nothing is saved by that."""


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The platform, known for one test."""
    made = Shelf()
    monkeypatch.setitem(options.VARIANTS, "shelf", ShelfServer)
    monkeypatch.setitem(registry.PLATFORMS, "shelf", made)
    return made


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], str]:
    """A `tensorflow_model_server` of tests/fakes.py, by name and behaviour."""

    def make(name: str, behaviour: str) -> str:
        path = tmp_path / name
        fakes = Path(__file__).parents[1] / "fakes.py"
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {fakes} {behaviour} {tmp_path}/{name}-boots "$@"\n')
        path.chmod(0o755)
        return str(path)

    return make


def test_a_registered_platform_judges_a_model(
    shelf: Shelf, program: Callable[[str, str], str], upper_model: Path
) -> None:
    """Its options are a variant of `server`, and each of its servers has a verdict on record."""
    programs = [program("first", "serve"), program("second", "serve")]
    told: list[str] = []

    judged = infraval.validate(
        infraval.Job(model=upper_model, server={"platform": "shelf", "programs": tuple(programs)}), progress=told.append
    )

    assert judged.blessed
    assert [each.evidence.server.platform for each in judged.servers] == ["shelf", "shelf"]
    assert [server.programs for server in shelf.checked] == [tuple(programs)]
    assert sorted(shelf.booted) == sorted(programs)
    assert "Looked at the shelf" in told
    assert all(any(line.startswith(f"{name}: Booting") for line in told) for name in programs)


def test_what_a_sandbox_says_of_a_death_is_the_reason(
    shelf: Shelf, program: Callable[[str, str], str], upper_model: Path
) -> None:
    """A limit that was asked for is the model's to keep, whatever the platform calls it."""
    server = ShelfServer(programs=(program("only", "hang-at-load"),), outgrown=True)

    judged = infraval.validate(infraval.Job(model=upper_model, server=server, limits={"num_tries": 1}))

    assert not judged.blessed
    assert "the shelf's height" in judged.failures[0].reasons[0]
    assert len(shelf.booted) == 1


def test_what_is_cheap_is_checked_before_the_platform(shelf: Shelf, upper_model: Path, tmp_path: Path) -> None:
    """To look at a platform may mean to pull its images, so the model, the examples and the output come first."""
    server = ShelfServer(programs=("p",))
    (tmp_path / "output").mkdir()
    (tmp_path / "output/precious").touch()
    for kind, wrong in (
        (errors.ModelError, {"model": tmp_path}),
        (errors.ExamplesError, {"examples": str(tmp_path / "none-*")}),
        (errors.OutputError, {"output": tmp_path / "output"}),
        (errors.OptionError, {"examples": __file__, "warmup": {"batching_parameters_file": __file__}}),
    ):
        with pytest.raises(kind):
            infraval.validate(infraval.Job.parse({"model": upper_model, "server": server, **wrong}))
    assert shelf.checked == []


def test_its_options_are_refused_like_any_other() -> None:
    """By the name of their platform, and for a platform that does not have them."""
    with pytest.raises(errors.OptionError, match=r"^server\.outgrown must be a valid boolean, not 1\.$"):
        infraval.Job(model="m", server={"platform": "shelf", "outgrown": 1})
    with pytest.raises(errors.OptionError, match=r"^server\.programs is an option of the shelf platform only"):
        infraval.Job(model="m", server={"programs": ("p",)})
