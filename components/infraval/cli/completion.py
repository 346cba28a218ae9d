"""`infraval completion`."""

from __future__ import annotations

import click
from click import shell_completion

from infraval import cli
from infraval.cli import guard

_SHELLS = ("bash", "zsh", "fish")

_EXAMPLE = """
\b
  bash: infraval completion bash > ~/.local/share/bash-completion/completions/infraval
  zsh:  infraval completion zsh > "${fpath[1]}/_infraval"
  fish: infraval completion fish > ~/.config/fish/completions/infraval.fish
"""


@click.command("completion", cls=guard.Command, help=f"{cli.VERBS['completion']}\n{_EXAMPLE}")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(*, shell: str) -> int:
    """Prints a shell's script."""
    made = shell_completion.get_completion_class(shell)
    assert made is not None, shell  # noqa: S101 - click has the three
    with guard.writing():
        click.echo(made(cli.commands, {}, cli.NAME, cli.COMPLETE_VARIABLE).source())
    return 0
