"""Each gate, both ways, on evidence made by hand; and a gate that infraval does not know."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import evidence, gates, options, verdict
from infraval.gates.load import Load
from infraval.gates.responses import Responses
from infraval.gates.unchanged import Unchanged
from infraval.gates.warmup import Warmup
from infraval.verdict import Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
REFUSED = evidence.Refused("NOT_FOUND", "No variables.")
NO_RECORDS = evidence.Warmup()


def outcome(
    code: str, message: str = "", signature: str = "s", method: options.Method = options.Method.PREDICT
) -> evidence.Outcome:
    """What became of a request of one example."""
    return evidence.Outcome(options.Cell(signature, method, 1), code, message, 0.1)


OUTCOMES = st.lists(
    st.builds(
        outcome,
        st.sampled_from(["OK", "INTERNAL", "UNAVAILABLE"]),
        st.sampled_from(["", "one", "two", "three"]),
        st.sampled_from("ab"),
        st.sampled_from(options.Method),
    ),
    min_size=1,
    max_size=40,
)


def served(*outcomes: evidence.Outcome, records_replayed: int | None = 0, death: str | None = None) -> evidence.Boot:
    """A boot that loaded the model."""
    return evidence.Boot(SERVER, load_time_s=1.5, records_replayed=records_replayed, outcomes=outcomes, death=death)


def shown(
    boot: evidence.Boot,
    *,
    tries: int = 1,
    requests: int | None = None,
    warmup: evidence.Warmup = NO_RECORDS,
    without_warmup: evidence.Boot | None = None,
    unchanged: bool = True,
) -> evidence.Evidence:
    """Evidence with that boot; as many requests as outcomes unless another number is given."""
    requests = len(boot.outcomes) if requests is None else requests
    return evidence.Evidence(boot, tries, requests, warmup, without_warmup, unchanged=unchanged)


def test_a_loaded_model_passes_with_its_load_time() -> None:
    """The figure is in seconds."""
    assert Load().judge(shown(served())) == verdict.Finding("load", Status.PASSED, figure=1.5, unit="s")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (REFUSED, "NOT_FOUND: No variables."),
        (evidence.Crashed("SIGSEGV"), "SIGSEGV"),
        (evidence.Late(0.5), "within 0.5 s"),
    ],
)
@pytest.mark.parametrize("tries", [1, 3])
def test_a_model_that_is_not_loaded_fails_and_nothing_else_is_judged(
    failure: evidence.Refused | evidence.Crashed | evidence.Late, said: str, tries: int
) -> None:
    """The reason is the last boot's; what could not be looked at is skipped, with a reason."""
    judged = gates.judge(shown(evidence.Boot(SERVER, failure), tries=tries, requests=2))
    assert [(finding.gate, finding.status) for finding in judged.findings] == [
        ("load", Status.FAILED),
        ("responses", Status.SKIPPED),
        ("warmup", Status.SKIPPED),
        ("unchanged", Status.PASSED),
        ("outputs", Status.SKIPPED),
        ("warm", Status.SKIPPED),
    ]
    (reason,) = judged.findings[0].reasons
    assert said in reason
    assert ("3 tries" in reason) == (tries == 3 and failure != REFUSED)
    assert "each" not in reason  # the other tries may have failed in other ways
    assert not judged.blessed


def test_the_bar_of_a_late_model_is_its_limit() -> None:
    """In seconds."""
    finding = Load().judge(shown(evidence.Boot(SERVER, evidence.Late(0.5))))
    assert (finding.bar, finding.unit) == (0.5, "s")


def test_answers_to_all_requests_pass() -> None:
    """All of all."""
    finding = Responses().judge(shown(served(*[outcome("OK")] * 3)))
    assert finding == verdict.Finding("responses", Status.PASSED, (), 3, 3, "requests")


def test_without_requests_there_are_no_responses_to_judge() -> None:
    """The model was only loaded; that is no failure."""
    judged = gates.judge(shown(served()))
    assert judged.findings[1].status is Status.SKIPPED
    assert judged.blessed


