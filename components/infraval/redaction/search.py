"""Looks for the values of requests in a message, in every form in which one may be printed.

That is as it is, escaped, in another case, base64 or hex. Requests are passed over one by one; nothing of them is kept.
"""

from __future__ import annotations

import binascii
import decimal
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infraval.redaction.values import Values

MIN_LENGTH = 3
_MIN_DIGITS = 4
_WINDOW = 8  # bytes
_CHUNK = 1 << 20
_SHORT = 256  # characters of a string in which parts of words count; in a longer one, only whole words do
_NOT_TEXT = re.compile("[\udc80-\udcff]")
_WORD = re.compile(r"[^\W_]{3,}")
_NUMBER = re.compile(
    r"(?<![a-z0-9_.])(?:(0x[0-9a-f]{1,16})|(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:e[+-]?\d{1,3})?)(?![a-z0-9_])",
    re.ASCII,
)
_BYTES = ("utf-8", "surrogateescape")  # how bytes become characters, whatever they are
_MAX_ESCAPING = 2  # a kernel's message that another one quotes
_PIECE = re.compile(
    r"\\(?:[abfnrtv\\'\"]|[0-3]?[0-7]{1,2}|x[0-9a-fA-F]{2}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}"
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})|.",
    re.DOTALL,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}")
_HEX = re.compile(r"[0-9a-fA-F]{6,}")


class _View(NamedTuple):
    """What (a part of) a message says, and for each character of it where in the message it begins and ends."""

    text: str
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def changed(self, pieces: Sequence[str], results: Sequence[str]) -> _View:
        """The view with a result in place of each piece of its text."""
        after = np.cumsum([0, *map(len, pieces)])
        sizes = list(map(len, results))
        starts, ends = self.starts[after[:-1]], self.ends[after[1:] - 1]
        return _View("".join(results), np.repeat(starts, sizes), np.repeat(ends, sizes))


