"""What is left of a whole log, and of texts that are long or hostile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from infraval.redaction import MAX_MESSAGE_LENGTH, REDACTED, Redactor

SHOWN = "I tensorflow_serving/core/basic_manager.cc:280] Unload all remaining servables in the manager."


def test_only_the_last_lines_stay() -> None:
    """A log is bounded, and says how much of it is not shown."""
    redactor = Redactor()
    text = "\n\n".join(f"line {number}" for number in range(100))
    assert redactor.log(text, last_lines=2) == "<98 lines left out>\nline 98\nline 99"
    assert redactor.log(text, last_lines=0) == "<100 lines left out>"
    assert redactor.log("\n \n") == ""


def test_all_requests_count(make_request: Callable[..., Any]) -> None:
    """A line may quote any request, and a value may go over lines."""
    redactor = Redactor(requests=[make_request("John\n Quxley-Smith"), make_request(7654321)])
    text = f"{SHOWN}\nvalue 'John\n Quxley-Smith' of 7654321\n{SHOWN}"
    assert redactor.log(text) == f"{SHOWN}\nvalue '{REDACTED}' of {REDACTED}\n{SHOWN}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m\x07", "a\\x1b[31mred\\x1b[0m\\x07"),
        ("user\u202egnp.exe\u2066\u200b", "user\\u202egnp.exe\\u2066\\u200b"),
        ("a\r\n\tb\u2028c\x85d\n", "a b c d"),
        ("\ud800\x00\x9b", "\\ud800\\x00\\x9b"),
        ("Müller 日本", "Müller 日本"),
    ],
)
def test_hostile_characters(text: str, shown: str) -> None:
    """Nothing that moves the cursor, reorders or hides; letters of any script stay."""
    assert Redactor().message(text) == shown


def test_long_texts_are_cut() -> None:
    """A message or line that is cut says so, and passes again as it is."""
    redactor = Redactor()
    shown = redactor.message("ab " * 5000)
    assert len(shown) == MAX_MESSAGE_LENGTH
    assert shown == ("ab " * 5000)[: MAX_MESSAGE_LENGTH - 3] + "..."
    assert redactor.message(shown) == shown
    assert [len(line) for line in redactor.log("\n".join(["y" * 9999] * 3)).split("\n")] == [MAX_MESSAGE_LENGTH] * 3


def test_a_value_that_the_cut_goes_through(make_request: Callable[..., Any]) -> None:
    """No beginning of a value is left at the end of a message that is cut."""
    text = "- " * (MAX_MESSAGE_LENGTH // 2 - 20) + "Quxley-Smith of Weststrasse " * 9
    shown = Redactor().message(text, make_request("Quxley-Smith of Weststrasse " * 9))
    assert "Qux" not in shown


def calls(function: Callable[[], object]) -> int:
    """How many calls, of Python and of C, a function makes: its work, whatever the machine's speed."""
    count = 0

    def profile(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("value", [b"\x89PNG\x00\x01\x02", b"a long text of some words, "], ids=["image", "text"])
def test_work_does_not_grow_with_a_value(value: bytes, make_request: Callable[..., Any]) -> None:
    """Bytes of a value are passed over by whole-array operations: a hundred times the value is not more calls."""
    small, large = make_request(value * 1000), make_request(value * 100_000)
    redactor = Redactor()
    text = "Cannot assign a frobnicator for operation a long: some words 12345"
    assert calls(lambda: redactor.message(text, large)) < 2 * calls(lambda: redactor.message(text, small))


def test_work_grows_no_faster_than_the_number_of_values(make_request: Callable[..., Any]) -> None:
    """Ten times the requests are at most ten times the calls."""

    def log_of(count: int) -> Callable[[], object]:
        requests: Sequence[Any] = [make_request(*(f"value {i} {j}" for j in range(20))) for i in range(count)]
        redactor = Redactor(requests=requests)
        return lambda: redactor.log("Cannot assign a frobnicator: 12345\n" * 20)

    assert calls(log_of(1000)) < 11 * calls(log_of(100))


@pytest.mark.parametrize(
    "text",
    ["A" * 50_000, "\\" * 50_000, "\\x5c" * 20_000, "12" * 50_000, "ab " * 30_000, "a/" * 50_000, "ü\\u00fc" * 9000],
    ids=lambda text: text[:5],
)
def test_work_on_a_hostile_text_is_bounded(text: str, make_request: Callable[..., Any]) -> None:
    """However long a text is and whatever it is made of, no more than its beginning is read."""
    request = make_request("AAAAAAAAAAAAAAAA", "ab", "12", "a/a/a/a/a/a")
    redactor = Redactor(requests=[request])
    half = calls(lambda: redactor.message(text[: len(text) // 2], request))
    assert calls(lambda: redactor.message(text, request)) < 1.1 * half + 100
    assert half < 1_000_000
