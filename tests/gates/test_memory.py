"""The gate `memory`, on evidence made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from infraval import evidence, options, verdict
from infraval.gates.memory import Memory
from infraval.verdict import Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
MIB = 1 << 20
LOADED = evidence.Memory(200 * MIB)
USED = evidence.MemoryUse(LOADED, LOADED, 300 * MIB, 1000, growth_bytes_per_1000=1.0 * MIB, growth_error=0.5 * MIB)
BOOT = evidence.Boot(SERVER, load_time_s=1.0, memory=LOADED)


def judged(
    used: evidence.MemoryUse | None = USED, boot: evidence.Boot = BOOT, requests: int = 1, **asked: Any
) -> verdict.Finding:
    """What the gate says of a server that took that much memory."""
    shown = evidence.Evidence(boot, tries=1, requests=requests, warmup=evidence.Warmup(), memory=used)
    return Memory(options.MemoryGate(**asked)).judge(shown)


def test_a_server_below_every_bar_passes_with_its_peak() -> None:
    """Also one that is exactly at them."""
    bars = {"peak_bytes": "300m", "after_load_bytes": 200 * MIB, "growth_bytes_per_1000": "2m"}
    assert judged(**bars) == verdict.Finding("memory", Status.PASSED, (), 300 * MIB, 300 * MIB, "bytes")
    assert judged(enabled=True) == verdict.Finding("memory", Status.PASSED, (), 300 * MIB, None, "bytes")


@pytest.mark.parametrize(
    "asked", [{"peak_bytes": 300 * MIB - 1}, {"after_load_bytes": "199m"}, {"growth_bytes_per_1000": MIB - MIB // 1024}]
)
def test_a_server_above_one_bar_fails_for_that_alone(asked: dict[str, Any]) -> None:
    """One reason, with the option that says so."""
    finding = judged(dataclasses.replace(USED, growth_error=1.0), **asked)
    (name,) = asked
    assert finding.status is Status.FAILED
    assert len(finding.reasons) == 1
    assert f"gates.memory.{name}" in finding.reasons[0]


def test_the_peak_is_that_of_the_load_if_that_was_higher() -> None:
    """A container has no peak but those of the moments at which it was measured."""
    loading = dataclasses.replace(BOOT, memory=evidence.Memory(400 * MIB))
    finding = judged(boot=loading, peak_bytes="300m")
    assert (finding.status, finding.figure) == (Status.FAILED, 400 * MIB)


@pytest.mark.parametrize(
    ("slope", "error", "status"),
    [
        (0, 0, Status.PASSED),
        (-50, 20, Status.PASSED),
        (8, 1, Status.PASSED),
        (9, 1, Status.UNDECIDED),
        (0, 6, Status.UNDECIDED),
        (12, 1, Status.UNDECIDED),
        (13, 1, Status.FAILED),
        (None, None, Status.UNDECIDED),
    ],
)
def test_growth_must_be_two_errors_away_from_the_bar(slope: float | None, error: float | None, status: Status) -> None:
    """A bar of 10 MiB; what is too near to it says what to raise."""
    slope, error = (None if each is None else each * float(MIB) for each in (slope, error))
    finding = judged(
        dataclasses.replace(USED, growth_bytes_per_1000=slope, growth_error=error), growth_bytes_per_1000="10m"
    )
    assert finding.status is status
    assert len(finding.reasons) == (status is not Status.PASSED)
    assert all(("gates.memory.requests" in reason) == (status is Status.UNDECIDED) for reason in finding.reasons)


def test_growth_without_a_bar_is_not_judged() -> None:
    """Nor is it undecided."""
    unknown = dataclasses.replace(USED, growth_bytes_per_1000=None, growth_error=None)
    assert judged(unknown, growth_bytes_per_1000=None, enabled=True).status is Status.PASSED


@pytest.mark.parametrize("failure", ["SIGSEGV", "DEADLINE_EXCEEDED"])
def test_a_server_that_fails_meanwhile_fails(failure: str) -> None:
    """With what it died of, or how a request ended; its growth is not judged as well."""
    finding = judged(dataclasses.replace(USED, failure=failure, growth_bytes_per_1000=None), enabled=True)
    assert finding.status is Status.FAILED
    assert len(finding.reasons) == 1
    assert failure in finding.reasons[0]


def test_without_evidence_it_is_undecided_or_skipped() -> None:
    """Skipped if the model was not served; without requests, it is about the load alone."""
    assert judged(None, enabled=True).status is Status.UNDECIDED
    assert judged(boot=dataclasses.replace(BOOT, memory=None), enabled=True).status is Status.UNDECIDED
    assert judged(None, boot=evidence.Boot(SERVER, evidence.Late(1.0)), enabled=True).status is Status.SKIPPED
    assert judged(None, requests=0, enabled=True).status is Status.PASSED
    assert judged(None, requests=0, peak_bytes="199m").status is Status.FAILED