def test_one_failure_is_enough() -> None:
    """The reason says how many of how many, which call and what the server said."""
    failed = outcome("INVALID_ARGUMENT", "Missing feature.", "classification", options.Method.CLASSIFY)
    finding = Responses().judge(shown(served(outcome("OK"), failed)))
    assert (finding.status, finding.figure, finding.bar) == (Status.FAILED, 1, 2)
    assert finding.reasons == (
        "1 of 2 requests failed (classify of signature classification): INVALID_ARGUMENT: Missing feature.",
    )


def test_failures_alike_are_one_reason_the_most_frequent_first() -> None:
    """What differs in signature, method, code or message is not alike."""
    outcomes = [
        outcome("INTERNAL", "rare"),
        *[outcome("INTERNAL", "often")] * 3,
        *[outcome("UNAVAILABLE", "often")] * 2,
        outcome("OK"),
    ]
    reasons = Responses().judge(shown(served(*outcomes))).reasons
    assert [re.findall(r"^\d+ of 7|[A-Z]{3,}: \w+", reason) for reason in reasons] == [
        ["3 of 7", "INTERNAL: often"],
        ["2 of 7", "UNAVAILABLE: often"],
        ["1 of 7", "INTERNAL: rare"],
    ]


@given(OUTCOMES)
def test_reasons_are_few_and_count_right(outcomes: list[evidence.Outcome]) -> None:
    """At most five kinds and one that counts the others; no failure, no reason, and the other way round."""
    failed = [one for one in outcomes if not one.ok]
    kinds = {(one.cell, one.code, one.message) for one in failed}
    finding = Responses().judge(shown(served(*outcomes)))
    assert finding.failed == bool(failed)
    assert finding.figure == len(outcomes) - len(failed)
    assert len(finding.reasons) == min(len(kinds), 6)
    counts = [int(reason.split()[0]) for reason in finding.reasons[:5]]
    assert counts == sorted(counts, reverse=True)
    if len(kinds) > 5:
        assert finding.reasons[5].startswith(f"{len(kinds) - 5} more kinds")
    else:
        assert sum(counts) == len(failed)


@pytest.mark.parametrize(("answered", "requests"), [(1, 5), (2, 2)])
def test_a_death_is_the_one_reason(answered: int, requests: int) -> None:
    """The failures that follow from it are not reasons of their own, and one after the last answer counts too."""
    lost = [outcome("UNAVAILABLE", "Socket closed")] * (requests > answered)
    boot = served(*[outcome("OK")] * answered, *lost, death="SIGSEGV")
    finding = Responses().judge(shown(boot, requests=requests))
    assert finding.failed
    assert finding.reasons == (f"The server died of SIGSEGV with {answered} of {requests} requests answered.",)


@pytest.mark.parametrize("records", [0, 1, 1000])
def test_a_warmup_that_was_replayed_passes(records: int) -> None:
    """Record for record; a model without a file replays none."""
    finding = Warmup().judge(shown(served(records_replayed=records), warmup=evidence.Warmup(records)))
    assert finding == verdict.Finding("warmup", Status.PASSED, (), records, records, "records")


@pytest.mark.parametrize(("replayed", "said"), [(None, "did not say how many"), (0, "replayed 0"), (5, "replayed 5")])
def test_a_warmup_that_was_not_replayed_fails(replayed: int | None, said: str) -> None:
    """None, fewer, more or an unknown number: the model may start cold."""
    finding = Warmup().judge(shown(served(records_replayed=replayed), warmup=evidence.Warmup(4)))
    assert (finding.status, finding.figure, finding.bar) == (Status.FAILED, replayed, 4)
    assert said in finding.reasons[0]


def test_a_refused_warmup_file_of_a_model_that_serves_without_it_is_what_fails() -> None:
    """It loads, it answers, and its own records keep it from loading."""
    judged = gates.judge(
        shown(
            evidence.Boot(SERVER, REFUSED),
            requests=1,
            warmup=evidence.Warmup(3, from_model=2),
            without_warmup=served(outcome("OK")),
        )
    )
    assert [finding.gate for finding in judged.failures] == ["warmup"]
    assert "2 of its 3 records came with the model" in judged.failures[0].reasons[0]
    assert "NOT_FOUND: No variables." in judged.failures[0].reasons[0]


