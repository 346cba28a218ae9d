"""The private temporary directory: private, owned, and gone when its owner is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infraval import errors, workspace

OWNER = Path(__file__).with_name("workspace_owner.py")
ORDINARY_USER = 65534

StartOwner = Callable[..., contextlib.AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture
def start_owner(tmp_path: Path) -> StartOwner:
    """Starts a process that makes workspaces under `tmp_path` and stays in the last one."""

    @contextlib.contextmanager
    def start(times: int = 0) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, str(OWNER), str(tmp_path), str(times)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            try:
                yield owner
            finally:
                owner.kill()

    return start


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder of a user for whom permissions count; root becomes such a user for the test."""
    folder = Path(tempfile.mkdtemp(prefix="workspace-test-"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, ORDINARY_USER, -1)
        os.seteuid(ORDINARY_USER)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def directory_of(owner: subprocess.Popen[str]) -> Path:
    """The workspace that a started process says it is in."""
    assert owner.stdout is not None
    return Path(owner.stdout.readline().rstrip("\n"))


def test_a_workspace_is_private_and_removed(tmp_path: Path) -> None:
    """Only its user can enter it, and leaving removes it with what is in it."""
    with workspace.workspace(tmp_path) as directory:
        assert directory.parent == tmp_path
        assert directory.name.startswith(f"infraval-{os.geteuid()}-")
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "deep" / "er").mkdir(parents=True)
        (directory / "deep" / "er" / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_the_default_place_is_the_temporary_directory() -> None:
    """Without a parent it is made where TMPDIR says."""
    with workspace.workspace() as directory:
        assert directory.parent == Path(tempfile.gettempdir())


def test_an_exception_passes_and_removes(tmp_path: Path) -> None:
    """An exception inside comes out as it is, with the directory removed."""
    with pytest.raises(ZeroDivisionError), workspace.workspace(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_read_only_contents_are_removed(ordinary_user: Path) -> None:
    """Files and directories that may not be written, as a model's may be, are removed all the same."""
    with workspace.workspace(ordinary_user) as directory:
        (directory / "closed" / "inner").mkdir(parents=True)
        (directory / "closed" / "inner" / "file").touch(mode=0o400)
        (directory / "closed" / "inner").chmod(0o500)
        (directory / "closed").chmod(0)
        directory.chmod(0o500)
    assert list(ordinary_user.iterdir()) == []


def test_what_a_symlink_points_at_is_not_touched(tmp_path: Path) -> None:
    """A link inside is removed, and neither the content nor the mode of what it points at changes."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").touch()
    with workspace.workspace(tmp_path) as directory:
        (directory / "link").symlink_to(outside)
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_killed_owners_directory_is_gone_at_the_next_start(tmp_path: Path, start_owner: StartOwner) -> None:
    """A directory is kept while its owner lives and removed by the next start once it was killed."""
    with start_owner() as owner:
        theirs = directory_of(owner)
        with workspace.workspace(tmp_path):
            assert theirs.exists()
        owner.kill()
        owner.wait()
        assert theirs.exists()
        with workspace.workspace(tmp_path) as ours:
            assert list(tmp_path.iterdir()) == [ours]


def test_owners_do_not_reap_each_other(start_owner: StartOwner) -> None:
    """Processes that make and reap at the same time never lose a directory that is in use."""
    with contextlib.ExitStack() as stack:
        owners = [stack.enter_context(start_owner(times=100)) for _ in range(3)]
        directories = [directory_of(owner) for owner in owners]
        assert all(directory.is_dir() for directory in directories)
        assert len(set(directories)) == len(owners)


def test_a_directory_that_was_reaped_before_it_was_locked_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process' reaper may come between the making and the locking; another directory is made then."""
    lock = fcntl.flock
    reaped = []

    def reap_first(descriptor: int, operation: int) -> None:
        if not reaped:
            reaped.extend(tmp_path.iterdir())
            reaped[0].rmdir()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", reap_first)
    with workspace.workspace(tmp_path) as directory:
        assert directory.is_dir()
        assert directory not in reaped
        assert len(reaped) == 1


def test_a_program_that_was_started_does_not_own(tmp_path: Path) -> None:
    """A program started inside does not keep the lock: what its dead parent left can be removed."""
    script = (
        "import os, subprocess, sys; from pathlib import Path; from infraval import workspace\n"
        "with workspace.workspace(Path(sys.argv[1])):\n"
        "    print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid, flush=True)\n"
        "    os._exit(0)\n"
    )
    owner = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, check=True)
    try:
        assert len(list(tmp_path.iterdir())) == 1
        with workspace.workspace(tmp_path) as ours:
            assert list(tmp_path.iterdir()) == [ours]
    finally:
        os.kill(int(owner.stdout), signal.SIGKILL)


def test_a_forked_process_shares_the_ownership(tmp_path: Path) -> None:
    """A forked process that unwinds removes nothing, and one that lives on after its parent keeps the directory."""
    script = (
        "import os, signal, sys; from pathlib import Path; from infraval import workspace\n"
        "with workspace.workspace(Path(sys.argv[1])) as directory:\n"
        "    if os.fork() == 0:\n"
        "        sys.exit()\n"
        "    os.wait()\n"
        "    assert directory.exists()\n"
        "    forked = os.fork()\n"
        "    if forked == 0:\n"
        "        os.close(1)\n"
        "        signal.pause()\n"
        "    print(forked, flush=True)\n"
        "    os._exit(0)\n"
    )
    owner = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, check=True)
    try:
        [theirs] = tmp_path.iterdir()
        with workspace.workspace(tmp_path):
            assert theirs.exists()
    finally:
        os.kill(int(owner.stdout), signal.SIGKILL)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Symlinks, files and the directories of other names or users are not reaped, whatever they are called."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    prefix = f"infraval-{os.geteuid()}-"
    (tmp_path / f"{prefix}link").symlink_to(outside)
    (tmp_path / f"{prefix}file").touch()
    os.mkfifo(tmp_path / f"{prefix}pipe")
    (tmp_path / f"infraval-{os.geteuid() + 1}-other").mkdir()
    before = sorted(tmp_path.iterdir())
    with workspace.workspace(tmp_path):
        pass
    assert sorted(tmp_path.iterdir()) == before
    assert (outside / "kept").exists()


