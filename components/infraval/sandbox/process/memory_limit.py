"""The memory limit of this process's control group, which in a container is the container's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def memory_limit(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int | None:
    """The lowest limit of the group and those above it, in bytes; None without one below the machine's memory.

    Args:
      groups: lists the groups of this process, one per line as `ID:CONTROLLERS:PATH`.
      mount: where the hierarchies are mounted.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min((limit for limit in _limits(groups, mount) if limit < machine), default=None)


def _limits(groups: Path, mount: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                root, name = mount, "memory.max"
            elif "memory" in controllers.split(","):
                root, name = mount / "memory", "memory.limit_in_bytes"
            else:
                continue
            # A container may see its own group as the root of the mount, under the path that the host has for it.
            path = PurePosixPath(group.lstrip("/"))
            for folder in (path, *path.parents):
                with contextlib.suppress(OSError, ValueError):  # no such file, or no limit: `max`
                    yield int((root / folder / name).read_text())