@pytest.mark.parametrize(
    ("without", "gate"),
    [
        (evidence.Boot(SERVER, evidence.Refused("INTERNAL", "x")), "load"),
        (served(outcome("INTERNAL", "x")), "responses"),
    ],
)
def test_a_model_that_does_not_serve_without_its_warmup_file_either_fails_for_that(
    without: evidence.Boot, gate: str
) -> None:
    """The file is not at fault then."""
    judged = gates.judge(
        shown(evidence.Boot(SERVER, REFUSED), requests=1, warmup=evidence.Warmup(1), without_warmup=without)
    )
    assert [finding.gate for finding in judged.failures] == [gate]
    assert "INTERNAL: x" in judged.failures[0].reasons[0]


def test_a_changed_directory_fails() -> None:
    """What was judged is no longer what would ship."""
    assert Unchanged().judge(shown(served())).status is Status.PASSED
    assert Unchanged().judge(shown(served(), unchanged=False)).failed


@given(code=st.text(alphabet="XYZ", min_size=1), message=st.text(alphabet="xyz", min_size=1))
def test_no_reason_holds_more_than_it_was_given(code: str, message: str) -> None:
    """Another code and message give the same reason but for these: nothing else of the server's gets in."""
    for judge in (
        lambda code, message: Load().judge(shown(evidence.Boot(SERVER, evidence.Refused(code, message)))),
        lambda code, message: Responses().judge(shown(served(outcome(code, message)))),
    ):
        (given_reason,) = judge(code, message).reasons
        (other_reason,) = judge("<code>", "<message>").reasons
        assert given_reason == other_reason.replace("<code>", code).replace("<message>", message)


@given(OUTCOMES, st.sampled_from([None, "SIGSEGV"]), st.integers(0, 3), st.booleans())
def test_only_what_passed_has_no_reason(
    outcomes: list[evidence.Outcome], death: str | None, replayed: int, unchanged: bool
) -> None:
    """Whatever the evidence: a gate that does not pass a model says why, and a model is blessed if none fails it."""
    boot = served(*outcomes, records_replayed=replayed, death=death)
    judged = gates.judge(shown(boot, warmup=evidence.Warmup(2), unchanged=unchanged))
    assert [finding.gate for finding in judged.findings] == [gate.name for gate in gates.GATES]
    assert all(bool(finding.reasons) == (finding.status is not Status.PASSED) for finding in judged.findings)
    assert judged.blessed == (all(one.ok for one in outcomes) and death is None and replayed == 2 and unchanged)


@dataclasses.dataclass(frozen=True)
class Quick:
    """A gate of one file, as a contributor would write it: the model loads within so many seconds."""

    at_most_s: float
    name: ClassVar[str] = "quick"

    def judge(self, found: evidence.Evidence) -> verdict.Finding:
        """The load time against the bar."""
        load_time_s = found.boot.load_time_s
        if load_time_s is None:
            return verdict.Finding(self.name, Status.SKIPPED, ("The model was not loaded.",))
        if load_time_s <= self.at_most_s:
            return verdict.Finding(self.name, Status.PASSED, (), load_time_s, self.at_most_s, "s")
        return verdict.Finding(self.name, Status.FAILED, ("Too slow.",), load_time_s, self.at_most_s, "s")


@pytest.mark.parametrize(("at_most_s", "blessed"), [(1.0, False), (2.0, True)])
def test_a_new_gate_needs_no_other_module(at_most_s: float, blessed: bool) -> None:
    """It is asked after infraval's own, and counts like them."""
    judged = gates.judge(shown(served()), (*gates.GATES, Quick(at_most_s)))
    assert judged.findings[-1].gate == "quick"
    assert judged.findings[-1].bar == at_most_s
    assert judged.blessed == blessed
