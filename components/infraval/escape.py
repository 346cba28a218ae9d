"""Makes any text safe to print: nothing in it moves the cursor, reorders the line, fakes a line or fills the screen."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_MESSAGE_LENGTH = 2000
"""Characters of a message, or of one line of a log; the rest is cut."""

_MAX_NAME_LENGTH = 100
_MAX_NAMES = 20

_WHITE_SPACE = re.compile(r"\s*[\t\n\r\v\f\x85\u2028\u2029]\s*")


def one_line(text: str) -> str:
    """The text on one line: line breaks and tabs become a space, what else is not printable a Python escape.

    Escape sequences of a terminal, characters that change the direction of writing, lone surrogates and characters
    without a width are among what is not printable. Letters of every script are printable.
    """
    return cut(_printable(_WHITE_SPACE.sub(" ", text[: 2 * MAX_MESSAGE_LENGTH]).strip()))


def name(text: str) -> str:
    """A name that a model, file or server chose: line breaks are escaped too, and a long one is cut."""
    return cut(_printable(text[: 2 * _MAX_NAME_LENGTH]), _MAX_NAME_LENGTH)


def names(texts: Iterable[str]) -> str:
    """The first of some names, and how many more there are; `none` if there are none."""
    texts = list(texts)
    shown = [name(text) for text in texts[:_MAX_NAMES]]
    more = [f"and {len(texts) - _MAX_NAMES} more"] if len(texts) > _MAX_NAMES else []
    return ", ".join(shown + more) or "none"


def cut(text: str, length: int = MAX_MESSAGE_LENGTH) -> str:
    """The text, or its beginning and dots."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _printable(text: str) -> str:
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode("ascii") for ch in text)
