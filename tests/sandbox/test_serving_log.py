"""What a TF Serving log says, on the logs of a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval.sandbox import serving_log

GOLDEN = Path(__file__).parent.parent / "golden"


def golden(file: str) -> list[Any]:
    """The recorded cases of a golden file, each under its name."""
    cases = json.loads((GOLDEN / file).read_text())["cases"]
    return [pytest.param(case, id=case["case"]) for case in cases]


def log_of(case: dict[str, Any]) -> str:
    """The log of a case, as the server wrote it."""
    return "".join(f"{line}\n" for line in case["log"])


REFUSALS = {
    "unknown_signature": ("FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
    "wrong_input": (
        "INVALID_ARGUMENT",
        (
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {z}, or default input alias set: "
        ),
    ),
    "wrong_dtype": ("INVALID_ARGUMENT", "Expects arg[0] to be float but int32 is provided"),
    "unparsable": (
        "INVALID_ARGUMENT",
        "Failed to parse warmup record: \ufffd\ufffd\ufffd from <base>/1/assets.extra/tf_serving_warmup_requests",
    ),
    "truncated": (
        "DATA_LOSS",
        (
            "truncated record at 90' failed with Read less bytes than requested. Please verify your warmup data is "
            "in TFRecord format."
        ),
    ),
    "gzip": (
        "DATA_LOSS",
        "corrupted record at 0 (Is this even a TFRecord file?). Please verify your warmup data is in TFRecord format.",
    ),
    "not_tfrecord": (
        "DATA_LOSS",
        "corrupted record at 0 (Is this even a TFRecord file?). Please verify your warmup data is in TFRecord format.",
    ),
    "flipped_bit": (
        "DATA_LOSS",
        "corrupted record at 12. Please verify your warmup data is in TFRecord format.",
    ),
    "streamed": ("UNIMPLEMENTED", "Unsupported log_type for warmup: 7"),
    "session_run": ("UNIMPLEMENTED", "Unsupported log_type for warmup: 5"),
    "thousand_and_one": (
        "INVALID_ARGUMENT",
        "Number of warmup records exceeds the maximum (1000) at <base>/1/assets.extra/tf_serving_warmup_requests",
    ),
    "last_size_is_not_the_maximum": (
        "INVALID_ARGUMENT",
        "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 8; expected 16",
    ),
}

RECORDS_READ = {
    "none": 0,
    "five": 5,
    "every_kind": 3,
    "multi_inference_method_says_predict": 1,
    "empty_file": 0,
    "empty_record": 1,
    "other_model_name": 1,
    "unknown_version": 1,
    "thousand": 1000,
    "batching_ok": 1,
    "sizes_not_ascending": 1,
    "iterations_3": 1,
}


@pytest.mark.parametrize("case", golden("warmup.json") + golden("startup.json"))
def test_golden(case: dict[str, Any]) -> None:
    """Of every recorded start it is known whether the model was refused, why, and how many records were replayed."""
    log = log_of(case)
    refusal = REFUSALS.get(case["case"])
    assert serving_log.refusal(log) == (refusal and tuple(refusal))
    assert serving_log.warmup_records_read(log) == RECORDS_READ.get(case["case"])
    assert serving_log.unregistered_op(log) is None


def refused(message: str, name: str = "sink") -> str:
    """The end of a log in which the model is refused with a message."""
    servable = f"{{name: {name} version: 1}}"
    return (
        f"E tensorflow_serving/util/retrier.cc:39] Loading servable: {servable} failed: NOT_FOUND: {message}\n"
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        f"{{{{{servable} due to error: NOT_FOUND: {message}}}, }}\n"
    )


PIECES = ["}, }", "}", "\n", "{{{name: a version: 1} due to error: UNKNOWN: ", "NOT_FOUND: ", "\ufffd", "x"]


@given(message=st.text() | st.lists(st.sampled_from(PIECES)).map("".join), name=st.text(alphabet="a b:{}-", min_size=1))
def test_a_refusal_keeps_any_message(message: str, name: str) -> None:
    """Whatever a message holds, line breaks and the closing brackets included, comes back as it was."""
    log = refused(message, name)
    assert serving_log.refusal(log) == ("NOT_FOUND", message)


@given(st.text())
def test_other_text_is_neither_a_refusal_nor_an_end_of_warmup(text: str) -> None:
    """A log without TF Serving's lines says nothing."""
    assert serving_log.refusal(text) is None
    assert serving_log.warmup_records_read(text) is None
    assert serving_log.warmup_seconds(text) == 0
    assert serving_log.unregistered_op(text) is None
    assert serving_log.addresses(text) == set()


def test_a_refusal_within_another_text_is_none() -> None:
    """A line that only quotes a refusal, such as an error of the graph's, is no refusal."""
    assert serving_log.refusal(f"E some/op.cc:1] {refused('x').splitlines()[1]}") is None


def test_the_last_load_counts() -> None:
    """Of several loads in one log, the last one's records are told, and how long its warmup took."""
    line = "I saved_model_warmup_util.cc:234] Finished reading warmup data for model at /m/{}/assets.extra/f. "
    line += "Number of warmup records read: {}. Elapsed time (microseconds): 7.\n"
    assert serving_log.warmup_records_read(line.format(1, 12) + line.format(2, 34)) == 34
    assert serving_log.warmup_seconds(line.format(1, 12)) == pytest.approx(7e-6)
    none = "I saved_model_warmup_util.cc:82] No warmup data file found at /m/3/assets.extra/f\n"
    assert serving_log.warmup_records_read(line.format(1, 12) + none) == 0
    assert serving_log.warmup_seconds(line.format(1, 12) + none) == 0


def test_an_unregistered_op_is_named() -> None:
    """The op that a server lacks is told by its name."""
    message = "Op type not registered 'ExampleOp>V2' in binary running on host. Make sure the Op is registered."
    assert serving_log.unregistered_op(refused(message)) == "ExampleOp>V2"


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        (["0.0.0.0:8500"], {"8500"}),
        (["[::]:9000"], {"9000"}),
        (["0.0.0.0:8500", "UNIX socket /run/infraval/s"], {"8500", "/run/infraval/s"}),
        (["nowhere", "0.0.0.0:"], set()),
    ],
)
def test_addresses_are_those_of_every_line(lines: list[str], addresses: set[str]) -> None:
    """Ports and sockets, as a server tells them."""
    log = "".join(f"I server.cc:423] Running gRPC ModelServer at {line} ...\n" for line in lines)
    assert serving_log.addresses(log) == addresses
