"""Whose a container is, when its owner is known to be dead, and what becomes of it then."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from infraval import options
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import owner as docker_owner

MINE = docker_owner.labels()


def test_this_process_is_alive() -> None:
    """What it owns stays, running or not."""
    assert not docker_owner.is_dead(MINE, running=True)
    assert not docker_owner.is_dead(MINE, running=False)


def test_a_process_that_has_ended_is_dead() -> None:
    """Whether or not its parent has been told."""
    with subprocess.Popen([sys.executable, "-c", PRINT_LABELS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        owner = dict(line.strip().split("=", 1) for line in process.stdout)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert docker_owner.is_dead(owner, running=True)
    assert owner[docker_owner.PID] == str(process.pid)
    assert docker_owner.is_dead(owner, running=True)


def test_a_pid_that_was_used_again_is_another_process() -> None:
    """The time of its start tells."""
    assert docker_owner.is_dead({**MINE, docker_owner.START_TIME: "1"}, running=True)


@pytest.mark.parametrize("pid", ["", "x", "-1"])
def test_an_owner_without_a_pid_is_dead(pid: str) -> None:
    """Nobody made such labels, or a damaged client did; on this machine's boot there is no such process."""
    assert docker_owner.is_dead({**MINE, docker_owner.PID: pid}, running=True)


def test_nothing_is_known_of_other_machines() -> None:
    """What their processes own stays, whatever pid they had."""
    other = {**MINE, docker_owner.BOOT: "0", docker_owner.MACHINE: "0", docker_owner.PID: "4194305"}
    assert not docker_owner.is_dead(other, running=True)
    assert not docker_owner.is_dead(other, running=False)


def test_nothing_is_known_of_other_pid_namespaces() -> None:
    """A pid there is another one here."""
    other = {**MINE, docker_owner.PID_NAMESPACE: "pid:[1]", docker_owner.PID: "4194305"}
    assert not docker_owner.is_dead(other, running=False)


def test_a_restart_of_the_machine_ends_every_owner() -> None:
    """But a container that runs on outlived it, so its machine is another one of the same name."""
    earlier = {**MINE, docker_owner.BOOT: "0"}
    assert docker_owner.is_dead(earlier, running=False)
    assert not docker_owner.is_dead(earlier, running=True)


def test_labels_name_the_owner_for_people() -> None:
    """`docker ps --filter label=…` shows whose it is; the machine's id itself is not told."""
    assert MINE[docker_owner.OWNER].count("@") == 1
    assert len(MINE[docker_owner.MACHINE]) == 16


def test_what_cannot_be_removed_is_left_to_the_next_start(breaking_engine: Any) -> None:
    """An engine that ends the connection in place of an answer: the rest is tried, and nobody is kept from work."""
    dead = {**MINE, docker_owner.START_TIME: "1"}
    breaking_engine.answers["/containers/json"] = [
        {"Id": name, "Labels": dead, "State": "running"} for name in ("first", "second")
    ]
    breaking_engine.answers["/volumes"] = {"Volumes": [{"Name": "third", "Labels": dead}]}

    with docker_engine.connect(options.DockerServer(base_url=breaking_engine.url, api_version="1.41")) as engine:
        assert docker_owner.reap(engine) == 0

    assert breaking_engine.broken == ["DELETE /containers/first", "DELETE /containers/second", "DELETE /volumes/third"]


PRINT_LABELS = """
from infraval.sandbox.docker import owner as docker_owner
for name, value in docker_owner.labels().items():
    print(f"{name}={value}")
"""
