"""What a message says by itself: the names that the SavedModel and the options hold, and the most common words."""

from __future__ import annotations

import re
from collections.abc import Iterator

WORDS = (
    "and are argument batch but can cannot could data does dtype error expected failed feature file for found from got "
    "has have image index input invalid its key match missing model must name node not number output redacted request "
    "required shape should signature size string tensor than that the this type valid value values was were which with"
)
_WORDS = re.compile(rf"(?<![^\W_])(?:{WORDS.replace(' ', '|')})(?![^\W_])", re.IGNORECASE)
# A string field as protobuf writes it: a tag (field 1 to 15, wire type 2), its length as a varint of one byte or, up to
# 255, of two, the bytes. Only the tag is consumed, so that a byte that merely looks like one hides no field.
_STRING_FIELD = re.compile(
    rb"[\x0a\x12\x1a\x22\x2a\x32\x3a\x42\x4a\x52\x5a\x62\x6a\x72\x7a]"
    rb"(?=([\x01-\x7f]|[\x80-\xff]\x01)([A-Za-z0-9_.][A-Za-z0-9_./:>\\ ()-]{0,254}))"
)
_PATH = re.compile(r"\w(?:[\w./>\\-]*\w)?", re.ASCII)
_INSTANCE = re.compile(r"_\d{1,4}", re.ASCII)  # "body/_1/add": TensorFlow numbers what it inlines


def names_of(saved_model: bytes) -> Iterator[str]:
    """The strings of a saved_model.pb that may be names; a string is a name only as a whole."""
    for field in _STRING_FIELD.finditer(saved_model):
        prefix, characters = field.groups()
        length = prefix[0] if len(prefix) == 1 else (prefix[0] & 0x7F) | 0x80
        if len(characters) >= length:
            yield characters[:length].decode("ascii")


def known(text: str, own: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where in a message its own names and common words stand as whole words.

    TensorFlow makes new node names of old ones when it inlines functions, so a path is a name if each component is.
    """
    spaced = (name for name in own if name in text and not _PATH.fullmatch(name))
    for pattern in (_WORDS, *(re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in spaced)):
        yield from (found.span() for found in pattern.finditer(text))
    for path in _PATH.finditer(text):
        if all(part in own or _INSTANCE.fullmatch(part) for part in path[0].split("/")):
            yield path.span()
