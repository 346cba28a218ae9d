"""The gate `robust`, on evidence made by hand."""

from __future__ import annotations

import dataclasses

import pytest

from infraval import evidence, options, verdict
from infraval.gates.robust import Robust
from infraval.verdict import Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
KILLER = evidence.Killer(
    "s", options.Method.PREDICT, "x", "too few dimensions", '{"inputs":{"x":[0.0]}}', "SIGABRT", "F Check failed"
)


def judged(found: evidence.Robustness | None) -> verdict.Finding:
    """What the gate says."""
    boot = evidence.Boot(SERVER, load_time_s=1.0)
    shown = evidence.Evidence(boot, tries=1, requests=1, warmup=evidence.Warmup(), robustness=found)
    return Robust(options.RobustGate()).judge(shown)


def test_a_server_that_survives_all_of_them_passes() -> None:
    """No killer."""
    assert judged(evidence.Robustness(90, 0, 1)) == verdict.Finding("robust", Status.PASSED, (), 0, 0, "killers")


def test_each_killer_is_a_reason_with_its_request() -> None:
    """What it is, which input, the request and the cause; whatever else is undecided."""
    late = dataclasses.replace(KILLER, what="a huge batch", input="", cause="", said="")
    finding = judged(evidence.Robustness(90, 7, 5, (KILLER, late), ("Lost.",)))
    assert (finding.status, finding.figure, finding.bar) == (Status.FAILED, 2, 0)
    first, second, lost, left = finding.reasons
    assert all(part in first for part in ("input x", "signature s", "SIGABRT", KILLER.request, "F Check failed"))
    assert "no answer in time" in second
    assert lost == "Lost."
    assert left.startswith("7 ")


@pytest.mark.parametrize("found", [evidence.Robustness(90, 1, 1), evidence.Robustness(90, 0, 2, (), ("Lost.",))])
def test_what_was_not_found_out_is_undecided(found: evidence.Robustness) -> None:
    """Requests that were not sent, and a server that something else killed."""
    assert judged(found).status is Status.UNDECIDED


def test_without_answered_requests_there_is_nothing_to_derive_from() -> None:
    """The gate is skipped."""
    assert judged(None).status is Status.SKIPPED


def test_a_name_in_a_reason_is_escaped() -> None:
    """The model chooses them."""
    hostile = dataclasses.replace(KILLER, signature="a\x1b[31m\n" + "x" * 10_000, input="b\n" + "y" * 10_000)
    (reason,) = judged(evidence.Robustness(1, 0, 2, (hostile,))).reasons
    assert reason.isprintable()
    assert len(reason) < 1000
