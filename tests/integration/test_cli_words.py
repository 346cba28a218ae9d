"""What the command line says around a verdict; nothing is validated here."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import click.testing
import pytest

from infraval import cli, evidence, hints, options, validation, verdict


@pytest.fixture
def validate(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `infraval validate`, whose verdict is given."""
    for name in ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY"):
        monkeypatch.setenv(name, "3" if name.startswith("TF") else "NONE")

    def run(status: verdict.Status, *arguments: object) -> str:
        server = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
        shown = evidence.Evidence(evidence.Boot(server, load_time_s=1.0), 1, 0, evidence.Warmup())
        finding = verdict.Finding("load", status, () if status is verdict.Status.PASSED else ("No.",))
        judged = verdict.Verdict((verdict.ServerVerdict(shown, (finding,)),), "00" * 32, evidence.Warmup())

        def stand_in(job: options.Job, *_: object, **__: object) -> verdict.Verdict:
            return dataclasses.replace(judged, hints=hints.of(job, judged, {}))

        monkeypatch.setattr(validation, "validate", stand_in)
        command = ["validate", "--model", "m", *map(str, arguments)]
        finished = click.testing.CliRunner().invoke(cli.commands, command, prog_name="infraval")
        assert finished.exit_code == (status is verdict.Status.FAILED)
        return finished.stdout

    return run


def test_without_an_output_the_person_is_told_that_no_copy_is_kept(validate: Any, tmp_path: Path) -> None:
    """If there is something to lose; as JSON too, where there is nothing but the report."""
    assert "--output DIR" in validate(verdict.Status.PASSED)
    assert "--output DIR" not in validate(verdict.Status.PASSED, "--output", tmp_path / "new")
    assert "--output DIR" not in validate(verdict.Status.FAILED)
    assert [hint["code"] for hint in json.loads(validate(verdict.Status.PASSED, "--json"))["hints"]] == ["not-kept"]


def test_any_name_of_an_output_can_be_printed(validate: Any, tmp_path: Path) -> None:
    """It need not be UTF-8, and may hold control characters."""
    printed = validate(verdict.Status.PASSED, "--output", tmp_path / os.fsdecode(b"\xff\x1b"))
    written, page = printed.splitlines()[-2:]
    assert written.endswith("\\udcff\\x1b/stamped_model")
    assert page.endswith("\\udcff\\x1b/report.html")


def test_the_shell_completes_verbs_and_options() -> None:
    """As the README says."""
    completed = click.testing.CliRunner().invoke(
        cli.commands,
        prog_name="infraval",
        env={"_INFRAVAL_COMPLETE": "bash_complete", "COMP_WORDS": "infraval validate --examp", "COMP_CWORD": "2"},
    )
    assert completed.stdout == "plain,--examples\n"
