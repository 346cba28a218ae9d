"""How much memory a server takes: what a Docker engine's stats say, and what the kernel says of processes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psutil
import pytest

from infraval import evidence
from infraval.sandbox.docker import memory as docker_memory
from infraval.sandbox.process import process_memory

MIB = 1 << 20

V1 = {
    "usage": 90_001_408,
    "max_usage": 120_000_512,
    "stats": {
        "active_anon": 61_440_000,
        "active_file": 4_096_000,
        "cache": 24_002_560,
        "hierarchical_memory_limit": 9_223_372_036_854_771_712,
        "inactive_anon": 0,
        "inactive_file": 19_001_344,
        "mapped_file": 12_288_000,
        "pgfault": 90_210,
        "rss": 62_001_152,
        "rss_huge": 0,
        "total_active_anon": 62_440_448,
        "total_active_file": 4_096_000,
        "total_cache": 25_001_984,
        "total_inactive_anon": 0,
        "total_inactive_file": 20_000_768,
        "total_mapped_file": 12_288_000,
        "total_pgfault": 90_210,
        "total_rss": 63_000_576,
        "total_rss_huge": 0,
    },
    "limit": 16_777_216_000,
}
"""`memory_stats` with cgroup v1: the fields that an engine tells; the figures are made up, and no two are alike."""

V2 = {
    "usage": 90_001_408,
    "stats": {
        "active_anon": 24_576,
        "active_file": 4_096_000,
        "anon": 63_000_576,
        "anon_thp": 0,
        "file": 24_002_560,
        "file_dirty": 0,
        "file_mapped": 12_288_000,
        "file_writeback": 0,
        "inactive_anon": 62_976_000,
        "inactive_file": 20_000_768,
        "kernel_stack": 442_368,
        "pgfault": 90_210,
        "pgmajfault": 12,
        "shmem": 4_096,
        "slab": 1_598_960,
        "slab_reclaimable": 1_080_040,
        "slab_unreclaimable": 518_920,
        "sock": 0,
        "unevictable": 0,
    },
    "limit": 16_777_216_000,
}
"""The same with cgroup v2."""


@pytest.mark.parametrize("used", [V1, V2])
def test_a_container_takes_what_the_kernel_cannot_drop(used: dict[str, Any]) -> None:
    """As `docker stats` shows it; the peak of a control group includes what it can drop, and is not taken."""
    assert docker_memory.parse({"memory_stats": used}) == evidence.Memory(70_000_640, 63_000_576, None)


@pytest.mark.parametrize("used", [{}, None, {"stats": {"anon": 1}}, {"usage": None}])
def test_the_memory_of_a_container_that_has_ended_is_unknown(used: dict[str, Any] | None) -> None:
    """An engine answers, but with less."""
    assert docker_memory.parse({"memory_stats": used}) is None
    assert docker_memory.parse({}) is None


@pytest.mark.parametrize("details", [{}, None])
def test_an_engine_without_details_tells_the_whole(details: dict[str, int] | None) -> None:
    """Such as Podman."""
    assert docker_memory.parse({"memory_stats": {"usage": 5, "stats": details}}) == evidence.Memory(5)


def test_more_droppable_than_used_is_nothing() -> None:
    """The two are not read at the same moment."""
    used = {"usage": 5, "stats": {"inactive_file": 6, "anon": 1}}
    assert docker_memory.parse({"memory_stats": used}) == evidence.Memory(0, 1)


HOLDER = """
import subprocess, sys
held = bytearray(64 << 20)
dropped = bytearray(96 << 20)
del dropped
child = None
if sys.argv[1] == "parent":
    child = subprocess.Popen([sys.executable, "-ISc", sys.stdin.readline().replace(chr(0), chr(10)), "child"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
"""
"""Holds 64 MiB, has had 160 MiB, and has a child that does the same if it is a parent."""


def test_all_processes_below_count_for_a_process_together() -> None:
    """Two of them, each with what it holds and has held; the process itself does not count."""
    command = ["sh", "-c", '"$@"; :', "sh", sys.executable, "-I", "-S", "-c", HOLDER, "parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        print(HOLDER.replace("\n", "\0"), file=shell.stdin, flush=True)
        assert shell.stdout.readline() == "ready\n"
        (parent,) = psutil.Process(shell.pid).children()
        (child,) = parent.children()
        none, one, both = (process_memory.below(pid) for pid in (child.pid, parent.pid, shell.pid))
    assert none is None
    assert one is not None
    assert both is not None
    for found, processes in ((one, 1), (both, 2)):
        assert found.anonymous_bytes is not None
        assert found.peak_bytes is not None
        assert processes * 64 * MIB <= found.anonymous_bytes < found.resident_bytes
        assert found.peak_bytes >= processes * 160 * MIB
    assert one.resident_bytes < 100 * MIB
