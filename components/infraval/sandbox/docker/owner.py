"""Who owns a container or volume, and the removal of what dead owners have left behind.

Labels name the owning process: its machine, boot, pid namespace, pid and start time. Only what a dead process owns is
removed; whether a process on another machine or in another pid namespace is dead cannot be known.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infraval import errors
from infraval.sandbox.docker import engine as docker_engine

_PREFIX = "org.tfx-infraval."
MACHINE = f"{_PREFIX}machine"
BOOT = f"{_PREFIX}boot"
PID_NAMESPACE = f"{_PREFIX}pid-namespace"
PID = f"{_PREFIX}pid"
START_TIME = f"{_PREFIX}start-time"
OWNER = f"{_PREFIX}owner"

_ENDED = frozenset({"created", "exited", "dead"})


def labels() -> dict[str, str]:
    """The labels that name this process as the owner."""
    return {
        OWNER: f"{_user()}@{socket.gethostname()}",
        MACHINE: _machine(),
        BOOT: _boot(),
        PID_NAMESPACE: _pid_namespace(),
        PID: str(os.getpid()),
        START_TIME: _start_time(os.getpid()) or "",
    }


def is_dead(owner: Mapping[str, str], *, running: bool) -> bool:
    """Whether the process that the labels name is known to have ended.

    Args:
      owner: the labels.
      running: whether the labelled container is running. If so, it cannot be from an earlier boot of this machine,
        whatever its machine label says.
    """
    if owner.get(BOOT) != _boot():
        return owner.get(MACHINE) == _machine() and not running
    if owner.get(PID_NAMESPACE) != _pid_namespace():
        return False
    pid = owner.get(PID, "")
    return not pid.isdecimal() or _start_time(int(pid)) != owner.get(START_TIME)


def reap(engine: docker_engine.Engine) -> int:
    """Removes the containers and volumes of dead owners.

    Returns:
      How many were removed.

    Raises:
      SandboxError: the engine does not list them.
    """
    filters = {"label": OWNER}
    with docker_engine.failing_as(errors.SandboxError, "Containers of earlier runs could not be listed"):
        containers = engine.api.containers(all=True, filters=filters)
        volumes = engine.api.volumes(filters=filters).get("Volumes") or ()
    removed = 0
    for container in containers:
        if is_dead(container["Labels"], running=container["State"] not in _ENDED):
            removed += _remove(functools.partial(engine.api.remove_container, container["Id"], v=True, force=True))
    for volume in volumes:
        if is_dead(volume["Labels"], running=False):
            # The engine refuses to remove one that a container uses.
            removed += _remove(functools.partial(engine.api.remove_volume, volume["Name"]))
    return removed


def _remove(removal: Callable[[], Any]) -> bool:
    # Another process may be removing it too; and a failure to remove it must not prevent a validation.
    with contextlib.suppress(*docker_engine.API_ERRORS):
        removal()
        return True
    return False


def _user() -> str:
    # In a container, a uid may have no name.
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())


def _machine() -> str:
    """Tells machines apart without identifying them: /etc/machine-id is confidential."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        name = Path("/etc/machine-id").read_text(encoding="ascii").strip() or name
    return hashlib.sha256(f"infraval {name}".encode()).hexdigest()[:16]


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return _machine()


def _pid_namespace() -> str:
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; empty if the system does not say; None if it has ended."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command's name, in parentheses, may contain anything; field 3 of proc(5) follows it.
    fields = status.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
