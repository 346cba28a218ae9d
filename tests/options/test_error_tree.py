"""The tree of errors, and each one's code, are those of the reference."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from infraval import errors

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
CLASSES = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if kind is not Exception}


def test_every_error_is_in_the_drawing_under_its_parent() -> None:
    """A reader of the page knows what to catch."""
    drawn: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    for line in PAGE.splitlines():
        found = re.match(r"^([ │├└─]*)(\w+(?:Error))$", line)
        if found:
            depth, name = len(found[1]), found[2]
            parents = [(above, parent) for above, parent in parents if above < depth]
            drawn[name] = parents[-1][1] if parents else "Exception"
            parents.append((depth, name))
    assert drawn == {name: kind.__mro__[1].__name__ for name, kind in CLASSES.items()}


def test_every_error_is_in_the_table_with_its_code() -> None:
    """A reader of `--json` finds what it means."""
    rows = dict(re.findall(r"^\| `(\w+Error)` \| `([a-z/-]+)` \|", PAGE, re.MULTILINE))
    assert rows == {name: kind.code for name, kind in CLASSES.items()}
