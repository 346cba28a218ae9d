"""The forms in which a message may print a value: as it is, escaped, in another case, base64, hex.

The message is read, not the value: a message is short and a request may be long. A `Reading` is what a message, or a
part of it, says if it is taken to be in one of the forms, folded to one case. It knows where in the message each byte
of it comes from.
"""

from __future__ import annotations

import binascii
import dataclasses
import re
import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]

_MAX_ESCAPING = 3  # a kernel's message, quoted by a warmup failure, quoted by a load failure
_MAX_FOLDED_BYTES = 1 << 16

_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|x(?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-7]{1,3})|(?P<letter>[abfnrtv\\'\"?/]))"
)
_NOT_ASCII = 0x80
_BYTES = 0xDC00
"""`surrogateescape` has a byte that is no UTF-8 as this character plus the byte."""

_LETTERS = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # what `surrogateescape` cannot take back

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{6,}")
_SPACED_HEX = re.compile(r"[0-9a-fA-F]{2}(?:[ ,:;-]{1,2}(?:0[xX])?[0-9a-fA-F]{2}){2,}")
_SPACED_HEX_GAP = re.compile("[ ,:;-]+(?:0[xX])?")
_AS_BYTES = {code: _BYTES + code for code in range(_NOT_ASCII, 0x100)}
_URL_SAFE = str.maketrans("-_", "+/")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What (a part of) a message says in one of the forms.

    Attributes:
      text: what it says, folded; bytes that are no UTF-8 are lone surrogates, as of `surrogateescape`.
      starts: for each byte of the text, where in the message it begins.
      ends: for each byte of the text, where in the message it ends.
      encoded: whether it is base64 or hex; the offsets are then those of all of the encoded run.
    """

    text: str
    starts: Offsets
    ends: Offsets
    encoded: bool = False

    @property
    def content(self) -> bytes:
        """The text as bytes."""
        return self.text.encode("utf-8", "surrogateescape")


def fold(content: bytes) -> bytes:
    """Bytes in one case: Unicode's for UTF-8, ASCII's for what is not (in more than 64 KiB)."""
    if content.isascii():
        return content.lower()
    try:
        return content.decode("utf-8").casefold().encode("utf-8")
    except UnicodeDecodeError:
        if len(content) > _MAX_FOLDED_BYTES:
            return content.lower()
        return content.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


def readings(text: str) -> Iterator[Reading]:
    """The message itself, with its escapes resolved, and with its characters taken for bytes, as gRPC does."""
    text = _SURROGATE.sub("\ufffd", text)
    as_bytes = text.translate(_AS_BYTES)
    places = np.arange(len(text), dtype=np.int64)
    pending = [(read, places, places + 1, 0) for read in dict.fromkeys((text, as_bytes))]
    seen = set()
    while pending:
        characters, starts, ends, escaping = pending.pop()
        if characters in seen:
            continue
        seen.add(characters)
        yield _folded(characters, starts, ends)
        if escaping < _MAX_ESCAPING and "\\" in characters:
            # `\xf6` is a byte in C and in Python's bytes, but a character in Python's str.
            pending += [(*_unescaped(characters, starts, ends, code), escaping + 1) for code in (0, _BYTES)]


def encoded_readings(text: str) -> Iterator[Reading]:
    """What the runs of base64 and hex digits in the message decode to, at every alignment."""
    for run in _BASE64.finditer(text):
        digits = run[0].rstrip("=").translate(_URL_SAFE)
        for skipped in range(4):
            aligned = digits[skipped:]
            if len(aligned) % 4 == 1:
                aligned = aligned[:-1]
            yield _encoded(binascii.a2b_base64(aligned + "=" * (-len(aligned) % 4)), run.start(), run.end())
    for run in _HEX.finditer(text):
        for skipped in range(2):
            aligned = run[0][skipped:]
            yield _encoded(bytes.fromhex(aligned[: len(aligned) // 2 * 2]), run.start(), run.end())
    for run in _SPACED_HEX.finditer(text):
        yield _encoded(bytes.fromhex(_SPACED_HEX_GAP.sub("", run[0])), run.start(), run.end())


def _encoded(content: bytes, start: int, end: int) -> Reading:
    folded = fold(content)
    count = len(folded)
    text = folded.decode("utf-8", "surrogateescape")
    return Reading(text, np.full(count, start, np.int64), np.full(count, end, np.int64), encoded=True)


def _folded(characters: str, starts: Offsets, ends: Offsets) -> Reading:
    if characters.isascii():
        return Reading(characters.casefold(), starts, ends)
    lengths = [len(character.encode("utf-8", "surrogateescape")) for character in characters]
    starts, ends = np.repeat(starts, lengths), np.repeat(ends, lengths)
    # Bytes that came one by one may together be characters.
    joined = characters.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    first = last = 0
    folded = []
    from_bytes: list[int] = []
    to_bytes: list[int] = []
    for character in joined:
        last = first + len(character.encode("utf-8", "surrogateescape"))
        changed = character.casefold()
        size = len(changed.encode("utf-8", "surrogateescape"))
        folded.append(changed)
        from_bytes += [first] * size
        to_bytes += [last - 1] * size
        first = last
    return Reading("".join(folded), starts[from_bytes], ends[to_bytes])


def _unescaped(characters: str, starts: Offsets, ends: Offsets, code: int) -> tuple[str, Offsets, Offsets]:
    """Resolves escapes of C, Python, JSON and protobuf's text format; those of bytes give characters from `code` on."""
    pieces = []
    kept_starts = []
    kept_ends = []
    position = 0
    for escape in _ESCAPE.finditer(characters):
        pieces += [characters[position : escape.start()], _resolved(escape, code)]
        kept_starts += [starts[position : escape.start() + 1]]
        kept_ends += [ends[position : escape.start()], ends[escape.end() - 1 : escape.end()]]
        position = escape.end()
    return (
        "".join([*pieces, characters[position:]]),
        np.concatenate([*kept_starts, starts[position:]]),
        np.concatenate([*kept_ends, ends[position:]]),
    )


def _resolved(escape: re.Match[str], code: int) -> str:
    groups = escape.groupdict()
    if groups["letter"]:
        return _LETTERS.get(groups["letter"], groups["letter"])
    if groups["high"]:
        return chr(0x10000 + ((int(groups["high"], 16) - 0xD800) << 10) + int(groups["low"], 16) - 0xDC00)
    if groups["byte"] or groups["octal"]:
        byte = int(groups["byte"], 16) if groups["byte"] else int(groups["octal"], 8) & 0xFF
        return chr(byte) if byte < _NOT_ASCII else chr(code + byte)
    point = int(groups["short"] or groups["long"], 16)
    return re.sub("[\ud800-\udfff]", "\ufffd", chr(min(point, sys.maxunicode)))
