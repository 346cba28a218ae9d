"""What a model, a server or a file calls things, made safe to print."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from infraval import errors, escape

HOSTILE = "a\x1b[31mred\x1b]52;c;aGk=\x07\r\nBLESSED\u202e\ud800" + "x" * 100_000


@given(text=st.text(), more=st.lists(st.text(), max_size=3))
def test_whatever_is_in_a_message_is_printable(text: str, more: list[str]) -> None:
    """One line each, of limited length; and an error is the same after a trip between processes."""
    error = errors.InfravalError(text, *more)
    lines = str(error).split("\n")
    assert len(lines) == 1 + len(more)
    assert all(line.isprintable() and len(line) <= escape.MAX_MESSAGE_LENGTH for line in lines)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - it was pickled here


@given(text=st.text())
def test_a_name_is_printable_and_short(text: str) -> None:
    """Also if it holds line breaks; a short printable name is what it was."""
    shown = escape.name(text)
    assert shown.isprintable()
    assert len(shown) <= 100
    assert shown == text or not text.isprintable() or len(text) > 100


def test_many_names_are_counted() -> None:
    """Ten thousand names of any length fit in a message, with room for what to do."""
    shown = escape.names([HOSTILE, *map(str, range(9_999))])
    assert shown.isprintable()
    assert shown.endswith("and 9980 more")
    assert len(shown) < 500
    assert escape.names(["a", "b"]) == "a, b"
    assert escape.names([]) == "none"
