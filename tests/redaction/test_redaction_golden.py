"""What a real TF Serving says comes through with its useful text, and without what the request brought."""

from __future__ import annotations

import pytest

from infraval.redaction import REDACTED, WITHHELD, Redactor

LOAD_FAILED = "E Loading servable: {name: sink version: 1} failed: "


def test_every_recorded_message_is_known(redactor: Redactor, golden_messages: dict[str, str]) -> None:
    """No error that TF Serving was recorded to give is withheld as unknown, or changes when redacted again."""
    for case, text in golden_messages.items():
        shown = redactor.message(text)
        assert WITHHELD not in shown, case
        assert redactor.message(shown) == shown, case


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            "Predict wrong_shape",
            (
                "Matrix size-incompatible: In[0]: [1,2], In[1]: [3,1] "
                "[[{{node StatefulPartitionedCall_2/StatefulPartitionedCall/matmul}}]]"
            ),
        ),
        (
            "Classify missing_feature",
            (
                "Name: <unknown>, Feature: v (data type: float) is required but could not be found. "
                "[[{{function_node __inference_classify_190}}{{node ParseExample/ParseExampleV2}}]]"
            ),
        ),
        (
            "Predict missing_input",
            (
                "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
                "Missing but required: {b}."
            ),
        ),
        ("Predict wrong_dtype", "Expects arg[0] to be float but int32 is provided"),
        ("Predict unknown_signature", f'Serving signature key "{REDACTED}" not found.'),
        ("Predict unknown_version", "Servable not found for request: Specific(sink, 7)"),
        ("Predict unknown_label", f"Unrecognized servable version label: {REDACTED}"),
        ("Classify not_a_classifier", f"No classification inputs found in SignatureDef: {REDACTED}"),
        (
            "Predict taxi_not_an_example",
            f"Could not parse example input, value: {REDACTED} [[{{{{node ParseExample/ParseExampleV2}}}}]]",
        ),
    ],
)
def test_recorded_message(redactor: Redactor, golden_messages: dict[str, str], case: str, expected: str) -> None:
    """Aliases, features, dtypes, shapes and nodes of the model are shown; names it does not have are not."""
    assert redactor.message(golden_messages[case]) == expected


def test_names_that_the_caller_vouches_for_are_shown() -> None:
    """A signature the caller asked for is named although the model, lacking it, does not contain the name."""
    redactor = Redactor(names=["nope"])
    assert redactor.message('Serving signature key "nope" not found.') == 'Serving signature key "nope" not found.'


def test_recorded_logs_lose_only_what_may_not_be_shown(redactor: Redactor, golden_logs: dict[str, list[str]]) -> None:
    """Of every recorded log, only the help text of the flags is unknown, and a second pass changes nothing."""
    for case, lines in golden_logs.items():
        shown = redactor.log("\n".join(lines), last_lines=100)
        flags = sum(line.startswith("\t--") for line in lines)
        assert len(shown.splitlines()) == len(lines) - flags + bool(flags), case
        assert redactor.log(shown, last_lines=100) == shown, case


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("wrong_dtype", "INVALID_ARGUMENT: Expects arg[0] to be float but int32 is provided"),
        ("unparsable", f"INVALID_ARGUMENT: Failed to parse warmup record: {REDACTED}"),
        (
            "thousand_and_one",
            (
                "INVALID_ARGUMENT: Number of warmup records exceeds the maximum (1000) at "
                "<base>/1/assets.extra/tf_serving_warmup_requests"
            ),
        ),
        (
            "truncated",
            (
                "DATA_LOSS: truncated record at 90' failed with Read less bytes than requested. "
                "Please verify your warmup data is in TFRecord format."
            ),
        ),
    ],
)
def test_recorded_load_failure(redactor: Redactor, golden_logs: dict[str, list[str]], case: str, expected: str) -> None:
    """A load failure keeps its status and cause at every level that quotes it; paths are shown below the base path."""
    shown = redactor.log("\n".join(golden_logs[case])).splitlines()
    assert LOAD_FAILED + expected in shown
    assert shown[-1] == (
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        f"{{{{{{name: sink version: 1}} due to error: {expected}}}, }}"
    )


def test_log_lines_keep_their_time_and_lose_their_source(redactor: Redactor) -> None:
    """The time and severity of a line stay; the place in the server's source does not."""
    line = "2024-01-02 03:04:05.678901: I tensorflow_serving/core/basic_manager.cc:280] "
    assert redactor.log(line + "Unload all remaining servables in the manager.") == (
        "2024-01-02 03:04:05.678901: I Unload all remaining servables in the manager."
    )
