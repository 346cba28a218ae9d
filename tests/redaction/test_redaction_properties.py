"""Whatever of the requests a message quotes does not survive; what quotes nothing is unchanged; all prints safely."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from tensorflow_serving.apis import prediction_log_pb2

from infraval.redaction import MAX_MESSAGE_LENGTH, REDACTED, Redactor
from infraval.redaction.redactor import WORDS

BEFORE, AFTER = "Field 0 in record 0 is not valid: '", "' in node"


def c_escaped(content: bytes) -> str:
    """As absl::CEscape and protobuf's text format print bytes."""
    return "".join(chr(b) if 32 <= b < 127 and chr(b) not in "\\'\"" else f"\\{b:03o}" for b in content)


def quoted(text: str) -> str:
    """A Python or JSON literal without its quotes."""
    return text.removeprefix("b")[1:-1]


PLAIN: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.title,
    lambda text: quoted(repr(text)),
    lambda text: quoted(ascii(text)),
    lambda text: quoted(json.dumps(text)),
    lambda text: quoted(repr(text.encode())),
    lambda text: c_escaped(text.encode()),
    lambda text: c_escaped(c_escaped(text.encode()).encode()),
    lambda text: c_escaped(text.upper().encode()),
    lambda text: "".join(f"\\x{byte:02X}" for byte in text.encode()),
    lambda text: text.encode().decode("latin-1"),
)
ENCODED: tuple[Callable[[str], str], ...] = (
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    lambda text: base64.b64encode(text.upper().encode()).decode().rstrip("="),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
)
LETTERS = "abcdefgkmoxzABCQZ0123456789äöüßÉñжЯ日本"
texts = st.text(LETTERS + " '\"\\-_.,:/\n\t\x01\x1b€", min_size=3, max_size=40)
frames = st.sampled_from([(BEFORE, AFTER), ("", ""), ("value=", ";"), ("[[", "]]"), ("'\\n", "\\n'")])


def request_of(*strings: bytes) -> prediction_log_pb2.PredictionLog:
    """A Predict request with these strings."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].dtype = 7
    log.predict_log.request.inputs["x"].string_val.extend(strings)
    return log


def says_nothing(text: str) -> bool:
    """Whether a value is too small to remove, or holds a word that servers use."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return (text.isdigit() and len(text) < 4) or not set(words).isdisjoint(WORDS.split())


def survivors(printed: str, shown: str, before: str, after: str) -> list[str]:
    """Runs of three characters of what was printed that are in what is shown around the frame."""
    rest = shown.removeprefix(before).removesuffix(after).replace(REDACTED, "\0")
    return [printed[at : at + 3] for at in range(len(printed) - 2) if printed[at : at + 3] in rest]


@given(texts, st.sampled_from(PLAIN + ENCODED), frames, st.lists(texts, max_size=3))
def test_a_whole_value_does_not_survive(
    value: str, print_as: Callable[[str], str], frame: tuple[str, str], others: list[str]
) -> None:
    """Of a value that is quoted whole, in any form, no three characters are left."""
    assume(value.strip() and not says_nothing(value))
    before, after = frame
    printed = print_as(value)
    request = request_of(*(other.encode() for other in [*others, value]))

    shown = Redactor().message(f"{before}{printed}{after}", request)

    assert survivors(printed, shown, before, after) == []


@given(st.data(), texts, st.sampled_from(PLAIN), frames)
def test_a_part_of_a_value_does_not_survive(
    data: st.DataObject, value: str, print_as: Callable[[str], str], frame: tuple[str, str]
) -> None:
    """Of any slice, as of a server that cuts what it quotes, no three letters or four digits in a row are left."""
    start = data.draw(st.integers(0, len(value) - 3))
    part = value[start : data.draw(st.integers(start + 3, len(value)))]
    assume(not says_nothing(part))
    before, after = frame

    shown = Redactor(requests=[request_of(value.encode())]).message(f"{before}{print_as(part)}{after}")

    rest = shown.removeprefix(before).removesuffix(after).replace(REDACTED, " ")
    runs = [run for run in re.findall(r"[^\W_]+", part) if len(run) >= 3 + run.isdigit()]
    assert [run for run in runs if run.casefold() in rest.casefold()] == []
    if len(part) >= 8:
        assert survivors(print_as(part), shown, before, after) == []


@given(st.data(), texts, st.sampled_from(ENCODED), frames)
def test_an_encoded_part_does_not_survive(
    data: st.DataObject, value: str, print_as: Callable[[str], str], frame: tuple[str, str]
) -> None:
    """Nothing is left of a slice of four bytes or more that was encoded."""
    start = data.draw(st.integers(0, len(value) - 3))
    part = value[start : data.draw(st.integers(start + 3, len(value)))]
    assume(len(part.encode()) >= 4)
    printed = print_as(part)
    assume(printed.casefold() not in WORDS.split())
    before, after = frame

    shown = Redactor().message(f"{before}{printed}{after}", request_of(value.encode()))

    assert survivors(printed, shown, before, after) == []


@given(st.data(), st.binary(min_size=20, max_size=400), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
def test_a_part_of_an_encoding_does_not_survive(
    data: st.DataObject, value: bytes, encode: Callable[[bytes], bytes]
) -> None:
    """Base64 that was cut anywhere is found at any alignment, also of bytes that are no text."""
    whole = encode(value).decode().rstrip("=")
    start = data.draw(st.integers(0, len(whole) - 16))
    printed = whole[start : data.draw(st.integers(start + 16, len(whole)))]

    shown = Redactor().message(f"{BEFORE}{printed}{AFTER}", request_of(value))

    assert shown == f"{BEFORE}{REDACTED}{AFTER}"


@given(st.lists(st.text("qxzj", min_size=3, max_size=60), min_size=1), st.integers(1, 999))
def test_a_message_that_quotes_nothing_is_unchanged(values: list[str], number: int) -> None:
    """Nothing is removed that is in no request."""
    text = f"INVALID_ARGUMENT: Incompatible shapes: [{number},2048] vs. [1,{number}] in {{{{node Frob_7/BiasAdd}}}}"

    assert Redactor(requests=[request_of(*map(str.encode, values))]).message(text) == text


@given(
    st.text(max_size=300) | st.text("\x1b[]\u202e\u2028\n\r\ud800\0\t ab\\'{", max_size=300),
    st.sampled_from(["full", "redacted", "codes"]),
)
def test_any_text_prints_safely(text: str, mode: Any) -> None:
    """In every mode a message is one printable line; a log has no more lines than it had."""
    redactor = Redactor(requests=[request_of(b"abab", text.encode("utf-8", "replace"))], mode=mode)

    message, log = redactor.message(text), redactor.log(text, last_lines=5)

    assert message.isprintable()
    assert len(message) <= MAX_MESSAGE_LENGTH
    assert all(line.isprintable() for line in log.split("\n"))
    assert len(log.split("\n")) <= 6


@given(st.lists(texts, min_size=1, max_size=3), st.lists(st.sampled_from(PLAIN + ENCODED), min_size=1, max_size=3))
def test_redacting_twice_changes_nothing(values: list[str], forms: list[Any]) -> None:
    """What was redacted passes again as it is."""
    redactor = Redactor(requests=[request_of(*(value.encode() for value in values))])
    text = " | ".join(["bad value", *(form(value) for form in forms for value in values), "in node"])

    shown = redactor.message(text)

    assert redactor.message(shown) == shown
