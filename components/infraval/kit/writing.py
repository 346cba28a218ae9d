"""The files of a kit on disk: whole or not at all, and never over what somebody has edited."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from infraval import errors, escape, signals, workspace
from infraval.requests import locations

WRITTEN = ".infraval-kit.json"
"""The SHA-256 of each file as it was written, to tell later what was edited."""


def write(contents: Mapping[str, str], output: Path, *, force: bool) -> None:
    """Writes the files by their paths, in place of all those of an earlier kit; other files stay.

    Args:
      contents: of the files.
      output: the directory; made if there is none.
      force: replace also what was edited.

    Raises:
      OutputError: a file was edited, or cannot be written; nothing was changed then.
    """
    if locations.advice(output):
        raise errors.OutputError(f"--output {output}: a kit can only be written to a directory of this machine.")
    output = output.resolve()
    encoded = {path: content.encode() for path, content in contents.items()}
    encoded[WRITTEN] = _digests(encoded)
    try:
        known = _known(output)
        obsolete = [path for path in known.keys() - encoded.keys() if _digest(output / path) == known[path]]
        if not force and (edited := _edited(encoded, output, known)):
            raise errors.OutputError(
                f"{output} has files that `infraval kit` did not write, or that were edited since: "
                f"{escape.names(edited)}. Nothing was changed. Choose another --output, or replace them with --force.",
                code="output/edited",
            )
        output.mkdir(parents=True, exist_ok=True)
        with workspace.workspace(output) as directory:
            new, old = directory / "new", directory / "old"
            for path, content in encoded.items():
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).write_bytes(content)
                (new / path).chmod(0o644)
            with signals.deferred():
                _replace([*encoded, *obsolete], new, old, output)
    except (OSError, errors.SandboxError) as error:
        cause = getattr(error, "strerror", None) or error
        raise errors.OutputError(f"{output} cannot be written: {cause}. Nothing was changed.") from error


def _digests(encoded: Mapping[str, bytes]) -> bytes:
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in encoded.items()}
    return (json.dumps(digests, indent=2) + "\n").encode()


def _known(output: Path) -> dict[str, str]:
    """What an earlier run has written: the digests of files, by their paths."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((output / WRITTEN).read_bytes())
        if isinstance(found, dict):
            return {path: str(digest) for path, digest in found.items() if ".." not in path and path[:1] != "/"}
    return {}


def _digest(path: Path) -> str | None:
    """Of a file; None if it is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _edited(encoded: Mapping[str, bytes], output: Path, known: Mapping[str, str]) -> list[str]:
    """Files that would be replaced, and are neither what was written last nor what is to be written."""
    return [
        path
        for path, content in encoded.items()
        if path != WRITTEN
        and os.path.lexists(output / path)
        # The same content: a run that was killed had replaced some of the files.
        and _digest(output / path) not in {known.get(path, ""), hashlib.sha256(content).hexdigest()}
    ]


def _make_directory(directory: Path) -> None:
    """With those above it that are missing; the users in the containers can read them, whatever the umask."""
    if not directory.exists():
        _make_directory(directory.parent)
        directory.mkdir()
        directory.chmod(0o755)


def _replace(paths: list[str], new: Path, old: Path, output: Path) -> None:
    """Moves the new files to their places, those without a new one away, and all back if one cannot be moved."""
    moved: list[str] = []
    try:
        for path in paths:
            target = output / path
            _make_directory(target.parent)
            moved.append(path)
            if target.is_file():
                (old / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(target, old / path)
            if (new / path).exists():
                (new / path).replace(target)  # a directory in its place is an error
            else:
                target.unlink()
    except BaseException:
        for path in moved:
            with contextlib.suppress(OSError):
                if (old / path).exists():
                    (old / path).replace(output / path)
                elif not (new / path).exists():
                    (output / path).unlink()
        raise
