"""Removes from texts of a model server what occurs in the requests that were sent to it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator

import numpy as np
from tensorflow_serving.apis import prediction_log_pb2

from infraval.redaction import escape, search, values
from infraval.redaction.vocabulary import Vocabulary

REDACTED = "<redacted>"
"""Takes the place of what was removed."""

HIDDEN = "(hidden by --server-messages codes)"
"""Takes the place of a whole text."""

_MAX_READ = 4 * escape.MAX_MESSAGE_LENGTH  # more than is shown, so that what the cut goes through is found whole
_MAX_GAP = 3
_MAX_LETTERS = 2

_TOKEN = re.compile(r"[^\W_]+")
_LEFT_OUT = re.compile(r"<(\d{1,12}) lines left out>", re.ASCII)
_LOG_PREFIX = re.compile(
    r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: )?[IWEF] (?:[\w./-]{1,255}:\d{1,6}\] )?", re.ASCII | re.MULTILINE
)
# What TensorFlow's Python session puts before a reason: pages of where in Python the node was made.
_FRAMING = re.compile(r"\AGraph execution error:\s+(?:Detected at node .*?\nNode: '[^'\n]*'\n)?", re.DOTALL)


class Mode(str, enum.Enum):
    """How much of a server's texts is shown: `--server-messages`."""

    FULL = "full"
    REDACTED = "redacted"
    CODES = "codes"


class Redactor:
    """Makes texts of a model server safe to show.

    Args:
      saved_model: the bytes of the model's saved_model.pb; names found in it are shown.
      names: further names that are shown: model name, signatures; a name that starts with `/` is a model base path and
        shown as `<base>`.
      requests: what was sent.
      mode: how much is shown.
    """

    def __init__(
        self,
        saved_model: bytes = b"",
        names: Iterable[str] = (),
        requests: Iterable[prediction_log_pb2.PredictionLog] = (),
        mode: Mode = Mode.REDACTED,
    ) -> None:
        self._vocabulary = Vocabulary(saved_model, names)
        self._requests = tuple(requests)
        self._mode = mode

    def message(self, text: str, request: prediction_log_pb2.PredictionLog | None = None) -> str:
        """An error message without what it quotes: one printable line, at most `MAX_MESSAGE_LENGTH` characters.

        Args:
          text: the message.
          request: the one that failed; what occurs in it is removed. None for what occurs in any of the requests.
        """
        if self._mode is Mode.CODES:
            return HIDDEN if text else ""
        (shown,) = self._lines([_FRAMING.sub("", text)], self._requests if request is None else (request,))
        return shown

    def log(self, text: str, last_lines: int = 20) -> str:
        """The last lines of a server's log without what they quote, after one that counts the lines left out.

        Args:
          text: a whole log.
          last_lines: how many lines to keep at most; blank ones do not count.
        """
        lines = [line for line in text.split("\n") if line.strip()]
        if self._mode is Mode.CODES:
            return HIDDEN if lines else ""
        earlier = _LEFT_OUT.fullmatch(lines[0]) if lines else None
        lines = lines[1:] if earlier else lines
        kept = lines[-last_lines:] if last_lines > 0 else []
        left_out = len(lines) - len(kept) + (int(earlier[1]) if earlier else 0)
        shown = self._lines(kept, self._requests)
        return "\n".join([f"<{left_out} lines left out>", *shown] if left_out else shown)

    def _lines(self, lines: list[str], requests: tuple[prediction_log_pb2.PredictionLog, ...]) -> list[str]:
        lines = list(map(self._vocabulary.below_base, lines))
        read = [line[:_MAX_READ] for line in lines]
        # In one piece, for a value may go over several lines.
        text = "\n".join(read)
        hidden = np.zeros(len(text), np.bool_)
        if self._mode is Mode.REDACTED and requests and text:
            hidden = self._hidden(text, requests)
        shown = []
        start = 0
        for whole, line in zip(lines, read, strict=True):
            kept = _without(line, hidden[start : start + len(line)])
            shown.append(escape.cut(escape.one_line(kept), len(whole) - len(line)))
            start += len(line) + 1
        return shown

    def _hidden(self, text: str, requests: tuple[prediction_log_pb2.PredictionLog, ...]) -> search.Mask:
        """Which characters of a text not to show: what is found in the requests but for what the server says itself."""
        known = np.zeros(len(text), np.bool_)
        word = np.zeros(len(text), np.bool_)
        for token in _TOKEN.finditer(text):
            word[token.start() : token.end()] = True
            known[token.start() : token.end()] = self._vocabulary.is_word(token[0].casefold())
        for start, end in (*self._vocabulary.names(text), *(prefix.span() for prefix in _LOG_PREFIX.finditer(text))):
            known[start:end] = True
        looking = search.Search(text, lambda start, end: bool(known[start:end].all()))
        looking.look_at(map(values.values, requests))
        hidden = looking.found()
        for start, end in _runs(hidden):
            inner = slice(*_without_ends_of_words(word, start, end))
            says_itself = known[inner][word[inner]].all() if word[inner].any() else not text[start:end].strip()
            if says_itself:
                hidden[start:end] = False
        return hidden


def _without_ends_of_words(word: search.Mask, start: int, end: int) -> tuple[int, int]:
    """A run without one or two letters of a longer word at either end: without "sa" in "could not sa", of "satisfy"."""
    for at in range(start, min(start + _MAX_LETTERS + 1, end)):
        if not word[at]:
            start = at if word[start - 1 : start].any() else start
            break
    for at in range(end, max(end - _MAX_LETTERS - 1, start), -1):
        if not word[at - 1]:
            end = at if word[end : end + 1].any() else end
            break
    return start, end


def _runs(mask: search.Mask) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return zip(map(int, edges[::2]), map(int, edges[1::2]), strict=True)


def _without(text: str, hidden: search.Mask) -> str:
    """The text with a mark in place of each part that is hidden; parts a few characters apart become one."""
    pieces: list[str] = []
    position = 0
    for start, end in _runs(hidden):
        if not pieces or start - position > _MAX_GAP:
            pieces += [text[position:start], REDACTED]
        position = end
    return "".join([*pieces, text[position:]])
