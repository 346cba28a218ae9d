"""`infraval completion`: what each shell is given, and what it then asks for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from infraval import cli

Invoke = Callable[..., click.testing.Result]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str, invoke: Invoke) -> None:
    """It asks infraval by the variable that `main` looks at."""
    finished = invoke("completion", shell)
    assert finished.exit_code == 0
    assert f"{cli.COMPLETE_VARIABLE}={shell}_complete" in finished.stdout


def test_bash_takes_its_script(invoke: Invoke, tmp_path: Path) -> None:
    """Without a complaint; afterwards it knows how to complete infraval's words."""
    bash = shutil.which("bash")
    assert bash is not None
    script = tmp_path / "infraval"
    script.write_text(invoke("completion", "bash").stdout)
    finished = subprocess.run(
        [bash, "--norc", "-c", 'source "$1"; complete -p infraval', "bash", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stderr == ""
    assert finished.stdout.endswith(" infraval\n")


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["inf"], set(cli.VERBS)),
        (["infraval", "com"], {"compare", "completion"}),
        (["infraval", "completion", ""], {"bash", "zsh", "fish"}),
        (["infraval", "validate", "--server-mess"], {"--server-messages"}),
        (["infraval", "validate", "--server-messages", "c"], {"codes"}),
    ],
)
def test_words_are_completed(
    words: list[str], completions: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verbs, options, and the values of an option."""
    monkeypatch.setenv(cli.COMPLETE_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["infraval", *words[1:]]))
    monkeypatch.setenv("COMP_CWORD", str(max(1, len(words) - 1)))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert {line.partition(",")[2] for line in capsys.readouterr().out.split()} == completions


def test_an_unknown_shell_is_refused(invoke: Invoke) -> None:
    """With the ones that there are."""
    finished = invoke("completion", "csh")
    assert finished.exit_code == 2
    assert "bash" in finished.stderr


def test_the_version_is_printed(invoke: Invoke) -> None:
    """That of the package."""
    finished = invoke("--version")
    assert finished.exit_code == 0
    assert finished.stdout.split()[-1] == cli.version.VERSION
