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
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def cut(text: str, unread: int = 0) -> str:
    """The text, at most `MAX_MESSAGE_LENGTH` characters, the last of which say how much was cut.

    Args:
      text: what may be shown.
      unread: characters that came after the text.
    """
    if len(text) <= MAX_MESSAGE_LENGTH and not unread:
        return text
    room = MAX_MESSAGE_LENGTH - len(f"... ({len(text) + unread} more characters)")
    return f"{text[:room]}... ({len(text[room:]) + unread} more characters)"
