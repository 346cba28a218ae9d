"""What to do next, by symptom: the messages are those of a real TF Serving (tests/golden)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import evidence, hints, options, verdict
from infraval.requests import signatures

GOLDEN = Path(__file__).parents[1] / "golden"
SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
S = options.Cell("s", options.Method.PREDICT, 1)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for item in value.values() for text in _strings(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in _strings(item))
    elif isinstance(value, str):
        yield value


def recorded(words: str) -> list[str]:
    """The messages in the recordings of a real server that begin with these words."""
    paths = (GOLDEN / "grpc.json", GOLDEN / "models.json")
    texts = {text for path in paths for text in _strings(json.loads(path.read_text(encoding="utf-8")))}
    return sorted(text for text in texts if text.startswith(words))


def judged_of(*outcomes: evidence.Outcome, examples: evidence.Examples | None = None, **boot: Any) -> verdict.Verdict:
    """A verdict of one server, on which the gate `responses` fails if a request does."""
    shown = evidence.Evidence(evidence.Boot(SERVER, outcomes=outcomes, **boot), 1, len(outcomes), evidence.Warmup())
    failed = not shown.boot.answered_all
    status = verdict.Status.FAILED if failed else verdict.Status.PASSED
    server = verdict.ServerVerdict(shown, (verdict.Finding("responses", status, ("No.",) * failed),))
    return verdict.Verdict((server,), "00" * 32, evidence.Warmup(), examples)


def of(judged: verdict.Verdict, available: dict[str, signatures.Signature] | None = None, **job: Any) -> dict[str, str]:
    """The hints by code."""
    given_job = options.Job(**{"model": "m", "output": "o", **job})
    return {hint.code: hint.text for hint in hints.of(given_job, judged, available or {})}


def failure(message: str, code: str = "INTERNAL", latency_s: float = 0.01) -> evidence.Outcome:
    """A request that got an error."""
    return evidence.Outcome(S, code, message, latency_s)


@pytest.mark.parametrize(
    ("words", "code"),
    [("Could not find variable", "keras-3-export"), ("Unknown image file format", "not-an-image")],
)
def test_a_known_message_has_a_hint(words: str, code: str) -> None:
    """As the answer to a request, and as the reason why a model with a warmup file is refused."""
    messages = recorded(words)
    assert messages
    for message in messages:
        assert list(of(judged_of(failure(message)))) == [code]
        assert list(of(judged_of(failure=evidence.Refused("INTERNAL", message)))) == [code]


def test_another_message_has_no_hint() -> None:
    """None of all the others that a real server answered."""
    for message in recorded(""):
        if "Could not find variable" not in message and "Unknown image file format" not in message:
            assert of(judged_of(failure(message))) == {}


@pytest.mark.parametrize(("feature", "named"), [(None, "whole records"), ("s", "a feature")])
def test_the_hint_about_images_says_what_was_fed(feature: str | None, named: str) -> None:
    """Records or a feature; and which option says otherwise."""
    fed = (evidence.Fed("s", options.Method.PREDICT, "png", feature),)
    other = evidence.Fed("other", options.Method.PREDICT, "x", "x" if feature is None else None)
    examples = evidence.Examples(fed=(*fed, other))
    text = of(judged_of(failure("Unknown image file format."), examples=examples))["not-an-image"]
    assert named in text
    assert "--feature" in text
    assert "requests.features" in text


def test_a_deadline_names_its_limit() -> None:
    """That of the client, if it was reached; a server may have limits of its own."""
    late, early = (failure("Deadline Exceeded", "DEADLINE_EXCEEDED", seconds) for seconds in (2.5, 0.1))
    ok = evidence.Outcome(S, "OK", "", 0.1)
    text = of(judged_of(late, ok, late), limits={"request_timeout_s": 2.5, "concurrency": 7})["request-timeout"]
    for part in ("2 of 3 requests", "--request-timeout (limits.request_timeout_s)", "2.5 s", "7"):
        assert part in text
    assert of(judged_of(early), limits={"request_timeout_s": 2.5}) == {}


@pytest.mark.parametrize(
    ("shape", "constants", "shown"),
    [
        ((1, 3), {}, True),
        ((1,), {}, True),
        ((None, 3), {}, False),
        ((2, 3), {}, False),
        ((), {}, False),
        (None, {}, False),
        ((1, 3), {"s/x": "[[1, 2, 3]]"}, False),
    ],
)
def test_a_batch_of_one_cannot_be_batched(
    shape: tuple[int | None, ...] | None, constants: dict[str, str], shown: bool
) -> None:
    """Said of signatures that were called, whatever the verdict; an input with a constant value is not the batch."""
    tensor = signatures.TensorSpec("float", shape)
    model = {key: signatures.Signature(key, options.Method.PREDICT, {"x": tensor}, {}) for key in ("s", "not called")}
    found = of(judged_of(evidence.Outcome(S, "OK", "", 0.1), examples=evidence.Examples(constants=constants)), model)
    assert list(found) == ["batch-of-one"] * shown
    assert not shown or found["batch-of-one"].startswith("1 of 1 signatures")
    assert of(judged_of(evidence.Outcome(S, "OK", "", 0.1)), model) == {}  # nothing was called


def test_what_is_blessed_and_not_kept_is_said() -> None:
    """With the option that keeps it."""
    good, bad = judged_of(evidence.Outcome(S, "OK", "", 0.1)), judged_of(failure("No."))
    assert "--output DIR (output)" in of(good, output=None)["not-kept"]
    assert of(good) == of(bad, output=None) == {}


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from([None, "a feature \x1b[31m"]))
def test_nothing_that_a_model_says_is_in_a_hint(before: str, after: str, feature: str | None) -> None:
    """Whatever its messages and names are around what is known, the sentence is the same."""
    message = f"{before}Could not find variable{after}Unknown image file format{before}"
    examples = evidence.Examples(fed=(evidence.Fed("s", options.Method.PREDICT, before, feature),))
    known = evidence.Examples(fed=(evidence.Fed("s", options.Method.PREDICT, "x", feature),))
    plain = judged_of(failure("Could not find variable"), failure("Unknown image file format"), examples=known)
    assert of(judged_of(failure(message), examples=examples)) == of(plain)


def test_codes_are_unique_and_sentences_printable() -> None:
    """A script may act on a code; a sentence is one line."""
    rows = hints._ROWS  # noqa: SLF001 - the table
    assert len({row.code for row in rows}) == len(rows)
    assert all(row.sentence.isprintable() and row.sentence.endswith(".") for row in rows)
