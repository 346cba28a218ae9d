"""Whatever a server says: no request data survives, and the result is safe to print."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infraval.redaction import MAX_MESSAGE_LENGTH, REDACTED, WITHHELD, Redactor
from infraval.redaction.serving_messages import LOG_LINES
from infraval.redaction.serving_messages import MESSAGES as SERVING_MESSAGES
from infraval.redaction.tensorflow_messages import MESSAGES as TENSORFLOW_MESSAGES
from infraval.redaction.vocabulary import BASE

TEMPLATES = (*SERVING_MESSAGES, *TENSORFLOW_MESSAGES, *LOG_LINES)
SLOT = re.compile(r"\$[a-z]+")
OWN_TEXT = "\n".join((*TEMPLATES, WITHHELD, REDACTED, "<123 lines withheld>", BASE))
RUN_LENGTH = 4

# A slot that is safe by type shows what is of that type, so a payload is only a payload where it is something else.
NUMERIC = {"$number": "3", "$measure": "12", "$shape": "[1,2]"}

payloads = st.one_of(
    st.text(min_size=RUN_LENGTH),
    st.text("ab'\"]}[{:;,./\n\t $", min_size=RUN_LENGTH),
    st.binary(min_size=RUN_LENGTH).map(lambda data: data.decode("latin-1")),
    st.text("0123456789-.", min_size=RUN_LENGTH),
)
fragments = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from([literal for template in TEMPLATES for literal in SLOT.split(template)]),
        st.sampled_from(
            ["\n\t [[{{node x}}]]", "INVALID_ARGUMENT: ", "x", "3", "\n", "\u2028", REDACTED, WITHHELD, "I "]
        ),
    ),
    max_size=12,
).map("".join)


def survivors(payload: str, shown: str) -> list[str]:
    """The runs of the payload that are in the text shown and not in infraval's own wording."""
    runs = {payload[start : start + RUN_LENGTH] for start in range(len(payload) - RUN_LENGTH + 1)}
    return sorted(run for run in runs if run in shown and run not in OWN_TEXT)


def assert_prints_safely(shown: str) -> None:
    """Fails on anything but printable ASCII and line feeds."""
    assert shown.isascii()
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=15, deadline=None)
@given(payload=payloads)
def test_a_payload_in_any_slot_does_not_survive(template: str, payload: str) -> None:
    """A request value in place of a name, dtype, path, message or value of any known message is not shown."""
    text = SLOT.sub(lambda slot: NUMERIC.get(slot[0], payload), template)
    redactor = Redactor()
    for shown in (
        redactor.message(text),
        redactor.log(text),
        redactor.message(f"{text}\n\t [[{{{{node {payload}}}}}]]"),
    ):
        assert survivors(payload, shown) == []
        assert_prints_safely(shown)


@settings(max_examples=500, deadline=None)
@given(payload=payloads)
def test_an_unknown_text_is_withheld(payload: str) -> None:
    """A text that is no known message leaves nothing of itself."""
    redactor = Redactor()
    assert survivors(payload, redactor.message(payload)) == []
    assert survivors(payload, redactor.log(payload)) == []


@settings(max_examples=1000, deadline=None)
@given(text=fragments)
def test_result_is_bounded_printable_and_stable(redactor: Redactor, text: str) -> None:
    """Any mixture of known wording and other text gives a bounded, printable result that redacting leaves as it is."""
    message = redactor.message(text)
    assert_prints_safely(message)
    assert len(message) <= MAX_MESSAGE_LENGTH
    assert redactor.message(message) == message
    log = redactor.log(text, last_lines=5)
    assert_prints_safely(log)
    assert len(log.splitlines()) <= 6
    assert redactor.log(log, last_lines=5) == log


@settings(max_examples=200, deadline=None)
@given(payload=st.text("0123456789", min_size=5, max_size=30))
def test_a_long_number_does_not_pass_for_a_dimension(payload: str) -> None:
    """Numbers of five digits and more, such as a date or an account, are not shown where a request can put them."""
    redactor = Redactor()
    for text in (
        f"Incompatible shapes: [2] vs. [{payload}]",
        f"Expected dimension {payload} at axis 0 of the input shaped [2,{payload}] but got dimension {payload}",
        f"Could not find any versions of model {payload}",
    ):
        assert survivors(payload, redactor.message(text)) == []


def test_a_long_message_is_withheld_but_for_its_status() -> None:
    """A message that known names make too long is not cut in the middle of one."""
    name = "a" * 250
    text = f"NOT_FOUND: Inputs to operation {name} of type {name} must have the same size and shape.  " + "x" * 9
    assert Redactor(names=[name]).message(text) == f"NOT_FOUND: {WITHHELD}"
    lists = ",".join([name] * 200)
    text = f"input size does not match signature: 1!=2 len({{{lists}}}) != len({{{lists}}}). Sent extra: {{}}. "
    assert Redactor(names=[name]).message(text + "Missing but required: {}.") == WITHHELD
