"""The same core from a shell: `infraval validate | inspect | report | compare | bench | kit | label | serve | …`.

Exit codes of `validate`: 0 blessed, 1 not blessed, 2 could not judge, 128 + N ended by signal N. A verb is a module of
its own with a `command`, and nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import importlib
import signal
import sys

import click

from infraval import streams, version

VERBS = {
    "validate": "Judge a model by really serving it with its warmup file.",
    "inspect": "List the signatures of a SavedModel and what its warmup file covers.",
    "report": "Show a report.json, also as a page or as Markdown, or print its JSON Schema.",
    "compare": "Show two report.json side by side: which gates regressed, and how latencies changed.",
    "bench": "Measure a model's latencies over gRPC and REST, on a running server or one that it boots.",
    "serve": "Serve a model with the embedded server; takes tensorflow_model_server's flags.",
    "kit": "Write everything to serve a model: configs, docker-compose.yaml, dashboard, Kubernetes manifests.",
    "label": "Set a version label in a model config file, also under a running server.",
    "completion": "Print a script with which bash, zsh or fish completes infraval's words.",
}

NAME = "infraval"
COMPLETE_VARIABLE = "_INFRAVAL_COMPLETE"
"""Set by the script of a shell, which asks what a word may become."""


class Verbs(click.Group):
    """Imports a verb when it is used; the list of verbs needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"infraval.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs with their summaries, which click would shorten."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version.VERSION)
def commands() -> None:
    """Proves that a SavedModel loads, answers and is warm in a real TensorFlow model server."""


def main() -> None:
    """Entry point of the console script."""
    try:
        code = commands.main(prog_name=NAME, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
    except click.ClickException as error:
        # click itself would exit with 1, which is a verdict, if standard error cannot be written.
        with streams.optional(sys.stderr):
            error.show()
        code = error.exit_code
    except click.Abort:
        code = 128 + signal.SIGINT
    finally:
        with streams.optional(sys.stderr):
            pass
    sys.exit(code)
