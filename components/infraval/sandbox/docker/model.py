"""The model inside the container: who may read it, and its copy in a volume if it cannot be mounted."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker.types

from infraval import errors, signals
from infraval.sandbox import base
from infraval.sandbox.docker import engine as docker_engine

_CHUNK_BYTES = 1 << 20


def may_read(directory: Path, user: str) -> bool:
    """Whether a container's user may read everything below a directory, as far as file modes tell.

    The user is UID or UID:GID on this machine; without a GID, the image sets the group.
    """
    uid, _, gid = user.partition(":")
    return uid == "0" or all(_allows(path, int(uid), int(gid) if gid else None) for path in _below(directory))


def mount(volume: str, *, read_only: bool) -> docker.types.Mount:
    """The volume, mounted in a container."""
    return docker.types.Mount(base.CONTAINER_BASE_PATH, volume, type="volume", read_only=read_only, no_copy=True)


def copy(
    engine: docker_engine.Engine,
    volume: str,
    helper: str,
    image_id: str,
    labels: Mapping[str, str],
    files: Mapping[str, Path],
) -> None:
    """Copies files and directories, given by their path in a volume, into it; anyone may read them there.

    The API copies into containers only, so one named `helper` is created, from any image. It is never started, and is
    removed once everything is copied; after an error it is still there.

    Raises:
      ServerStartError: the engine refuses.
    """
    host_config = engine.api.create_host_config(mounts=[mount(volume, read_only=False)], network_mode="none")
    with docker_engine.failing_as(errors.ServerStartError, "The model could not be copied to the engine"):
        with signals.deferred():
            engine.api.create_container(
                image_id, name=helper, labels=dict(labels), host_config=host_config, use_config_proxy=False
            )
        engine.api.put_archive(helper, base.CONTAINER_BASE_PATH, tar(files))
        with signals.deferred():
            engine.api.remove_container(helper, v=True, force=True)


def tar(files: Mapping[str, Path]) -> Iterator[bytes]:
    """A tar archive of files and directories, given by their path in it; readable by everyone and owned by root.

    It comes in chunks. Links are followed.
    """
    for name, source in files.items():
        for path in _below(source):
            yield from _entry(path, str(Path(name, path.relative_to(source))))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _entry(path: Path, name: str) -> Iterator[bytes]:
    entry = tarfile.TarInfo(name)
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        yield entry.tobuf()
        return
    with path.open("rb") as file:
        entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o644
        yield entry.tobuf()
        left = entry.size
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
    if left:
        raise errors.SandboxError(f"{path} became shorter while it was copied into the container. Try again.")
    yield bytes(-entry.size % tarfile.BLOCKSIZE)


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            yield from _below(inner)


def _allows(path: Path, uid: int, gid: int | None) -> bool:
    status = path.stat()
    needed = 0o5 if stat.S_ISDIR(status.st_mode) else 0o4
    owner, group, others = ((status.st_mode >> shift) & needed == needed for shift in (6, 3, 0))
    if status.st_uid == uid:
        return owner
    if gid is None:
        return others and group
    return group if status.st_gid == gid else others
