"""Where the fields of a text proto are in its text, so that one of them can be edited and everything else stays.

protobuf's own parser says what a text means but not where, and its printer drops comments. This one says where. Whoever
edits by it compares what protobuf makes of the edited text with what was wanted.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    |(?P<value>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+)
    |(?P<mark>[][{}<>:;,/])""",
    re.VERBOSE | re.DOTALL,
)

_CLOSING = {"{": "}", "<": ">", "[": "]"}


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a message; one of a list (`name: [1, 2]`) for each of its elements.

    Attributes:
      name: of the field.
      start: where the field begins in the text, in an element of a list its value.
      value: where its value begins, a message's with its bracket.
      end: where its value ends.
      fields: those in it; none if it is not a message.
    """

    name: str
    start: int
    value: int
    end: int
    fields: tuple[Field, ...] = ()

    def all(self, name: str) -> list[Field]:
        """The fields of that name in it."""
        return [field for field in self.fields if field.name == name]


class UnknownSyntaxError(ValueError):
    """The text is not what this parser knows of the format."""


def parse(text: str) -> Field:
    """The message that a text is, without brackets around it.

    Raises:
      UnknownSyntaxError: it cannot be parsed.
    """
    tokens = _Tokens(text)
    fields = tuple(_fields(tokens, ""))
    return Field("", 0, 0, len(text), fields)


@dataclasses.dataclass(frozen=True)
class _Token:
    start: int
    end: int
    text: str
    is_mark: bool


class _Tokens:
    """What is left to parse; the last token is empty."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._position = 0

    @property
    def next(self) -> _Token:
        """The next one, which stays."""
        return self._tokens[self._position]

    def take(self) -> _Token:
        """The next one."""
        token = self.next
        if not token.text:
            raise UnknownSyntaxError
        self._position += 1
        return token

    def skip(self, *marks: str) -> bool:
        """Takes the next one if it is one of these."""
        found = self.next.is_mark and self.next.text in marks
        self._position += found
        return found


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise UnknownSyntaxError
        if found.lastgroup != "space":
            yield _Token(found.start(), found.end(), found[0], found.lastgroup == "mark")
        position = found.end()
    yield _Token(len(text), len(text), "", is_mark=True)


def _fields(tokens: _Tokens, closing: str) -> Iterator[Field]:
    while tokens.next.text != closing:
        first = tokens.take()
        if first.is_mark:  # the name of an extension, or of the message in an Any: nothing here edits those
            raise UnknownSyntaxError
        tokens.skip(":")
        yield from _values(tokens, first)
        tokens.skip(",", ";")


def _values(tokens: _Tokens, name: _Token) -> Iterator[Field]:
    if not tokens.skip("["):
        yield _value(tokens, name.text, name.start)
        return
    while not tokens.skip("]"):
        yield _value(tokens, name.text, tokens.next.start)
        tokens.skip(",")


def _value(tokens: _Tokens, name: str, start: int) -> Field:
    first = tokens.take()
    if not first.is_mark:
        last = first
        # Strings beside each other are one.
        while first.text[0] in "\"'" and tokens.next.text[:1] in {'"', "'"}:
            last = tokens.take()
        return Field(name, start, first.start, last.end)
    if first.text not in {"{", "<"}:
        raise UnknownSyntaxError
    closing = _CLOSING[first.text]
    fields = tuple(_fields(tokens, closing))
    return Field(name, start, first.start, tokens.take().end, fields)
