"""The names a message may show: what the SavedModel itself contains, and what the caller vouches for."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

BASE = "<base>"
"""Stands for the model base path in every path shown."""

_MAX_NAME_LENGTH = 255

_NAME = re.compile(rf"(?=.*[A-Za-z])[\w.][\w./:>\\ ()-]{{0,{_MAX_NAME_LENGTH - 1}}}", re.ASCII)

# A string field as protobuf writes it: a tag (field 1 to 15, wire type 2), its length as a varint of one byte or, up to
# 255, of two, the bytes. Only the tag is consumed, so that a byte that merely looks like one hides no field.
_STRING_FIELD = re.compile(
    rb"[\x0a\x12\x1a\x22\x2a\x32\x3a\x42\x4a\x52\x5a\x62\x6a\x72\x7a]"
    rb"(?=([\x01-\x7f]|[\x80-\xff]\x01)([A-Za-z0-9_.][A-Za-z0-9_./:>\\ ()-]{0,254}))"
)

_OUTPUT_INDEX = re.compile(r":\d{1,3}\Z", re.ASCII)  # "node:0", an output of a node
_INSTANCE = re.compile(r"_\d{1,4}", re.ASCII)  # "body/_1/add": TensorFlow numbers what it inlines
_SAVED_MODEL_FILE = re.compile(
    r"assets|assets\.extra|tf_serving_warmup_requests|saved_model\.pb(?:txt)?|fingerprint\.pb|batching_params\.pbtxt"
    r"|variables|variables\.index|variables\.data-\d{5}-of-\d{5}",
    re.ASCII,
)
_VERSION = re.compile(r"\d{1,19}", re.ASCII)


def _string_fields(saved_model: bytes) -> Iterable[str]:
    for field in _STRING_FIELD.finditer(saved_model):
        length_bytes, characters = field.groups()
        length = length_bytes[0] if len(length_bytes) == 1 else (length_bytes[0] & 0x7F) | 0x80
        if len(characters) >= length:
            yield characters[:length].decode("ascii")


class Vocabulary:
    """Tells the model's own names from request data.

    A name counts if it is a whole string field of the SavedModel, not merely a part of one. TensorFlow makes new node
    names of old ones when it inlines functions, so a path counts too if each of its components is one of the model's.

    Args:
      saved_model: the bytes of saved_model.pb; read on first use, a graph at some 20 MB a second, weights faster.
      names: further names; one that starts with `/` is a model base path, and paths below it may be shown.
    """

    def __init__(self, saved_model: bytes, names: Iterable[str]) -> None:
        self._saved_model = saved_model
        self._vouched = frozenset(names)
        self._bases = tuple(sorted((name.rstrip("/") for name in self._vouched if name[:1] == "/"), key=len))[::-1]

    @functools.cached_property
    def _static(self) -> frozenset[str]:
        return frozenset(_string_fields(self._saved_model))

    @functools.cached_property
    def _components(self) -> frozenset[str]:
        return frozenset(component for name in self._static for component in name.split("/"))

    def name(self, text: str) -> str | None:
        """The text, if it is a name of the model or one vouched for; else None."""
        if not _NAME.fullmatch(text):
            return None
        if text in self._vouched or text in self._static:
            return text
        components = _OUTPUT_INDEX.sub("", text).split("/")
        known = all(component in self._components or _INSTANCE.fullmatch(component) for component in components)
        return text if known else None

    def path(self, text: str) -> str | None:
        """The path below `<base>`, if it is one of a SavedModel's files below a model base path; else None."""
        for base in self._bases:
            if text == base or text.startswith(f"{base}/"):
                text = BASE + text[len(base) :]
                break
        root, *components = text.split("/")
        known = root == BASE and all(
            _VERSION.fullmatch(component) or _SAVED_MODEL_FILE.fullmatch(component) or self.name(component)
            for component in components
        )
        return text if known and len(text) <= _MAX_NAME_LENGTH else None
