"""`--beam-arg`: pipeline options of Beam on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import fn_api_runner

from infraval import errors
from infraval.storage import beam_files

_WITH_OPTIONS_OF_A_SERVER = {"portablerunner", "flinkrunner", "sparkrunner", "prismrunner"}
"""Runners that ask their job server which other options there are."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise errors.OptionError(f"--beam-arg cannot be read: {message}.")


def read(arguments: Sequence[str]) -> tuple[Callable[[], beam.Pipeline], str]:
    """How to make the pipeline, and where its runner's workers put temporary files; empty if nothing says where.

    Raises:
      OptionError: Beam does not know an argument, or cannot read it.
    """
    runner, unknown = _parse(arguments)
    if unknown and runner.rpartition(".")[2].lower() not in _WITH_OPTIONS_OF_A_SERVER:
        raise errors.OptionError(
            f"Beam does not know {' '.join(unknown)} (--beam-arg). Give one argument at a time, with its value after "
            "=, such as --beam-arg=--runner=DataflowRunner; a runner's options need its package, such as "
            "apache-beam[gcp]."
        )
    beam_files.configure(arguments)
    options = pipeline_options.PipelineOptions(list(arguments))

    def make_pipeline() -> beam.Pipeline:
        # Without a runner, Beam would take the DirectRunner; see ADR 13.
        return beam.Pipeline(runner=None if runner else fn_api_runner.FnApiRunner(), options=options)

    return make_pipeline, options.view_as(pipeline_options.GoogleCloudOptions).temp_location or ""


def _parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The runner, and what is not one of Beam's arguments; Beam itself drops that, and exits if it cannot parse."""
    parser = _Parser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    # Beam's own kinds of options need this of a parser.
    parser.add_value_provider_argument = parser.add_argument  # type: ignore[attr-defined]
    for kind in {str(each): each for each in pipeline_options.PipelineOptions.__subclasses__()}.values():
        kind._add_argparse_args(parser)  # noqa: SLF001 - no other way to know the arguments
    known: Any
    known, unknown = parser.parse_known_args(list(arguments))
    return str(known.runner or ""), unknown
