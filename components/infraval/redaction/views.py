"""What a message says in the forms in which a value may be printed: as it is, escaped, in another case, base64, hex."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SEPARATOR = "\x00\udcff" * 4
NOWHERE = -1
BYTES = ("utf-8", "surrogateescape")
"""How bytes become characters, whatever they are."""

_MAX_ESCAPING = 2  # a kernel's message that another one quotes
_PIECE = re.compile(
    r"\\(?:[abfnrtv\\'\"]|[0-3]?[0-7]{1,2}|x[0-9a-fA-F]{2}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}"
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})|.",
    re.DOTALL,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}")
_HEX = re.compile(r"[0-9a-fA-F]{6,}")


class View(NamedTuple):
    """What (a part of) a message says, and for each character of it where in the message it begins and ends."""

    text: str
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def changed(self, pieces: Sequence[str], results: Sequence[str]) -> View:
        """The view with a result in place of each piece of its text."""
        after = np.cumsum([0, *map(len, pieces)])
        sizes = list(map(len, results))
        starts, ends = self.starts[after[:-1]], self.ends[after[1:] - 1]
        return View("".join(results), np.repeat(starts, sizes), np.repeat(ends, sizes))


def view(message: str) -> View:
    """Everything that a message says in any form, folded to one case, with separators that stand `NOWHERE` in it."""
    message = message.encode("utf-8", "replace").decode("utf-8")
    places = np.arange(len(message))
    plain = View(message, places, places + 1)
    forms = {}
    for _ in range(1 + _MAX_ESCAPING):
        for form in (plain, _characters_as_bytes(plain)):
            forms[form.text] = form.changed(form.text, [character.casefold() for character in form.text])
        pieces = _PIECE.findall(plain.text)
        plain = plain.changed(pieces, list(map(_resolved, pieces)))
    gap = View(SEPARATOR, *np.full((2, len(SEPARATOR)), NOWHERE))
    texts, starts, ends = zip(
        *(part for form in (*forms.values(), *_decoded(message)) for part in (form, gap)), strict=True
    )
    return View("".join(texts), np.concatenate(starts), np.concatenate(ends))


def _characters_as_bytes(form: View) -> View:
    """Takes characters for bytes: gRPC turns the bytes of a message into them, and `_resolved` those of escapes."""
    coded = [character.encode("latin-1" if character < "\u0100" else "utf-8") for character in form.text]
    text = b"".join(coded).decode(*BYTES)
    form = form.changed(form.text, [code.decode("latin-1") for code in coded])
    return form.changed([character.encode(*BYTES).decode("latin-1") for character in text], text)


def _resolved(piece: str) -> str:
    """A character, also if it is escaped as C, Python, JSON and protobuf's text format do."""
    if len(piece) == 1:
        return piece
    return piece.encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decoded(message: str) -> Iterator[View]:
    """What the runs of base64 and hex digits decode to, at every alignment."""
    found = []
    for run in _BASE64.finditer(message):
        for skipped in range(4):
            digits = run[0][skipped:].replace("-", "+").replace("_", "/")
            digits = digits[: len(digits) - (len(digits) % 4 == 1)]
            found.append((run, binascii.a2b_base64(digits + "=" * (-len(digits) % 4))))
    for run in _HEX.finditer(message):
        found += [(run, bytes.fromhex(digits[: len(digits) // 2 * 2])) for digits in (run[0], run[0][1:])]
    for run, content in found:
        text = content.decode(*BYTES).casefold()
        yield View(text, np.full(len(text), run.start()), np.full(len(text), run.end()))
