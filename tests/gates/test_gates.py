"""Each gate, both ways: what passes gives no reason, what fails gives one that says how."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import options, verdict
from infraval.gates import load, responses, unchanged, warmup


def outcome(
    code: str, message: str = "", signature: str = "s", method: options.Method = options.Method.PREDICT
) -> verdict.Outcome:
    """What became of a request of one example."""
    return verdict.Outcome(options.Cell(signature, method, 1), code, message, 0.1)


OUTCOMES = st.lists(
    st.builds(
        outcome,
        st.sampled_from(["OK", "INTERNAL", "UNAVAILABLE"]),
        st.sampled_from(["", "one", "two", "three"]),
        st.sampled_from("ab"),
        st.sampled_from(options.Method),
    ),
    max_size=40,
)


@pytest.fixture
def message_of() -> Callable[[tuple[verdict.Reason, ...], verdict.Gate], str]:
    """The message of the only reason, once its gate is seen to be the right one."""

    def only(reasons: tuple[verdict.Reason, ...], gate: verdict.Gate) -> str:
        (reason,) = reasons
        assert reason.gate is gate
        return reason.message

    return only


def test_a_refused_load_says_what_the_server_said(message_of: Callable[..., str]) -> None:
    """Code and text."""
    message = message_of(load.judge(load.Refused("NOT_FOUND", "No variables.")), verdict.Gate.LOAD)
    assert message == "The server refused to load the model: NOT_FOUND: No variables."


def test_a_crash_while_loading_names_the_signal(message_of: Callable[..., str]) -> None:
    """And how often it was tried."""
    message = message_of(load.judge(load.Crashed("SIGSEGV", 3)), verdict.Gate.LOAD)
    assert "SIGSEGV" in message
    assert "3 tries" in message


def test_a_late_model_says_what_to_raise(message_of: Callable[..., str]) -> None:
    """A model may only be slow."""
    message = message_of(load.judge(load.Late(0.5, 2)), verdict.Gate.LOAD)
    assert "within 0.5 s" in message
    assert "2 tries" in message
    assert "max_loading_time_seconds" in message


def test_answers_to_all_requests_pass() -> None:
    """Also to none, of a model that was only loaded."""
    assert responses.judge([outcome("OK")] * 3, 3, None) == ()
    assert responses.judge([], 0, None) == ()


def test_one_failure_is_enough(message_of: Callable[..., str]) -> None:
    """The reason says how many of how many, which call and what the server said."""
    failed = outcome("INVALID_ARGUMENT", "Missing feature.", "classification", options.Method.CLASSIFY)
    message = message_of(responses.judge([outcome("OK"), failed], 2, None), verdict.Gate.RESPONSES)
    assert (
        message == "1 of 2 requests failed (classify of signature classification): INVALID_ARGUMENT: Missing feature."
    )


def test_failures_alike_are_one_reason_the_most_frequent_first() -> None:
    """What differs in signature, method, code or text is not alike."""
    outcomes = [
        outcome("INTERNAL", "rare"),
        *[outcome("INTERNAL", "often")] * 3,
        *[outcome("UNAVAILABLE", "often")] * 2,
        outcome("OK"),
    ]
    reasons = responses.judge(outcomes, 7, None)
    assert [re.findall(r"^\d+ of 7|[A-Z]{3,}: \w+", reason.message) for reason in reasons] == [
        ["3 of 7", "INTERNAL: often"],
        ["2 of 7", "UNAVAILABLE: often"],
        ["1 of 7", "INTERNAL: rare"],
    ]


@given(OUTCOMES)
def test_reasons_are_few_and_count_right(outcomes: list[verdict.Outcome]) -> None:
    """At most five kinds and one that counts the others; no failure, no reason, and the other way round."""
    failed = [one for one in outcomes if not one.ok]
    kinds = {(one.cell, one.code, one.message) for one in failed}
    reasons = responses.judge(outcomes, len(outcomes), None)
    assert len(reasons) == min(len(kinds), 6)
    counts = [int(reason.message.split()[0]) for reason in reasons[:5]]
    assert counts == sorted(counts, reverse=True)
    if len(kinds) > 5:
        assert reasons[5].message.startswith(f"{len(kinds) - 5} more kinds")
    else:
        assert sum(counts) == len(failed)


def test_a_death_under_way_is_the_one_reason(message_of: Callable[..., str]) -> None:
    """The failures that follow from it are none of their own."""
    outcomes = [outcome("OK"), outcome("UNAVAILABLE", "Socket closed"), outcome("UNAVAILABLE", "Connection refused")]
    message = message_of(responses.judge(outcomes, 5, "SIGSEGV"), verdict.Gate.RESPONSES)
    assert message == "The server died of SIGSEGV with 1 of 5 requests answered."


def test_a_death_after_the_last_answer_counts_too(message_of: Callable[..., str]) -> None:
    """A server that answers everything and dies is not fit to serve."""
    assert "2 of 2" in message_of(responses.judge([outcome("OK")] * 2, 2, "SIGABRT"), verdict.Gate.RESPONSES)


@pytest.mark.parametrize("records", [0, 1, 1000])
def test_a_warmup_that_was_replayed_passes(records: int) -> None:
    """Record for record; a model without a file replays none."""
    assert warmup.judge(verdict.Warmup(records=records, records_replayed=records)) == ()


@pytest.mark.parametrize(("replayed", "said"), [(None, "did not say how many"), (0, "replayed 0"), (5, "replayed 5")])
def test_a_warmup_that_was_not_replayed_fails(replayed: int | None, said: str, message_of: Callable[..., str]) -> None:
    """None, fewer, more or an unknown number: the model may start cold."""
    message = message_of(warmup.judge(verdict.Warmup(records=4, records_replayed=replayed)), verdict.Gate.WARMUP)
    assert "holds 4 records" in message
    assert said in message


def test_a_changed_directory_fails(message_of: Callable[..., str]) -> None:
    """What was judged is no longer what would ship."""
    assert unchanged.judge("ab", "ab") == ()
    assert "changed while it was served" in message_of(unchanged.judge("ab", "cd"), verdict.Gate.UNCHANGED)


@given(code=st.text(alphabet="XYZ", min_size=1), message=st.text(alphabet="xyz", min_size=1))
def test_no_reason_holds_more_than_it_was_given(code: str, message: str) -> None:
    """Another code and text give the same reason but for these: nothing else of the server's gets in."""
    for judge in (
        lambda code, message: load.judge(load.Refused(code, message)),
        lambda code, message: responses.judge([outcome(code, message)], 1, None),
    ):
        (given_reason,) = judge(code, message)
        (other_reason,) = judge("<code>", "<message>")
        expected = other_reason.message.replace("<code>", code).replace("<message>", message)
        assert given_reason.message == expected
