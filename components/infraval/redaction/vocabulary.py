"""The names a message may show: what the SavedModel itself contains, and what the caller vouches for."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from infraval.redaction.words import WORDS

BASE = "<base>"
"""Stands for the model base path."""

Span = tuple[int, int]

_MIN_LENGTH = 3  # shorter strings are never removed, so need no name either

# A string field as protobuf writes it: a tag (field 1 to 15, wire type 2), its length as a varint of one byte or, up to
# 255, of two, the bytes. Only the tag is consumed, so that a byte that merely looks like one hides no field.
_STRING_FIELD = re.compile(
    rb"[\x0a\x12\x1a\x22\x2a\x32\x3a\x42\x4a\x52\x5a\x62\x6a\x72\x7a]"
    rb"(?=([\x01-\x7f]|[\x80-\xff]\x01)([A-Za-z0-9_.][A-Za-z0-9_./:>\\ ()-]{0,254}))"
)
_PATH = re.compile(r"[\w.][\w./>\\-]*", re.ASCII)  # one name, or several with slashes between
_INSTANCE = re.compile(r"_\d{1,4}", re.ASCII)  # "body/_1/add": TensorFlow numbers what it inlines


def _string_fields(saved_model: bytes) -> Iterator[str]:
    for field in _STRING_FIELD.finditer(saved_model):
        length_bytes, characters = field.groups()
        length = length_bytes[0] if len(length_bytes) == 1 else (length_bytes[0] & 0x7F) | 0x80
        if len(characters) >= length:
            yield characters[:length].decode("ascii")


class Vocabulary:
    """Tells what a message says by itself: the model's own names and the words that every server uses.

    A string of the SavedModel is a name only as a whole, and a name counts only where it stands as a whole word.
    TensorFlow makes new node names of old ones when it inlines functions, so a path is a name if each component is.

    Args:
      saved_model: the bytes of saved_model.pb; read on first use, a graph at some 20 MB a second, weights faster.
      names: further names; one that starts with `/` is a model base path.
    """

    def __init__(self, saved_model: bytes, names: Iterable[str]) -> None:
        self._saved_model = saved_model
        self._vouched = frozenset(names)
        bases = sorted({name.rstrip("/") for name in self._vouched if name[:1] == "/"} - {""}, key=len, reverse=True)
        self._base = re.compile(rf"(?:{'|'.join(map(re.escape, bases))})(?![\w.-])") if bases else None

    def below_base(self, text: str) -> str:
        """The text with `<base>` in place of every model base path."""
        return self._base.sub(BASE, text) if self._base else text

    def is_word(self, token: str) -> bool:
        """Whether a token, in lower case, is one of the words that every server uses."""
        return token in WORDS

    def names(self, text: str) -> Iterator[Span]:
        """Where in the text the model's names stand."""
        for path in _PATH.finditer(text):
            name = path[0].rstrip(".")
            if name in self._components or all(
                component in self._components or _INSTANCE.fullmatch(component) for component in name.split("/")
            ):
                yield path.start(), path.start() + len(name)
        for name in self._others:
            start = text.find(name)
            while start >= 0:
                end = start + len(name)
                if not text[max(start - 1, 0) : start].isalnum() and not text[end : end + 1].isalnum():
                    yield start, end
                start = text.find(name, end)

    @functools.cached_property
    def _all(self) -> frozenset[str]:
        return frozenset(_string_fields(self._saved_model)) | self._vouched

    @functools.cached_property
    def _components(self) -> frozenset[str]:
        """What stands between slashes in a name, and before the colon of `node:0`."""
        return frozenset(part for name in self._all for part in (name, *re.split("[/:]", name)) if part)

    @functools.cached_property
    def _others(self) -> tuple[str, ...]:
        """Names that hold characters, such as spaces, at which a word of a message ends."""
        names = (name for name in self._all if len(name) >= _MIN_LENGTH and name[0] != "/")
        return tuple(name for name in names if not _PATH.fullmatch(name))
