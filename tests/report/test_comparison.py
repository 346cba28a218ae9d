"""Two reports side by side: what counts as worse."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from infraval import evidence, verdict
from infraval.report import comparison, data, page, terminal
from infraval.verdict import Status

Make = Callable[..., data.Report]


def _with(report: data.Report, *statuses: Status | None) -> data.Report:
    """The report with a gate `load` of such a status on each server; None for no gate."""
    made = report.model_copy(deep=True)
    for server, status in zip(made.servers, statuses, strict=True):
        server.findings = [] if status is None else [verdict.Finding("load", status, ("Why.",), 1.5, 1.0, "s")]
    return made


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (Status.PASSED, Status.FAILED, "regressed"),
        (Status.PASSED, Status.UNDECIDED, "regressed"),
        (Status.UNDECIDED, Status.FAILED, "regressed"),
        (Status.SKIPPED, Status.FAILED, "regressed"),
        (None, Status.FAILED, "regressed"),
        (Status.FAILED, Status.UNDECIDED, "improved"),
        (Status.FAILED, Status.PASSED, "improved"),
        (Status.FAILED, Status.FAILED, "unchanged"),
        (Status.SKIPPED, Status.PASSED, "unchanged"),
        (Status.PASSED, Status.SKIPPED, "not judged"),
        (Status.FAILED, None, "not judged"),
    ],
)
def test_a_gate_regressed_if_its_status_is_worse(
    before: Status | None, after: Status | None, change: str, make_report: Make
) -> None:
    """A gate that does not judge any more is no regression, and no improvement either."""
    report = make_report(servers=1)
    changes = comparison.compare(_with(report, before), _with(report, after))
    ((gate,),) = (server.gates for server in changes)
    assert gate.change.value == change
    assert comparison.regressed(changes) == (["load"] if change == "regressed" else [])
    assert comparison.regressed(changes, ["warm"]) == []


def test_servers_are_paired_in_their_order(make_report: Make) -> None:
    """The third of three has no partner in a report of two; its cells are compared with nothing."""
    two, three = make_report(servers=2), make_report(servers=3)
    changes = comparison.compare(
        _with(two, Status.PASSED, Status.FAILED), _with(three, Status.PASSED, Status.PASSED, Status.FAILED)
    )
    assert [server.gates[0].change.value for server in changes] == ["unchanged", "improved", "regressed"]
    assert [server.cells[0].steady_ratio for server in changes] == [1.0, 1.0, None]


def test_cells_of_both_reports_are_compared(make_report: Make) -> None:
    """Also those that only one has."""
    before, after = make_report(servers=1, cells=2), make_report(servers=1, cells=1)
    after.servers[0].cells[0].steady_s = 0.003
    (server,) = comparison.compare(before, after)
    assert [(cell.cell.batch_size, cell.after is None) for cell in server.cells] == [(1, False), (2, True)]
    assert server.cells[0].steady_ratio == pytest.approx(3)


def test_they_are_shown_on_a_terminal_and_as_a_page(make_report: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Which gate, from what to what, and why; neither shows a name as it is."""
    report = make_report(text="x\x1b<b>", servers=1)
    before, after = _with(report, Status.PASSED), _with(report, Status.FAILED)
    server = after.servers[0]
    server.findings.append(dataclasses.replace(server.findings[0], gate="\x1b<i>", reasons=("\x1b<i>",)))
    server.server = dataclasses.replace(server.server, image="")
    assert isinstance(server.server, evidence.Server)
    changes = comparison.compare(before, after)
    found = comparison.regressed(changes)
    terminal.show_comparison(before, after, changes, found)
    printed = capsys.readouterr().out
    content = page.render_comparison(before, after, changes, found)
    for shown in (printed, content):
        assert shown.replace("\n", "").isprintable()
        assert "regressed" in shown
        assert "1.50 s" in shown
    assert "Why." in content
    assert "<i>" not in content
    assert "<b>" not in content
    terminal.show_comparison(before, before, comparison.compare(before, before), [])
    assert "No gate regressed." in capsys.readouterr().out
