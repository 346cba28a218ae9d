"""JSON text as TensorFlow Serving reads and writes it (source: util/json_tensor.cc, which uses RapidJSON).

Bytes that are not UTF-8 pass through in both directions: they are held as surrogate escapes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np

from infraval_server import status

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_INDENT = " " * 4
_MAX_DIGITS = 20
"""Characters of the longest 64-bit integer, with its sign."""

_ESCAPES = re.compile(r"\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<lone>\\u[dD][89a-fA-F])|\\.", re.DOTALL)
_CONTROL_ESCAPES = re.compile(r"\\\\|\\u00(?P<digits>[01][0-9a-f])")
_INFINITIES = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<short>Inf)(?!inity)', re.DOTALL)
_NUMBERS = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<number>-?[0-9][-+.0-9eE]*)', re.DOTALL)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)

_PARSE_ERRORS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of object", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid control character", "Invalid encoding in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid \\uXXXX escape", "Incorrect hex digit after \\u escape in string."),
    ("Extra data", "The document root must not be followed by other values."),
)
"""How Python's messages begin, and RapidJSON's words for the same."""


class Literal(str):
    """JSON text that is written as it is."""

    __slots__ = ()


def parse(body: bytes) -> dict[str, Any]:
    """Parses a request's body.

    Args:
      body: JSON; `NaN`, `Inf` and `Infinity`, and these two with a sign, are numbers too. Integers beyond 64 bits
        become floats.

    Raises:
      StatusError: it is not a JSON object.
      RecursionError: it is nested too deeply.
    """
    text = body.decode("utf-8-sig", errors="surrogateescape")
    if not text.strip(" \t\r\n"):
        raise status.invalid_argument("JSON Parse error: The document is empty")
    for escape in _ESCAPES.finditer(text) if "\\u" in text else ():
        if escape["lone"]:
            _fail("The surrogate pair in string is invalid.", text, escape.start())
    try:
        document = json.loads(_with_long_infinities(text), parse_int=_integer, parse_float=_decimal)
    except json.JSONDecodeError as error:
        _fail(_reason(error), text, _position_with_short_infinities(text, error.pos))
    except OverflowError:
        _fail("Number too big to be stored in double.", text, _position_of_too_big_number(text))
    if not isinstance(document, dict):
        raise format_error(document, "Is not object")
    return document


def _with_long_infinities(text: str) -> str:
    """JSON with each `Inf` as the `Infinity` that Python knows."""
    if "Inf" not in text:
        return text
    return _INFINITIES.sub(lambda token: "Infinity" if token["short"] else token[0], text)


def _position_with_short_infinities(text: str, position: int) -> int:
    """A position in the result of `_with_long_infinities` as one in its argument."""
    for token in _INFINITIES.finditer(text) if "Inf" in text else ():
        if token["short"] and token.start() < position:
            position -= len("Infinity") - len("Inf")
    return position


def _position_of_too_big_number(text: str) -> int:
    numbers = (token for token in _NUMBERS.finditer(text) if token["number"])
    return next((number.start() for number in numbers if _is_too_big(number[0])), 0)


def _is_too_big(number: str) -> bool:
    try:
        return math.isinf(float(number))
    except ValueError:  # it only begins like one
        return False


def _integer(digits: str) -> int | float:
    if len(digits) <= _MAX_DIGITS:
        value = int(digits)
        if -(2**63) <= value < 2**64:
            return value
    return _decimal(digits)


def _decimal(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise OverflowError
    return value


def _reason(error: json.JSONDecodeError) -> str:
    for beginning, words in _PARSE_ERRORS:
        if error.msg.startswith(beginning):
            return words
    if error.msg.startswith("Expecting ','"):
        opened: list[str] = []
        for token in _BRACKETS.findall(error.doc, 0, error.pos):
            if token in ("{", "["):
                opened.append(token)
            elif token in ("}", "]"):
                opened.pop()
        if opened[-1] == "{":
            return "Missing a comma or '}' after an object member."
        return "Missing a comma or ']' after an array element."
    return "Invalid value."


def _fail(reason: str, text: str, position: int) -> NoReturn:
    # RapidJSON counts bytes, and may stop a few of them earlier or later than Python does.
    offset = len(text[:position].encode(errors="surrogateescape"))
    raise status.invalid_argument(f"JSON Parse error: {reason} at offset: {offset}")


def format_error(value: Any, reason: str) -> status.StatusError:
    """The error that quotes a JSON value and says what is wrong with it."""
    return status.invalid_argument(f"JSON Value: {quoted(value)} {reason}")


def quoted(value: Any) -> str:
    """A JSON value as error messages quote it."""
    if isinstance(value, float):
        fits = abs(value) <= np.finfo(np.float32).max
        return decimal_text(float(np.float32(value)), np.float32) if fits else decimal_text(value, np.float64)
    return pretty(value)


def type_name(value: Any) -> str:
    """A JSON value's type as error messages name it: `Number`, `Null`, …."""
    if value is None or isinstance(value, bool):
        return {None: "Null", False: "False", True: "True"}[value]
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def pretty(value: Any, level: int = 0, *, one_line: bool = False) -> str:
    """JSON text in the layout of RapidJSON's PrettyWriter.

    Args:
      value: a JSON value, which may hold `Literal`s.
      level: how deep it stands in the document.
      one_line: arrays go on one line; objects never do.
    """
    if isinstance(value, Literal):
        return value
    if not isinstance(value, (dict, list)):
        return _scalar(value)
    if isinstance(value, dict):
        members = [f"{_scalar(name)}: {pretty(item, level + 1, one_line=one_line)}" for name, item in value.items()]
        return f"{{{_lines(members, level)}}}"
    items = [pretty(item, level + 1, one_line=one_line) for item in value]
    return f"[{', '.join(items) if one_line else _lines(items, level)}]"


def _scalar(value: Any) -> str:
    text = _ENCODER.encode(value)
    if "\\u00" not in text:
        return text
    return _CONTROL_ESCAPES.sub(lambda found: f"\\u00{found['digits'].upper()}" if found["digits"] else found[0], text)


def listing(key: str, items: list[Any], *, one_line: bool) -> str:
    """A response with one array, whose closing bracket has a line of its own.

    Args:
      key: name of the object's only member.
      items: elements of its array; arrays in them go on one line.
      one_line: so do the elements themselves.
    """
    texts = [pretty(item, 2, one_line=True) for item in items]
    content = f"{', '.join(texts)}\n{_INDENT}" if one_line and texts else _lines(texts, 1)
    return pretty({key: Literal(f"[{content}]")})


def _lines(parts: list[str], level: int) -> str:
    """Members or elements on lines of their own, between two brackets."""
    inner, outer = f"\n{_INDENT * (level + 1)}", f"\n{_INDENT * level}"
    return f"{inner}{f',{inner}'.join(parts)}{outer}" if parts else ""


def decimal_text(value: float, kind: type[np.float32 | np.float64]) -> str:
    """A number as TensorFlow Serving writes it: the six digits of `%g` where they suffice, never without `.` or `e`.

    Args:
      value: of that precision.
      kind: np.float32 or np.float64.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:g}"
    if kind(text) != value:
        text = f"{value:.{9 if kind is np.float32 else 17}g}"  # max_digits10
    return text if "." in text or "e" in text else f"{text}.0"
