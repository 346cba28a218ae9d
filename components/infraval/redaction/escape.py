"""Makes any text safe to print on one line: nothing in it moves the cursor, reorders the line or fills the screen."""

from __future__ import annotations

import re

MAX_MESSAGE_LENGTH = 2000
"""Characters of a message, or of one line of a log; the rest is cut."""

_WHITE_SPACE = re.compile(r"\s*[\t\n\r\v\f\x85\u2028\u2029]\s*")


def one_line(text: str) -> str:
    """The text on one line: line breaks and tabs become a space, what else is not printable a Python escape.

    Escape sequences of a terminal, characters that change the direction of writing, lone surrogates and characters
    without a width are among what is not printable. Letters of every script are printable.
    """
    text = _WHITE_SPACE.sub(" ", text).strip()
    return cut("".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode("ascii") for ch in text))


def cut(text: str, length: int = MAX_MESSAGE_LENGTH) -> str:
    """The text, or its beginning and dots."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
