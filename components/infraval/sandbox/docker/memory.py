"""A container's memory in what the engine's stats API answers, with cgroup v1 and v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infraval import evidence


def parse(stats: Mapping[str, Any]) -> evidence.Memory | None:
    """The memory in the answer of `GET /containers/{id}/stats`; None if the container has ended.

    As `docker stats` does, it leaves out cached files that the kernel may drop. The peaks that control groups count
    include those, so none is taken from them.
    """
    used = stats.get("memory_stats") or {}
    usage, details = used.get("usage"), used.get("stats") or {}
    if not isinstance(usage, int):
        return None
    # Names of cgroup v1, then of v2; v1 also has the latter, for the container without the groups in it.
    droppable = details.get("total_inactive_file", details.get("inactive_file", 0))
    anonymous = details.get("total_rss", details.get("anon"))
    return evidence.Memory(max(0, usage - droppable), anonymous)
