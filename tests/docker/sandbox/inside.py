"""Run inside a container: writes down, as JSON, what a process there is and may do."""

import json
import socket
from pathlib import Path

WAYS_OUT = [
    "/new-file",
    "/usr/new-file",
    "/model/m/1/new-file",
    "/model/m/1/saved_model.pb",
    "/run/infraval/new-file",
    "/tmp/new-file",  # noqa: S108 - the container's
    "/dev/new-file",
]


def may_write(path: str) -> bool:
    """Whether the file can be opened to write."""
    try:
        Path(path).open("ab").close()
    except OSError:
        return False
    return True


def may_connect() -> bool:
    """Whether there is a way out to an address of another network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return False
    return True


def cgroup(controller: str, *names: str) -> str:
    """A limit, in control groups of version 1 or 2."""
    for path in (Path("/sys/fs/cgroup", controller, names[0]), Path("/sys/fs/cgroup", names[-1])):
        if path.exists():
            return path.read_text().strip()
    return ""


status = dict(line.split(":\t", 1) for line in Path("/proc/1/status").read_text().splitlines() if ":\t" in line)
mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
print(
    json.dumps(
        {
            "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
            "may_connect": may_connect(),
            "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
            "no_new_privileges": status["NoNewPrivs"],
            "seccomp": status["Seccomp"],
            "uid": status["Uid"].split(),
            "gid": status["Gid"].split(),
            "core_limit": Path("/proc/1/limits").read_text().partition("Max core file size")[2].split()[:2],
            "memory": cgroup("memory", "memory.limit_in_bytes", "memory.max"),
            "memory_and_swap": cgroup("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
            "pids": cgroup("pids", "pids.max", "pids.max"),
            "cpu": cgroup("cpu", "cpu.cfs_quota_us", "cpu.max"),
            "cpu_period": cgroup("cpu", "cpu.cfs_period_us", "cpu.max"),
            "writable": sorted(
                path for path in {*WAYS_OUT, *(f"{mount[1]}/new-file" for mount in mounts)} if may_write(path)
            ),
            "types": {mount[1]: mount[2] for mount in mounts},
            "options": {mount[1]: mount[3].split(",") for mount in mounts},
            "environment": sorted(
                entry.decode() for entry in Path("/proc/1/environ").read_bytes().split(b"\0") if entry
            ),
            "arguments": Path("/proc/1/cmdline").read_bytes().decode().split("\0"),
        }
    )
)
