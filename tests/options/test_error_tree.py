"""The tree of errors is the one that its module draws."""

from __future__ import annotations

import inspect
import re

from infraval import errors


def test_every_error_is_in_the_drawing_under_its_parent() -> None:
    """A reader of the docstring knows what to catch."""
    classes = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if kind is not Exception}
    drawn: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^ {4}([ │├└─]*)(\w+(?:Error))\b", line)
        if found:
            depth, name = len(found[1]), found[2]
            parents = [(above, parent) for above, parent in parents if above < depth]
            drawn[name] = parents[-1][1] if parents else "Exception"
            parents.append((depth, name))
    assert drawn == {name: kind.__mro__[1].__name__ for name, kind in classes.items()}
