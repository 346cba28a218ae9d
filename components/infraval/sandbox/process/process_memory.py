"""The memory of the processes below another one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from infraval import evidence


def below(pid: int) -> evidence.Memory | None:
    """What the descendants of a process take together; None if there are none. Shared pages count for each of them."""
    resident, shared, peak, found = 0, 0, 0, False
    try:
        processes = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return None
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has just ended
            used = process.memory_info()
            resident += used.rss
            shared += getattr(used, "shared", 0)
            peak += _peak_bytes(process.pid) or used.rss
            found = True
    return evidence.Memory(resident, resident - shared, peak) if found else None


def _peak_bytes(pid: int) -> int | None:
    """The most that was ever resident, which psutil does not tell; None on systems other than Linux."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
