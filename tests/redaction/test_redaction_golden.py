"""What a real TF Serving says comes out whole: of the recorded requests, only one message quotes anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from infraval.redaction import REDACTED, Redactor


def one_line(text: str) -> str:
    """A text with its white space as it is shown."""
    return re.sub(r"\s*[\n\t]\s*", " ", text).strip()


def test_recorded_messages_are_unchanged(redactor: Redactor, golden_messages: dict[str, Any]) -> None:
    """A reason that quotes nothing of three characters is shown whole, against its own request and against all."""
    for case, recorded in golden_messages.items():
        expected = one_line(recorded.text)
        assert redactor.message(recorded.text, recorded.request) == expected, case
        assert redactor.message(recorded.text) == expected, case
        assert redactor.message(expected) == expected, case


def test_recorded_logs_are_unchanged(redactor: Redactor, golden_logs: dict[str, list[str]]) -> None:
    """So is every line of a log, but for the place of the model in this machine."""
    for case, lines in golden_logs.items():
        expected = [one_line(line.replace("/models/sink", "<base>")) for line in lines if line.strip()]
        assert redactor.log("\n".join(lines), last_lines=1000).split("\n") == expected, case


@pytest.mark.parametrize(
    "text",
    [
        "XLA compilation disabled",
        (
            "Cannot assign a device for operation score/MatMul: {{node score/MatMul}} was explicitly assigned to "
            "/device:GPU:0 but available devices are [ /job:localhost/replica:0/task:0/device:CPU:0 ]."
        ),
        "Tensor serving_default_x:0 is both fed and fetched",
        "Input feed_x:0 fed more than once",
        "ModuleNotFoundError: No module named 'our_ops'",
        "Could not open <base>/1/variables/variables.index: DATA_LOSS: not an sstable (bad magic number)",
        "<base>/1/assets/vocab.txt; No such file or directory",
        "Batching Run() input tensors must have at least one dimension",
    ],
)
def test_reasons_that_an_allow_list_withheld(text: str, make_request: Callable[..., Any]) -> None:
    """Messages of any wording are shown, whatever else was sent."""
    request = make_request("Zq7 Müller", "Weststraße 12", "4711-0815")
    assert Redactor(requests=[request]).message(text, request) == text


def test_a_record_that_is_quoted_is_removed(make_request: Callable[..., Any]) -> None:
    """TF Serving quotes the record that is no Example, as bytes that gRPC turns into characters."""
    record = b"\x0f\xfeJohn Smith\xff\x01"
    text = f"Could not parse example input, value: '{record.decode('latin-1')}'\n\t [[{{{{node ParseExample}}}}]]"
    shown = Redactor(b"\x0a\x0cParseExample").message(text, make_request(record))
    assert shown == f"Could not parse example input, value: '{REDACTED}' [[{{{{node ParseExample}}}}]]"
