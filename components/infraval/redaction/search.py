"""Looks for the values of requests in a message; requests are passed over one by one, and nothing of them is kept."""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from infraval.redaction.values import Values
from infraval.redaction.views import BYTES, NOWHERE, SEPARATOR, view

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


def search(message: str, requests: Iterable[Values]) -> Iterator[tuple[int, int]]:
    """Where in a message begins and ends what is found in requests.

    That is 8 bytes in a row of a string, a short string, a word that is a part of a short string or a word of a long
    one, and a number of 4 digits or more.
    """
    text, starts, ends = view(message)
    own = _windows(text.encode(*BYTES))
    ordered = np.append(np.unique(own), np.uint64(0))
    words = {word for word in (*_WORD.findall(text), *text.split(SEPARATOR)) if _is_short(word)}
    beginnings = {text[at : at + MIN_LENGTH] for at in range(len(text))}
    numbers = list(_numbers(text))
    lows, highs = (np.array([limits[end] for _, limits in numbers]) for end in (0, 1))

    found: set[str] = set()
    found_windows = np.zeros(len(ordered), np.bool_)
    found_numbers = np.zeros(len(numbers), np.bool_)
    for request in requests:
        strings, records = ({string.decode(*BYTES).casefold() for string in part} for part in request[:2])
        content = (b"\x01\xfe" * 4).join(string.encode(*BYTES) for string in strings | records)
        for start in range(0, len(content), _CHUNK):
            sent = _windows(content[start : start + _CHUNK + _WINDOW - 1])
            at = np.searchsorted(ordered[:-1], sent)
            found_windows[at[ordered[at] == sent]] = True
        found |= {string for string in strings if string[:3] in beginnings and _is_short(string) and string in text}
        parts = "\x00".join(string for string in strings if len(string) <= _SHORT)
        found |= {word for word in words - found if word in parts}
        for string in strings:
            if len(string) > _SHORT and not _NOT_TEXT.search(string):
                found |= words.intersection(_WORD.findall(string[:_CHUNK]))
        found_numbers |= np.searchsorted(request.numbers, lows, "right") < np.searchsorted(request.numbers, highs)

    of_byte = np.repeat(np.arange(len(text)), [len(character.encode(*BYTES)) for character in text])
    at = np.flatnonzero(np.isin(own, ordered[found_windows]))
    spans = [*zip(of_byte[at], of_byte[at + _WINDOW - 1] + 1, strict=True)]
    for value in found:
        # A word is not a part of a longer one.
        pattern = rf"(?<![^\W_]){value}(?![^\W_])" if value.isalnum() else re.escape(value)
        spans += [place.span() for place in re.finditer(pattern, text)]
    spans += [numbers[at][0] for at in np.flatnonzero(found_numbers)]
    places = ((int(starts[first]), int(ends[end - 1])) for first, end in spans)
    return (place for place in places if NOWHERE not in place)  # a window that touches a separator begins or ends in it


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
