"""Removes from messages of a model server what occurs in the requests that were sent to it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from infraval import escape
from infraval.redaction.search import MIN_LENGTH, search
from infraval.redaction.values import values
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2

REDACTED = "<redacted>"
"""Takes the place of what was removed."""

_HIDDEN = "(hidden by --server-messages codes)"
_MAX_READ = escape.MAX_MESSAGE_LENGTH + 500  # more than is shown, for what the cut goes through

_WORD = re.compile(r"[^\W_]{3,}|\d[\d.]{3,}")
# What TensorFlow's Python session puts before a reason: pages of where in Python the node was made.
_FRAMING = re.compile(r"\AGraph execution error:\s+(?:Detected at node .*?\nNode: '[^'\n]*'\n)?", re.DOTALL)
WORDS = (
    "and are argument batch bmp but cannot could data does error expected failed feature file for found from gif got "
    "has have image index input invalid jpeg key match missing model must name node not number output png redacted "
    "request required shape signature size string tensor than that the this type valid value was which with"
)
_WORDS = re.compile(rf"(?<![^\W_])(?:{WORDS.replace(' ', '|')})(?![^\W_])", re.IGNORECASE)
# A string field as protobuf writes it: a tag (field 1 to 15, wire type 2), its length as a varint of one byte or, up to
# 255, of two, the bytes. Only the tag is consumed, so that a byte that merely looks like one hides no field.
_STRING_FIELD = re.compile(
    rb"[\x0a\x12\x1a\x22\x2a\x32\x3a\x42\x4a\x52\x5a\x62\x6a\x72\x7a]"
    rb"(?=([\x01-\x7f]|[\x80-\xff]\x01)([A-Za-z0-9_.][A-Za-z0-9_./:>\\ ()-]{0,254}))"
)
_PATH = re.compile(r"\w(?:[\w./>\\-]*\w)?", re.ASCII)
# What an Assert op prints: each of its values between brackets, escaped as C does.
_ASSERTION = re.compile(r"assertion failed: \[(.*)\]")
_MAX_ASSERTED = 10  # values of one; a long line is not to cost a search of the model for each bracket
_ESCAPED = re.compile(rb"\\(?:([0-7]{3})|([nrt])|(.))", re.DOTALL)
_INSTANCE = re.compile(r"_\d{1,4}", re.ASCII)  # "body/_1/add": TensorFlow numbers what it inlines


class Redactor:
    """Makes messages of a model server safe to show.

    Args:
      saved_model: the bytes of the model's saved_model.pb; names found in it are shown.
      names: further names that are shown: model name, signatures; a name that starts with `/` is a model base path and
        shown as `<base>`.
      requests: what was sent; they are passed over again for each message that may quote any of them.
      mode: how much is shown: `--server-messages`.
    """

    def __init__(
        self,
        saved_model: bytes = b"",
        names: Iterable[str] = (),
        requests: Sequence[prediction_log_pb2.PredictionLog] = (),
        mode: Literal["full", "redacted", "codes"] = "redacted",
    ) -> None:
        self._saved_model = saved_model
        self._vouched = frozenset(names)
        self._requests = requests
        self._mode = mode
        bases = sorted({name.rstrip("/") for name in self._vouched if name[:1] == "/"} - {""}, key=len, reverse=True)
        self._base = re.compile(rf"(?:{'|'.join(map(re.escape, bases)) or '(?!)'})(?![\w.-])")

    def message(self, text: str, request: prediction_log_pb2.PredictionLog | None = None) -> str:
        """An error message without what it quotes: one printable line, at most `MAX_MESSAGE_LENGTH` characters.

        Args:
          text: the message.
          request: the one that failed; what occurs in it is removed. None for what occurs in any of the requests.
        """
        if self._mode == "codes" or not text:
            return _HIDDEN if text else ""
        requests = self._requests if request is None else (request,)
        return escape.one_line(self._redacted([_FRAMING.sub("", text)], requests))

    def log(self, text: str, last_lines: int = 20) -> str:
        """The last lines of a server's log without what they quote, after one that counts the lines left out.

        Args:
          text: a whole log.
          last_lines: how many lines to keep at most; blank ones do not count.
        """
        lines = [line for line in text.split("\n") if line.strip()]
        if self._mode == "codes":
            return _HIDDEN if lines else ""
        kept = lines[-last_lines:] if last_lines > 0 else []
        shown = map(escape.one_line, self._redacted(kept, self._requests).split("\n")) if kept else ()
        return "\n".join([f"<{len(lines) - len(kept)} lines left out>"] * (len(kept) < len(lines)) + [*shown])

    def _redacted(self, lines: list[str], requests: Sequence[prediction_log_pb2.PredictionLog]) -> str:
        """The beginnings of the lines without what is found in the requests, but for what the server says by itself."""
        text = "\n".join(escape.cut(self._base.sub("<base>", line), _MAX_READ) for line in lines)
        if self._mode == "full" or not requests:
            return text
        hidden = _mask(text, search(text, map(values, requests)))
        for start, end in self._asserted(text, hidden):
            hidden[start:end] = bytes(end - start)
        by_itself = _mask(text, _known(text, self._names))
        words = _mask(text, (word.span() for word in _WORD.finditer(text)))
        for run in re.finditer(b"\1+", bytes(hidden)):
            part = slice(*run.span())
            # One or two letters beside what is known begin or end a longer word.
            unknown = sum(word > own for word, own in zip(words[part], by_itself[part], strict=True))
            if (any(by_itself[part]) and unknown < MIN_LENGTH) or text[part].isspace():
                hidden[part] = bytes(len(run[0]))
        shown, position = "", 0
        for run in re.finditer(b"\1+(?:\0{1,3}\1+)*", hidden):  # what is a few characters apart becomes one
            shown += text[position : run.start()] + REDACTED
            position = run.end()
        return shown + text[position:]

    def _asserted(self, text: str, hidden: bytearray) -> Iterator[tuple[int, int]]:
        """Where an assertion prints hidden text that is in the model, each as one whole string."""
        for assertion in _ASSERTION.finditer(text):
            start = assertion.start(1)
            for printed in assertion[1].split("] [")[:_MAX_ASSERTED]:
                end = start + len(printed)
                value = _ESCAPED.sub(_unescaped, printed.encode("utf-8", "replace"))
                constant = tensor_pb2.TensorProto(string_val=[value]).SerializeToString()
                if any(hidden[start:end]) and constant in self._saved_model:
                    yield start, end
                start = end + len("] [")

    @functools.cached_property
    def _names(self) -> frozenset[str]:
        """Whole names, and what stands between slashes in a name and before the colon of `node:0`."""
        whole = set(self._vouched)
        for prefix, characters in _STRING_FIELD.findall(self._saved_model):
            length = prefix[0] if len(prefix) == 1 else (prefix[0] & 0x7F) | 0x80
            whole |= {characters[:length].decode("ascii")} if len(characters) >= length else set()
        return frozenset(part for name in whole for part in (name, *re.split("[/:]", name)) if part)


def _unescaped(found: re.Match[bytes]) -> bytes:
    octal, letter, other = found.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t"}[letter] if letter else bytes(other)


def _mask(text: str, spans: Iterable[tuple[int, int]]) -> bytearray:
    mask = bytearray(len(text))
    for start, end in spans:
        mask[start:end] = b"\1" * (end - start)
    return mask


def _known(text: str, own: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where in a message its own names and common words stand as whole words.

    TensorFlow makes new node names of old ones when it inlines functions, so a path is a name if each component is.
    """
    spaced = (name for name in own if name in text and not _PATH.fullmatch(name))
    for pattern in (_WORDS, *(re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in spaced)):
        yield from (found.span() for found in pattern.finditer(text))
    for path in _PATH.finditer(text):
        first, *others = path[0].split("/")
        if first in own and all(part in own or _INSTANCE.fullmatch(part) for part in others):
            yield path.span()
