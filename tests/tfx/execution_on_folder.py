"""Runs the executor on `folder://model`, where `folder://` stands for a folder.

python execution_on_folder.py FOLDER
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfx.dsl.io import filesystem, filesystem_registry
from tfx.types import standard_artifacts

from infraval.tfx.executor import Executor

SCHEME = "folder://"
FOLDER = Path(sys.argv[1])


class Folder(filesystem.Filesystem):
    """As much of a file system as is read before a model is."""

    SUPPORTED_SCHEMES = [SCHEME]  # noqa: RUF012 - as TFX declares it

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        """Opens a file."""
        return _path(name).open(mode)

    @staticmethod
    def exists(path: str) -> bool:
        """Whether it is there."""
        return _path(path).exists()

    @staticmethod
    def isdir(path: str) -> bool:
        """Whether it is a folder."""
        return _path(path).is_dir()

    @staticmethod
    def walk(top: str, topdown: bool = True, onerror: Any = None) -> Iterator[tuple[str, list[str], list[str]]]:  # noqa: FBT002 - TFX's interface
        """Folder after folder, files by name."""
        for directory, folders, names in os.walk(_path(top), topdown, onerror):
            yield SCHEME + str(Path(directory).relative_to(FOLDER)), folders, sorted(names)


def _path(uri: str) -> Path:
    return FOLDER / uri.removeprefix(SCHEME)


def main() -> None:
    """Fetches the model, if that ever ends."""
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(Folder, priority=1)
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = f"{SCHEME}model", str(FOLDER / "blessing")
    Executor(Executor.Context()).Do({"model": [model]}, {"blessing": [blessing]}, {})


if __name__ == "__main__":
    main()
