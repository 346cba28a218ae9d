"""First requests against steady ones, and what undecided means."""

from __future__ import annotations

import dataclasses

import pytest

from infraval import errors, evidence, gates, options
from infraval.gates.warm import Warm
from infraval.gates.warmup import Warmup
from infraval.verdict import Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
ONE, FOUR = (options.Cell("s", options.Method.PREDICT, size) for size in (1, 4))
OUTCOMES = (evidence.Outcome(ONE, "OK", "", 0.001), evidence.Outcome(FOUR, "OK", "", 0.001))


def latency(cell: options.Cell, first_s: float, steady_s: float = 0.001, slowest_s: float = 0.0) -> evidence.Latency:
    """Of one boot."""
    return evidence.Latency(cell, first_s, steady_s, slowest_s=slowest_s)


def shown(*latencies: evidence.Latency, again: tuple[evidence.Latency, ...] = ()) -> evidence.Evidence:
    """A model of two cells that answers."""
    boot = evidence.Boot(SERVER, load_time_s=1.0, outcomes=OUTCOMES, latencies=latencies)
    return evidence.Evidence(boot, 1, 2, evidence.Warmup(2), measured_again=again)


@pytest.mark.parametrize(
    ("first_s", "steady_s", "again_s", "status"),
    [
        (0.005, 0.001, (), Status.PASSED),  # below the floor
        (0.25, 0.1, (), Status.PASSED),  # below the ratio
        (0.5, 0.001, (), Status.FAILED),
        (0.5, 0.001, (0.4, 0.6), Status.FAILED),
        (0.5, 0.001, (0.6, 0.002), Status.PASSED),  # the best boot counts
    ],
)
def test_a_cell_is_cold_if_it_is_on_every_boot(
    first_s: float, steady_s: float, again_s: tuple[float, ...], status: Status
) -> None:
    """Above both the floor and the ratio; the reason names the cell."""
    again = tuple(latency(FOUR, each) for each in again_s)
    found = Warm(options.WarmGate()).judge(shown(latency(ONE, 0.001), latency(FOUR, first_s, steady_s), again=again))
    assert found.status is status
    assert found.failed == ("batch size 4" in "".join(found.reasons))


def test_a_first_request_that_is_not_the_slowest_is_not_cold() -> None:
    """On a busy machine some requests are slow, whatever their number."""
    for slowest_s, status in ((0.04, Status.FAILED), (0.06, Status.PASSED)):
        found = Warm(options.WarmGate()).judge(shown(latency(ONE, 0.001), latency(FOUR, 0.05, slowest_s=slowest_s)))
        assert found.status is status


@pytest.mark.parametrize(
    ("first", "again", "status"),
    [
        ({"graph_builds": 0, "xla_compilations": 0}, (), Status.PASSED),
        ({"graph_builds": 0}, (), Status.PASSED),
        ({"graph_builds": 1, "xla_compilations": 0}, (), Status.FAILED),
        ({"xla_compilations": 3}, (), Status.FAILED),
        ({"graph_builds": 1}, ({"graph_builds": 1}, {"graph_builds": 1}), Status.FAILED),
        ({"graph_builds": 1}, ({"graph_builds": 1}, {"graph_builds": 0}), Status.PASSED),  # the best boot counts
    ],
)
def test_a_first_request_for_which_the_server_builds_is_cold_however_fast(
    first: dict[str, int], again: tuple[dict[str, int], ...], status: Status
) -> None:
    """The reason has the counter and by how much it moved."""
    quick = latency(FOUR, 0.001)
    evidence_shown = shown(
        latency(ONE, 0.001),
        dataclasses.replace(quick, **first),
        again=tuple(dataclasses.replace(quick, **each) for each in again),
    )
    found = Warm(options.WarmGate()).judge(evidence_shown)
    assert found.status is status
    for name, count in (
        ("graph_build_calls", first.get("graph_builds")),
        ("xla_compilations", first.get("xla_compilations")),
    ):
        assert (f"{name} by {count}" in "".join(found.reasons)) == (found.failed and bool(count))


def test_counters_that_could_not_be_read_are_told_and_fail_nothing() -> None:
    """Latency alone decides then."""
    given = shown(latency(ONE, 0.001), latency(FOUR, 0.001))
    boot = dataclasses.replace(given.boot, records_replayed=2, counters=evidence.Counters(unknown="No bash."))
    found = Warm(options.WarmGate()).judge(dataclasses.replace(given, boot=boot))
    assert (found.status, found.reasons) == (Status.PASSED, ("No bash.",))
    assert Warmup().judge(dataclasses.replace(given, boot=boot)).status is Status.PASSED


@pytest.mark.parametrize(("counted", "status"), [(None, Status.PASSED), (2, Status.PASSED), (1, Status.FAILED)])
def test_the_servers_count_of_warmup_records_is_believed_as_well_as_its_log(
    counted: int | None, status: Status
) -> None:
    """If it counts fewer than the file has, whatever it logs."""
    given = shown()
    boot = dataclasses.replace(given.boot, records_replayed=2, counters=evidence.Counters(warmup_records=counted))
    assert Warmup().judge(dataclasses.replace(given, boot=boot)).status is status


def test_what_cannot_be_judged_is_skipped() -> None:
    """No file, no requests, or requests that another gate fails."""
    good = shown(latency(ONE, 0.001), latency(FOUR, 0.001))
    failed = dataclasses.replace(good.boot, outcomes=(dataclasses.replace(OUTCOMES[0], code="INTERNAL"),))
    for other in (
        dataclasses.replace(good, warmup=evidence.Warmup()),
        dataclasses.replace(good, requests=0),
        dataclasses.replace(good, boot=failed),
    ):
        assert Warm(options.WarmGate()).judge(other).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, Status.UNDECIDED),
        ({"warm": {"undecided": "pass"}}, Status.UNDECIDED),
        ({"warm": {"undecided": "fail"}}, Status.FAILED),
        ({"warm": {"ratio": 4}}, None),
        ({"warm": {"undecided": "error"}}, None),
    ],
)
def test_undecided_means_what_the_options_say(asked: dict[str, object], status: Status | None) -> None:
    """A gate that is named must decide, if nothing else is said and the model did not fail anyway."""
    given = options.GateOptions(**asked)
    judged = gates.judge(shown(latency(ONE, 0.001)), (Warm(given.warm),), given)
    if status is None:
        with pytest.raises(errors.UndecidedError) as caught:
            gates.check_decided([judged], given)
        assert caught.value.code == "gate/undecided"
    else:
        gates.check_decided([judged], given)
        assert judged.findings[0].status is status
        assert judged.blessed == (status is Status.UNDECIDED)
    worse = gates.judge(dataclasses.replace(shown(latency(ONE, 0.001)), unchanged=False), gates.choose(given), given)
    gates.check_decided([worse], given)
    assert not worse.blessed


def test_a_gate_can_be_turned_off() -> None:
    """The others stay."""
    chosen = gates.choose(options.GateOptions(warm={"enabled": False}))
    assert [gate.name for gate in chosen] == ["load", "responses", "warmup", "unchanged", "outputs"]