_NOWHERE = -1
# Between views; it is as long as a window, so what is found over it begins or ends in it.
_GAP = _View("\x00\udcff" * (_WINDOW // 2), *np.full((2, _WINDOW), _NOWHERE))


def _plain(message: str) -> list[_View]:
    """The message, with its escapes resolved and with its characters taken for bytes, folded to one case."""
    places = np.arange(len(message))
    plain = _View(message, places, places + 1)
    forms = {}
    for _ in range(1 + _MAX_ESCAPING):
        for form in (plain, _characters_as_bytes(plain)):
            forms[form.text] = form.changed(form.text, [character.casefold() for character in form.text])
        pieces = _PIECE.findall(plain.text)
        plain = plain.changed(pieces, list(map(_resolved, pieces)))
    return list(forms.values())


def _characters_as_bytes(form: _View) -> _View:
    """Takes characters for bytes: gRPC turns the bytes of a message into them, and `_resolved` those of escapes."""
    coded = [character.encode("latin-1" if character < "\u0100" else "utf-8") for character in form.text]
    text = b"".join(coded).decode(*_BYTES)
    form = form.changed(form.text, [code.decode("latin-1") for code in coded])
    return form.changed([character.encode(*_BYTES).decode("latin-1") for character in text], text)


def _resolved(piece: str) -> str:
    """A character, also if it is escaped as C, Python, JSON and protobuf's text format do."""
    if len(piece) == 1:
        return piece
    return piece.encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decoded(message: str) -> Iterator[_View]:
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
        text = content.decode(*_BYTES).casefold()
        yield _View(text, np.full(len(text), run.start()), np.full(len(text), run.end()))


def search(message: str, requests: Iterable[Values]) -> Iterator[tuple[int, int]]:
    """Where in a message begins and ends what is found in requests.

    That is 8 bytes in a row of a string, a short string, a word that is a part of a short string or a word of a long
    one, and a number of 4 digits or more.
    """
    message = message.encode("utf-8", "replace").decode("utf-8")
    plain, decoded = _plain(message), list(_decoded(message))
    words = {
        form.text for form in decoded if len(form.text.encode(*_BYTES)) > MIN_LENGTH
    }  # nearly any 3 bytes occur by chance
    words = {word for word in words.union(*(_WORD.findall(form.text) for form in plain)) if _is_short(word)}
    views = [view for form in (*plain, *decoded) for view in (form, _GAP)]
    text = "".join(view.text for view in views)
    starts, ends = (np.concatenate([view[at] for view in views]) for at in (1, 2))
    own = _windows(text.encode(*_BYTES))
    beginnings = {text[at : at + MIN_LENGTH] for at in range(len(text))}
    numbers = list(_numbers(text))
    lows, highs = (np.array([limits[end] for _, limits in numbers]) for end in (0, 1))

    found: set[str] = set()
    found_windows = np.zeros(len(own), np.bool_)
    found_numbers = np.zeros(len(numbers), np.bool_)
    for request in requests:
        strings, records = ({string.decode(*_BYTES).casefold() for string in part} for part in request[:2])
        content = (b"\x01\xfe" * 4).join(string.encode(*_BYTES) for string in strings | records)
        for start in range(0, len(content), _CHUNK):
            found_windows |= np.isin(own, _windows(content[start : start + _CHUNK + _WINDOW - 1]))
        found |= {string for string in strings if string[:3] in beginnings and _is_short(string) and string in text}
        short = "\x00".join(string for string in strings if len(string) <= _SHORT)
        found |= {word for word in words - found if word in short}
        long = " ".join(s[:_CHUNK] for s in strings if len(s) > _SHORT and not _NOT_TEXT.search(s))
        found |= words.intersection(_WORD.findall(long))
        found_numbers |= np.searchsorted(request.numbers, lows, "right") < np.searchsorted(request.numbers, highs)

    of_byte = np.repeat(np.arange(len(text)), [len(character.encode(*_BYTES)) for character in text])
    at = np.flatnonzero(found_windows)
    spans = [*zip(of_byte[at], of_byte[at + _WINDOW - 1] + 1, strict=True)]
    for value in found:
        # A word is not a part of a longer one.
        pattern = rf"(?<![^\W_]){value}(?![^\W_])" if value.isalnum() else re.escape(value)
        spans += [place.span() for place in re.finditer(pattern, text)]
    spans += [numbers[at][0] for at in np.flatnonzero(found_numbers)]
    places = ((int(starts[first]), int(ends[end - 1])) for first, end in spans)
    return (place for place in places if _NOWHERE not in place)


def _windows(content: bytes) -> npt.NDArray[np.uint64]:
    """All 8 bytes in a row of some bytes, in their order, as numbers."""
    return np.ndarray(max(len(content) - _WINDOW + 1, 0), "<u8", content.ljust(_WINDOW), strides=(1,))


def _is_short(string: str) -> bool:
    """Whether a string is long enough to be removed, but too short to be found by 8 bytes in a row."""
    least = _MIN_DIGITS if string.isdecimal() else MIN_LENGTH
    return least <= len(string) < _WINDOW and not string.isspace()


def _numbers(text: str) -> Iterator[tuple[tuple[int, int], tuple[float, float]]]:
    """The numbers of 4 digits or more in a text: where they stand, and between which limits they are rounded or cut."""
    for token in _NUMBER.finditer(text):
        number = decimal.Decimal(int(token[1], 16) if token[1] else token[0])
        value = float(number)
        # Digits as if printed without an exponent, but for zeros that say nothing.
        digits = len(str(int(number))) if number == int(number) else len(number.normalize().as_tuple().digits)
        if digits >= _MIN_DIGITS and np.isfinite(value):
            last_digit = 0.999 * 10.0 ** int(number.as_tuple().exponent)
            error = max(min(last_digit, value * 1e-3), value * 2e-7)  # 2e-7: float32
            yield token.span(), (value - error, value + error)