def test_a_place_that_cannot_hold_it_is_an_error(tmp_path: Path) -> None:
    """The error names the place and says what to set."""
    with (
        pytest.raises(errors.SandboxError, match=r"nonexistent.*Set TMPDIR"),
        workspace.workspace(tmp_path / "nonexistent"),
    ):
        pass


def test_a_failure_on_a_full_disk_is_not_blamed_on_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries wrap what the system said, so the disk itself is asked; with room, an error stays what it is."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail() -> None:
        with workspace.workspace():
            raise errors.ModelError("wrapped")

    with pytest.raises(errors.ModelError):
        fail()
    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: used._replace(free=0))
    with pytest.raises(errors.SandboxError) as raised:
        fail()
    assert raised.value.code == "sandbox/temporary-directory"
    assert str(tmp_path) in str(raised.value)


def test_no_place_for_temporary_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a read-only root and no volume; found before TensorFlow is imported."""

    def nowhere() -> str:
        raise FileNotFoundError

    workspace.check()
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(errors.SandboxError) as raised:
        workspace.check()
    assert raised.value.code == "sandbox/temporary-directory"


def test_removal_does_not_follow_a_link_that_replaced_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that flips its socket directory for a link must not change what the link leads to."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    walk = os.fwalk

    def flipping(path: Path) -> Iterator[Any]:
        for folder, names, files, descriptor in walk(path):
            if "flipped" in names:
                Path(folder, "flipped").rmdir()
                Path(folder, "flipped").symlink_to(outside)
            yield folder, names, files, descriptor

    monkeypatch.setattr(os, "fwalk", flipping)
    with workspace.workspace(tmp_path) as directory:
        (directory / "flipped").mkdir()
        locked = directory / "locked"
        (locked / "inner").mkdir(parents=True)
        locked.chmod(0)
    assert not directory.exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_a_place_whose_name_is_not_utf_8_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """GRPC could not use a socket there, and the model would be blamed; a given parent gets no socket."""
    odd = tmp_path / os.fsdecode(b"\xff")
    odd.mkdir()
    with workspace.workspace(odd) as path:
        assert path.parent == odd
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with pytest.raises(errors.SandboxError) as raised, workspace.workspace():
        pass
    assert raised.value.code == "sandbox/temporary-directory"
    assert list(odd.iterdir()) == []
