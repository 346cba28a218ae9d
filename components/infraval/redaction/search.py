"""Looks in the values of requests for what a message says.

The message is indexed, the requests are passed over once and nothing of them is kept: time grows with their bytes
(about 15 ms per MB), memory with the message. What counts as found in a value:

  - all of it, from 3 bytes, anywhere in the message;
  - any 8 bytes in a row of it, in values of any size, and in serialized records;
  - a token of the message (letters and digits) of 3 characters or more that is a part of it, and 4 bytes or more that
    base64 or hex in the message decodes to; in text only, and in the first 64 KiB of each value. In more than 64 KiB of
    text nearly every syllable occurs, so there a token of 3 or 4 characters must begin or end a word.
  - a number of the message of 4 digits or more, as far as the digits printed say.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from infraval.redaction import forms
from infraval.redaction.values import Numbers, Values

Mask = npt.NDArray[np.bool_]
"""For each character of a message, whether something is so."""

_Hashes = npt.NDArray[np.uint64]

MIN_VALUE = 3
"""Bytes of the shortest value that is removed."""

MIN_DIGITS = 4
"""Digits of the shortest number that is removed."""

WINDOW = 8
"""Bytes of a value that are removed wherever they occur."""

_MIN_DECODED = 4
_SYLLABLE = 4
_MAX_TEXT = 1 << 16
_CHUNK = 1 << 22
_HASH_BITS = 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SEPARATOR = b"\x00\xff" * 4

_TOKEN = re.compile(r"[^\W_]{3,}")
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\r"))
_ALWAYS_TEXT = 256
_NOT_IN_WORDS = re.sub(rb"[^0-9A-Za-z\x80-\xff]", b" ", bytes(range(256)))
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])(?:0x(?P<hex>[0-9a-f]{1,16})"
    r"|(?P<decimal>(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:e[+-]?\d{1,3})?))(?![A-Za-z0-9_])",
    re.ASCII | re.IGNORECASE,
)
_LAST_DIGIT = 0.999  # rounded or cut: anything but the next number
_FLOAT32_ERROR = 2e-7


class Search:
    """What a message says, and how much of it was found in the values that were looked at.

    Args:
      text: the message.
      skip: whether the message says the characters from one offset to another by itself.
    """

    def __init__(self, text: str, skip: Callable[[int, int], bool]) -> None:
        self._length = len(text)
        self._plain = list(forms.readings(text))
        self._encoded = [
            reading
            for reading in forms.encoded_readings(text)
            if len(reading.starts) >= MIN_VALUE and not skip(int(reading.starts[0]), int(reading.ends[0]))
        ]
        readings = [*self._plain, *self._encoded]
        self._windows = np.unique(np.concatenate([_windows(reading.content) for reading in readings]))
        self._may_hold = np.zeros(1 << _HASH_BITS, np.bool_)
        self._may_hold[_hashed(self._windows)] = True
        self._found_windows: list[_Hashes] = []
        contents = [reading.content for reading in readings]
        self._beginnings = {content[at : at + MIN_VALUE] for content in contents for at in range(len(content))}
        self._short: set[bytes] = set()
        self._numbers = list(_numbers(text))
        self._lows = np.array([low for _, _, low, _ in self._numbers])
        self._highs = np.array([high for _, _, _, high in self._numbers])
        self._found_numbers = np.zeros(len(self._numbers), np.bool_)
        self._tokens = _Tokens()
        for reading in self._plain:
            for start, end, token in _tokens(reading):
                if not skip(start, end):
                    self._tokens.add(token, start, end)
        for reading in self._encoded:
            if _MIN_DECODED <= len(reading.starts) < WINDOW:
                self._tokens.add(reading.content, int(reading.starts[0]), int(reading.ends[0]))

    def look_at(self, requests: Iterable[Values]) -> None:
        """Looks for the message in what requests hold."""
        strings: list[bytes] = []
        texts: list[bytes] = []
        numbers: list[Numbers] = []
        size = 0
        for request in requests:
            folded = {forms.fold(string) for string in set(request.strings) if len(string) >= MIN_VALUE}
            self._short |= {s for s in folded if len(s) < WINDOW and s[:MIN_VALUE] in self._beginnings and _is_value(s)}
            strings += [s for s in folded if len(s) >= WINDOW]
            strings += map(forms.fold, request.records)
            texts += [s[:_MAX_TEXT] for s in folded if len(s) <= _ALWAYS_TEXT or _is_text(s[:_MAX_TEXT])]
            numbers.append(request.numbers)
            size += sum(map(len, (*folded, *request.records))) + request.numbers.nbytes
            if size >= _CHUNK:
                self._look_at(strings, texts, numbers)
                strings, texts, numbers, size = [], [], [], 0
        self._look_at(strings, texts, numbers)

    def found(self) -> Mask:
        """Which characters of the message were found so far."""
        depth = np.zeros(self._length + 1, np.int64)
        windows = np.unique(np.concatenate([*self._found_windows, _windows(b"")]))
        for reading in (*self._plain, *self._encoded):
            at = np.flatnonzero(np.isin(_windows(reading.content), windows))
            np.add.at(depth, reading.starts[at], 1)
            np.add.at(depth, reading.ends[at + WINDOW - 1], -1)
        for start, end in (*self._short_spans(), *self._tokens.found(), *self._number_spans()):
            depth[start] += 1
            depth[end] -= 1
        found: Mask = np.cumsum(depth[:-1]) > 0
        return found

    def _look_at(self, strings: list[bytes], texts: list[bytes], numbers: list[Numbers]) -> None:
        content = _SEPARATOR.join(strings)
        for offset in range(WINDOW if self._windows.size else 0):
            windows = _words(content, offset)
            windows = windows[self._may_hold[_hashed(windows)]]
            self._found_windows.append(np.intersect1d(windows, self._windows))
        self._tokens.look_at(texts)
        if numbers and self._numbers:
            ordered = np.concatenate(numbers)
            ordered = np.sort(ordered[(ordered > self._lows.min()) & (ordered < self._highs.max())])
            between = np.searchsorted(ordered, self._lows, "right") < np.searchsorted(ordered, self._highs, "left")
            self._found_numbers |= between

    def _short_spans(self) -> Iterator[tuple[int, int]]:
        for reading in self._encoded:
            if reading.content in self._short:
                yield int(reading.starts[0]), int(reading.ends[0])
        for reading in self._plain:
            content = reading.content
            for value in self._short:
                at = content.find(value)
                while at >= 0:
                    end = at + len(value)
                    # A number is not a part of a larger one.
                    if not (value.isdigit() and (content[at - 1 : at].isdigit() or content[end : end + 1].isdigit())):
                        yield int(reading.starts[at]), int(reading.ends[end - 1])
                    at = content.find(value, at + 1)

    def _number_spans(self) -> Iterator[tuple[int, int]]:
        for (start, end, _, _), found in zip(self._numbers, self._found_numbers, strict=True):
            if found:
                yield start, end


class _Tokens:
    """Tokens of a message, where they stand in it, and which of them were found in text."""

    def __init__(self) -> None:
        self._spans: dict[bytes, list[tuple[int, int]]] = {}
        self._pending: dict[bytes, _Hashes] | None = None
        self._found: set[bytes] = set()
        self._within_words: set[bytes] = set()
        self._looked_at = 0

    def add(self, token: bytes, start: int, end: int) -> None:
        self._spans.setdefault(token, []).append((start, end))

    def look_at(self, texts: list[bytes]) -> None:
        content = _SEPARATOR.join(texts)
        self._looked_at += len(content)
        if self._pending is None:
            self._pending = {token: _hashed(_trigrams(token)) for token in self._spans}
        if not content or not self._pending:
            return
        present = np.zeros(1 << _HASH_BITS, np.bool_)
        present[_hashed(_trigrams(content))] = True
        words = b" %b " % content.translate(_NOT_IN_WORDS)
        for token, trigrams in list(self._pending.items()):
            if not present[trigrams].all() or token not in content:
                continue
            if len(token) > _SYLLABLE or b" " + token in words or token + b" " in words:
                self._found.add(token)
                del self._pending[token]
            else:
                self._within_words.add(token)

    def found(self) -> Iterator[tuple[int, int]]:
        everything = self._looked_at <= _MAX_TEXT
        for token in self._found | (self._within_words if everything else set()):
            yield from self._spans[token]


def _windows(content: bytes) -> _Hashes:
    """All 8 bytes in a row of some bytes, in their order, as numbers."""
    windows = np.empty(max(len(content) - WINDOW + 1, 0), np.uint64)
    for offset in range(WINDOW):
        windows[offset::WINDOW] = _words(content, offset)
    return windows


def _words(content: bytes, offset: int) -> _Hashes:
    return np.frombuffer(content, "<u8", max(len(content) - offset, 0) // WINDOW, min(offset, len(content)))


def _trigrams(content: bytes) -> _Hashes:
    codes = np.frombuffer(content, np.uint8).astype(np.uint64)
    trigrams: _Hashes = codes[:-2] | codes[1:-1] << np.uint64(8) | codes[2:] << np.uint64(16)
    return trigrams


def _hashed(numbers: _Hashes) -> _Hashes:
    return (numbers * _MULTIPLIER) >> np.uint64(64 - _HASH_BITS)


def _is_value(folded: bytes) -> bool:
    return not folded.isspace() and not (folded.isdigit() and len(folded) < MIN_DIGITS)


def _is_text(folded: bytes) -> bool:
    return len(folded) - len(folded.translate(None, _CONTROLS)) <= len(folded) // 50


def _tokens(reading: forms.Reading) -> Iterator[tuple[int, int, bytes]]:
    """The tokens of a reading, and where in the message each stands."""
    text = reading.text
    widths = None if text.isascii() else [len(character.encode("utf-8", "surrogateescape")) for character in text]
    offsets = np.arange(len(text) + 1) if widths is None else np.cumsum([0, *widths])
    for token in _TOKEN.finditer(text):
        if not token[0].isdecimal() or len(token[0]) >= MIN_DIGITS:
            first, last = offsets[token.start()], offsets[token.end()] - 1
            yield int(reading.starts[first]), int(reading.ends[last]), token[0].encode()


def _numbers(text: str) -> Iterator[tuple[int, int, float, float]]:
    """The numbers of 4 digits or more in a message: where they stand, and what may have been printed so."""
    for token in _NUMBER.finditer(text):
        number = decimal.Decimal(int(token["hex"], 16) if token["hex"] else token["decimal"])
        exponent = int(number.as_tuple().exponent)
        value = float(number)
        # Digits as if printed without an exponent, but for zeros that say nothing.
        digits = len(str(int(number))) if number == int(number) else len(number.normalize().as_tuple().digits)
        if digits >= MIN_DIGITS and np.isfinite(value):
            error = max(min(_LAST_DIGIT * 10.0**exponent, value * 1e-3), value * _FLOAT32_ERROR)
            yield token.start(), token.end(), value - error, value + error
