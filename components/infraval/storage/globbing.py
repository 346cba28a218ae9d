"""Globs on file systems with directories, one by one, because few of these have a glob that can be escaped."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence

_WILD = re.compile(r"[*?[]")
_ESCAPED = re.compile(r"\[([*?[])\]")
"""As `glob.escape` writes it."""
_SLASH = re.compile(r"(?<![:/])/(?!/)")
"""Not those after a scheme."""


def matches(
    pattern: str,
    exists: Callable[[str], bool],
    isdir: Callable[[str], bool],
    listdir: Callable[[str], Sequence[str]],
) -> Iterator[str]:
    """The files that match a pattern; `**` is as `*`."""

    def expand(base: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            if exists(base) and not isdir(base):
                yield base
            return
        part, *rest = parts
        if not _WILD.search(_ESCAPED.sub("", part)):
            yield from expand(f"{base}/{_literal(part)}", rest)
        elif isdir(base):
            for name in sorted({name.rstrip("/") for name in listdir(base)} - {""}):
                if fnmatch.fnmatchcase(name, part):
                    yield from expand(f"{base}/{name}", rest)

    first, *rest = _SLASH.split(pattern)
    return expand(_literal(first), rest)


def _literal(part: str) -> str:
    return _ESCAPED.sub(r"\1", part)
