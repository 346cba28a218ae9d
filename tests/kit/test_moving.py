"""A label moved under a server that speaks TF Serving's protocol and has its rules."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from infraval import cli, errors
from infraval.cli import label
from infraval.kit import moving

BEFORE = """\
model_config_list {
  config {
    name: "a"
    base_path: "/models/a"
    model_version_policy { specific { versions: 1 } }
    version_labels { key: "stable" value: 1 }
  }
}
"""
AFTER = BEFORE.replace("versions: 1 }", "versions: 1 versions: 2 }").replace("value: 1", "value: 2")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config that serves version 1 as stable."""
    path = tmp_path / "models.config"
    path.write_text(BEFORE)
    return path


@pytest.fixture(params=[False, True], ids=["strict", "allow-labels"])
def server(request: pytest.FixtureRequest, config: Path, config_server: Any) -> Iterator[Any]:
    """A server of that config, with versions 1 and 2 on its disk."""
    with config_server(config, {1, 2}, allow_labels=request.param) as started:
        yield started


@pytest.fixture
def move(config: Path) -> moving.Move:
    """Label stable to version 2."""
    return moving.Move(config, "a", "stable", 2, (1, 2))


def _ignore(line: str) -> None:
    del line


def test_one_edit_is_refused_by_the_server(server: Any, move: moving.Move) -> None:
    """This is why there are two: the version is not even loaded."""
    moving.edit(move)
    with pytest.raises(errors.InputError, match="not known to the server"):
        moving.under_server(move, server.target, 0.5, _ignore)
    assert server.refused
    assert server.states == {1: "AVAILABLE"}
    assert server.labels == {"stable": 1}


def test_the_version_is_available_before_the_label_moves(server: Any, move: moving.Move) -> None:
    """No poll of the server meets a config that it refuses, and the person is told what is waited for."""
    said: list[str] = []

    assert moving.under_server(move, server.target, 60.0, said.append)

    assert server.refused == []
    assert server.labels == {"stable": 2}
    assert server.states == {1: "AVAILABLE", 2: "AVAILABLE"}
    assert move.path.read_text() == AFTER
    assert any("START" in line for line in said)
    assert not moving.under_server(move, server.target, 60.0, said.append)


def test_rolling_back_takes_one_step(server: Any, move: moving.Move) -> None:
    """The version before is still loaded."""
    moving.under_server(move, server.target, 60.0, _ignore)
    moving.under_server(moving.Move(move.path, "a", "stable", 1, (1, 2)), server.target, 60.0, _ignore)
    assert server.labels == {"stable": 1}
    assert server.refused == []


def test_a_version_that_cannot_be_loaded_is_taken_out_again(server: Any, move: moving.Move) -> None:
    """A server that starts with it would end."""
    server.broken = {2}
    with pytest.raises(errors.InputError, match="meta graph") as caught:
        moving.under_server(move, server.target, 60.0, _ignore)
    assert caught.value.code == "input/server"
    assert move.path.read_text() == BEFORE


def test_a_version_that_takes_too_long_is_taken_out_again(server: Any, move: moving.Move) -> None:
    """With the option that would give it more time."""
    server.endless = {2}
    with pytest.raises(errors.InputError, match="--timeout"):
        moving.under_server(move, server.target, 0.3, _ignore)
    assert move.path.read_text() == BEFORE


def test_an_interrupt_leaves_the_config_as_it_was(server: Any, move: moving.Move) -> None:
    """Ctrl-C while the version is loading."""

    def interrupt(line: str) -> None:
        if "LOADING" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moving.under_server(move, server.target, 60.0, interrupt)
    assert move.path.read_text() == BEFORE


def test_an_edit_by_somebody_else_meanwhile_is_kept(server: Any, move: moving.Move) -> None:
    """The label is not moved then."""
    mine = f"# mine\n{BEFORE}"

    def edit(line: str) -> None:
        if "LOADING" in line:
            move.path.write_text(mine)
            server.polls = False

    with pytest.raises(errors.InputError, match="somebody else"):
        moving.under_server(move, server.target, 60.0, edit)
    assert move.path.read_text() == mine


def test_a_server_that_does_not_poll_is_told_of(server: Any, move: moving.Move) -> None:
    """The option that it lacks is named."""
    server.polls = False
    with pytest.raises(errors.InputError, match="poll_wait_seconds"):
        moving.under_server(move, server.target, 0.3, _ignore)
    assert move.path.read_text() == BEFORE


def test_a_label_that_the_server_does_not_take_is_told_of(server: Any, move: moving.Move) -> None:
    """The version is there, so the file may have the label."""

    def stop_polling(line: str) -> None:
        if line.startswith("Moving"):
            server.polls = False

    with pytest.raises(errors.InputError, match="still names version 1"):
        moving.under_server(move, server.target, 0.3, stop_polling)
    assert move.path.read_text() == AFTER


@pytest.mark.parametrize("name", ["a", "other"])
def test_a_server_that_does_not_answer_or_serve_the_model_changes_nothing(
    name: str, config: Path, config_server: Any, reserve_port: Callable[[], int]
) -> None:
    """Nobody listens, or it is somebody else's server."""
    config.write_text(BEFORE.replace('"a"', f'"{name}"'))
    before = config.read_text()
    move = moving.Move(config, name, "stable", 2, (1, 2))
    other = config.with_name("other.config")
    other.write_text(BEFORE)
    with config_server(other, {1, 2}) as server:
        target = server.target if name == "other" else f"127.0.0.1:{reserve_port()}"
        with pytest.raises(errors.InputError, match="nothing was changed"):
            moving.under_server(move, target, 60.0, _ignore)
    assert config.read_text() == before


def test_the_command_moves_a_label_under_a_server(
    config: Path, config_server: Any, write_version: Callable[..., Path], tmp_path: Path
) -> None:
    """As the kit's README says."""
    for version in (1, 2):
        write_version(tmp_path / "base" / str(version), warmup=None)
    with config_server(config, {1, 2}) as server:
        finished = click.testing.CliRunner().invoke(
            cli.commands,
            ["label", str(config), "a", "stable=2", "--base-path", str(tmp_path / "base"), "--server", server.target],
        )
        assert finished.exit_code == 0, finished.output
        assert server.labels == {"stable": 2}
    assert finished.stdout == "a: stable is version 2\n"


def test_a_signal_leaves_the_config_as_it_was(
    config: Path,
    config_server: Any,
    write_version: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGTERM while the version is loading, with the exit code of a signal."""
    for version in (1, 2):
        write_version(tmp_path / "base" / str(version), warmup=None)

    def end(line: str) -> None:
        if "LOADING" in line:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(label, "_progress", end)
    with config_server(config, {1, 2}) as server:
        command = ["label", str(config), "a", "stable=2", "--base-path", str(tmp_path / "base")]
        finished = click.testing.CliRunner().invoke(cli.commands, [*command, "--server", server.target])
    assert finished.exit_code == 128 + signal.SIGTERM
    assert config.read_text() == BEFORE
