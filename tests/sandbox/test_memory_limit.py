"""The memory limit that is set here, on control groups made of files; and what is said of a server that reached it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from infraval import errors, redaction
from infraval.sandbox.process import memory_limit
from infraval.sandbox.process import sandbox as process
from infraval.trial import blame

V1 = "9:name=systemd:/\n4:cpu,memory:/docker/0123\n"
V1_NONE = "9223372036854771712\n"
V2 = "0::/kubepods/pod1/task\n"


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        (V2, {"kubepods/pod1/task/memory.max": "1000\n"}, 1000),
        (V2, {"kubepods/pod1/task/memory.max": "max\n", "kubepods/pod1/memory.max": "2000\n"}, 2000),
        (V2, {"kubepods/pod1/task/memory.max": "3000\n", "kubepods/memory.max": "4000\n"}, 3000),
        (V2, {"kubepods/pod1/task/memory.max": "max\n"}, None),
        (V2, {"other/memory.max": "1000\n"}, None),
        ("0::/\n", {"memory.max": "1000\n"}, 1000),
        (V1, {"memory/docker/0123/memory.limit_in_bytes": "1000\n"}, 1000),
        (V1, {"memory/memory.limit_in_bytes": "1000\n"}, 1000),
        (V1, {"memory/docker/0123/memory.limit_in_bytes": V1_NONE}, None),
        (V1 + "0::/\n", {"memory/docker/0123/memory.limit_in_bytes": "1000\n"}, 1000),
        ("nonsense\n\n", {"memory.max": "1000\n"}, None),
        (None, {}, None),
    ],
)
def test_the_lowest_limit_of_the_groups_above_this_process(
    groups: str | None, files: dict[str, str], limit: int | None, tmp_path: Path
) -> None:
    """In cgroup v1 and v2, with and without a namespace; what is not below the machine's memory is no limit."""
    if groups is not None:
        (tmp_path / "cgroup").write_text(groups)
    for name, content in files.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(content)
    assert memory_limit.memory_limit(tmp_path / "cgroup", tmp_path / "mount") == limit


@pytest.mark.parametrize(("limit", "said"), [(3 << 29, r"limit of 1\.5 GiB"), (None, "larger machine")])
def test_what_to_raise_is_said_of_a_server_that_was_killed(
    limit: int | None,
    said: str,
    make_sandbox: Callable[..., process.ProcessSandbox],
    eventually: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit if there is one, for a larger machine would not help; otherwise the machine."""
    with make_sandbox(f"signal-{signal.SIGKILL.value}") as sandbox:
        monkeypatch.setattr(memory_limit, "memory_limit", lambda: limit)
        assert eventually(lambda: sandbox.poll() is not None)
        ended = sandbox.poll()
        assert ended is not None
        with pytest.raises(errors.ServerLostError, match=said) as raised:
            blame.failed_load(sandbox, ended, redaction.Redactor())
    assert ("machine" in str(raised.value)) == (limit is None)
