"""The memory of the processes below another one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from infraval import evidence


def below(pid: int) -> evidence.Memory | None:
    """What the descendants of a process take together; None if there are none.

    Pages that several of them share count for each, and so does the peak of each, whenever it was: neither is too low.
    """
    found: list[evidence.Memory] = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has just ended
                found.append(_of(process))
    if not found:
        return None
    anonymous = [each.anonymous_bytes for each in found if each.anonymous_bytes is not None]
    peaks = [each.peak_bytes for each in found if each.peak_bytes is not None]
    return evidence.Memory(
        sum(each.resident_bytes for each in found),
        sum(anonymous) if len(anonymous) == len(found) else None,
        sum(peaks) if len(peaks) == len(found) else None,
    )


def _of(process: psutil.Process) -> evidence.Memory:
    """What one process takes; only Linux tells more than what is resident."""
    used = process.memory_info()
    shared = getattr(used, "shared", None)
    return evidence.Memory(used.rss, None if shared is None else used.rss - shared, _peak_bytes(process.pid))


def _peak_bytes(pid: int) -> int | None:
    """The most that was ever resident, which psutil does not tell; None on systems other than Linux."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
