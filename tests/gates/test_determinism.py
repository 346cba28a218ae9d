"""The gate `determinism` on evidence made by hand."""

from __future__ import annotations

import pytest

from infraval import evidence, options
from infraval.gates.determinism import Determinism
from infraval.verdict import Finding, Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
SAME = evidence.Compared("s", options.Method.PREDICT, "y", "float", responses=8, values=24)
OTHER = evidence.Compared("s", options.Method.PREDICT, "y", "float", 8, 3, 24, 5, 0.25, 0.5, ("value",))
ERROR = evidence.Unanswered("s", options.Method.PREDICT, "FAILED_PRECONDITION", "Shapes differ.", 2)


def judge(found: evidence.Determinism | None) -> Finding:
    """What the gate says."""
    shown = evidence.Evidence(evidence.Boot(SERVER, load_time_s=1.0), 1, 1, evidence.Warmup(), determinism=found)
    return Determinism().judge(shown)


def made(
    alone: evidence.Compared = SAME, together: evidence.Compared = SAME, *unanswered: evidence.Unanswered
) -> evidence.Determinism:
    """Evidence of a server that batches."""
    return evidence.Determinism(True, 8, 4, (alone,), (together,), unanswered)


def test_the_same_answers_pass() -> None:
    """All of all."""
    assert judge(made()) == Finding("determinism", Status.PASSED, (), 8, 8, "responses")


@pytest.mark.parametrize(
    "found", [made(alone=OTHER), made(together=OTHER), made(SAME, SAME, ERROR)], ids=["alone", "together", "error"]
)
def test_another_answer_fails(found: evidence.Determinism) -> None:
    """Or an error only with others; the reason says in which output, how many and by how much."""
    finding = judge(found)
    assert finding.failed
    (reason,) = finding.reasons
    for said in ("FAILED_PRECONDITION",) if found.unanswered else ("'y'", "3 of 8", "5 of 24", "0.25"):
        assert said in reason


def test_without_another_answer_there_is_nothing_to_judge() -> None:
    """Skipped if nothing was sent, undecided if nothing was answered."""
    assert judge(None).status is Status.SKIPPED
    assert judge(evidence.Determinism(False, 0, 4)).status is Status.SKIPPED
    assert judge(evidence.Determinism(False, 0, 4, unanswered=(ERROR,))).status is Status.UNDECIDED
