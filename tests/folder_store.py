# ruff: noqa: D102, ARG002 - Beam's interface
"""A file system of Beam's whose URIs `folder://…` stand for what is in a folder: an object store, or one like HDFS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from apache_beam.io import filesystem

SCHEME = "folder"


class FolderStore(filesystem.FileSystem):  # type: ignore[misc]
    """Beam makes one for each call, so its state is the class's."""

    root: Path
    """The folder."""
    has: bool
    """Whether it has directories, and, as HDFS, lists one at a time and replaces no file; else it is as S3 is."""
    opened: list[str]
    """URIs that were opened to be read."""
    refuses: Callable[[str, str], bool]
    """Whether an operation (read, write, list, rename, delete) on a URI fails."""

    @classmethod
    def reset(cls, root: Path, *, has_directories: bool = False) -> None:
        """Begins with what is in a folder, and without a fault."""
        cls.root, cls.has, cls.opened = root, has_directories, []
        cls.refuses = staticmethod(lambda _operation, _uri: False)

    @classmethod
    def scheme(cls) -> str:
        """Of its URIs."""
        return SCHEME

    @classmethod
    def path(cls, uri: str) -> Path:
        """What a URI stands for."""
        return cls.root / uri.removeprefix(f"{SCHEME}://")

    @classmethod
    def files(cls) -> set[str]:
        """All files, relative to the root."""
        return {str(path.relative_to(cls.root)) for path in cls.root.rglob("*") if path.is_file()}

    def _check(self, operation: str, uri: str) -> None:
        if type(self).refuses(operation, uri):
            raise RuntimeError(f"the store refuses to {operation} {uri}")  # each of Beam's raises what it likes

    def _metadata(self, path: Path) -> filesystem.FileMetadata:
        uri = f"{SCHEME}://{path.relative_to(self.root)}"
        return filesystem.FileMetadata(uri, path.stat().st_size if path.is_file() else 0)

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join((basepath, *paths))

    def split(self, path: str) -> tuple[str, str]:
        return os.path.split(path)

    def has_dirs(self) -> bool:
        return self.has

    def mkdirs(self, path: str) -> None:
        if self.has:
            self.path(path).mkdir(parents=True)

    def _list(self, dir_or_prefix: str) -> Iterator[filesystem.FileMetadata]:
        self._check("list", dir_or_prefix)
        if self.has:
            yield from (self._metadata(path) for path in sorted(self.path(dir_or_prefix).iterdir()))
        else:
            every = (self._metadata(path) for path in sorted(self.root.rglob("*")) if path.is_file())
            yield from (each for each in every if each.path.startswith(dir_or_prefix))

    def _open(self, operation: str, uri: str, mode: str) -> BinaryIO:
        self._check(operation, uri)
        return cast("BinaryIO", self.path(uri).open(mode))

    def create(self, path: str, mime_type: str = "", compression_type: Any = None) -> BinaryIO:
        assert compression_type == filesystem.CompressionTypes.UNCOMPRESSED
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        return self._open("write", path, "wb")

    def open(self, path: str, mime_type: str = "", compression_type: Any = None) -> BinaryIO:
        assert compression_type == filesystem.CompressionTypes.UNCOMPRESSED
        self.opened.append(path)
        return self._open("read", path, "rb")

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        raise NotImplementedError

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for old, new in zip(source_file_names, destination_file_names, strict=True):
            self._check("rename", old)
            if self.has and self.path(new).exists():
                raise filesystem.BeamIOError("Rename operation failed", {(old, new): OSError(f"{new} exists")})
            self.path(old).rename(self.path(new))

    def exists(self, path: str) -> bool:
        return self.path(path).exists() if self.has else self.path(path).is_file()

    def size(self, path: str) -> int:
        return self.path(path).stat().st_size

    last_updated = size

    def checksum(self, path: str) -> str:
        return str(self.size(path))

    def metadata(self, path: str) -> filesystem.FileMetadata:
        return self._metadata(self.path(path))

    def delete(self, paths: list[str]) -> None:
        for uri in paths:
            self._check("delete", uri)
            path = self.path(uri)
            if self.has and path.is_dir():
                for below in sorted(path.rglob("*"), reverse=True):
                    below.rmdir() if below.is_dir() else below.unlink()
                path.rmdir()
            else:
                path.unlink()
                while not self.has and not any((path := path.parent).iterdir()):  # an object store has no directories
                    path.rmdir()
