"""Whose fault it was, on sandboxes made by hand."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infraval import errors, evidence, options, redaction
from infraval.sandbox import base
from infraval.trial import blame

if TYPE_CHECKING:
    from typing_extensions import Self

CELL = options.Cell("s", options.Method.PREDICT, 1)
LIVES = 10**9

REFUSAL = (
    "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
    "{{{name: m version: 1} due to error: INVALID_ARGUMENT: Input is empty.}, }\n"
)


class Sandbox:
    """A server that is seen to end at one poll and not before."""

    def __init__(self, ended: base.ServerExit, ends_at: int = 0, log: str = "") -> None:
        self._ended = ended
        self._ends_at = ends_at
        self._log = log
        self.polls = 0
        self.identity = evidence.Server("x", "1", "process", embedded=False)
        self.started_s = 0.0
        self.target = "unix:/nowhere"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def poll(self) -> base.ServerExit | None:
        """How it ended."""
        self.polls += 1
        return self._ended if self.polls > self._ends_at else None

    def memory(self) -> evidence.Memory | None:
        """Unknown."""
        return None

    def log(self) -> str:
        """What it wrote."""
        return self._log


CRASHED = base.ServerExit(code=None, signal=signal.SIGSEGV)
REFUSED = base.ServerExit(code=255, signal=None)


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "CANCELLED", "INVALID_ARGUMENT", "OK"])
def test_a_server_that_answers_is_not_waited_for(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever code its model's answers have; nobody sleeps."""

    def sleep(seconds: float) -> None:
        raise AssertionError(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    outcomes = [evidence.Outcome(CELL, code, "", 0.1)]
    sandbox = Sandbox(CRASHED, ends_at=LIVES)
    assert blame.death_while_serving(sandbox, outcomes, redaction.Redactor(), answers=lambda: True) is None


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "CANCELLED"])
def test_the_end_of_a_server_that_does_not_answer_is_waited_for(code: str) -> None:
    """Connections notice it before the process table does."""
    outcomes = [evidence.Outcome(CELL, code, "", 0.1)]
    sandbox = Sandbox(CRASHED, ends_at=3)
    assert blame.death_while_serving(sandbox, outcomes, redaction.Redactor(), answers=lambda: False) == "SIGSEGV"


def test_the_words_of_a_refusal_count_with_its_exit_code_only() -> None:
    """A model can print them before it crashes; a crash may pass and is tried again, a refusal is not."""
    redactor = redaction.Redactor()
    refused = blame.failed_load(Sandbox(REFUSED, log=REFUSAL), REFUSED, redactor)
    crashed = blame.failed_load(Sandbox(CRASHED, log=REFUSAL), CRASHED, redactor)
    assert refused == evidence.Refused("INVALID_ARGUMENT", "Input is empty.")
    assert crashed == evidence.Crashed("SIGSEGV")
    with pytest.raises(errors.ServerStartError):
        blame.failed_load(Sandbox(CRASHED, log=REFUSAL), base.ServerExit(code=1, signal=None), redactor)


def test_a_real_server_refuses_with_that_exit_code() -> None:
    """As recorded: every start that failed."""
    golden = Path(__file__).parents[1] / "golden"
    files = [json.loads((golden / name).read_text()) for name in ("startup.json", "warmup.json")]
    codes = {case["exit_code"] for file in files for case in file["cases"] if not case["available"]}
    assert codes == {255}
