"""`infraval serve`: the server as a user's command, `python -m infraval_server.command FLAG...`.

It takes what people write: `--port 8500` as well as `--port=8500`, and relative base paths. An unknown flag, without
which TensorFlow Serving goes on, is refused. As a sandbox, the server is started without this module, because there it
must be as forgiving as the real one.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from infraval_server import flags, log
from infraval_server.process import EXIT_FAILURE, EXIT_OK, main

_NAME = "infraval serve"
_IGNORE_UNKNOWN = "--ignore-unknown-flags"
_DASHED = {"--import-ops", "--hold-until"}
"""Flags of this server whose spelling has dashes."""


class UsageError(ValueError):
    """The command cannot be run as it was given; the message says what to do."""


def run(argv: Sequence[str]) -> int:
    """Serves until a signal ends it; returns the exit code, see `infraval_server`."""
    if not {"--help", "-h"}.isdisjoint(argv):
        sys.stdout.write(f"{usage()}\n")
        return EXIT_OK
    try:
        arguments = prepare(argv)
    except UsageError as error:
        log.plain(f"{_NAME}: {error} `{_NAME} --help` lists the flags.")
        return EXIT_FAILURE
    return main(arguments)


def usage() -> str:
    """The flags, under this command's name."""
    _, lines = flags.usage().split("\n", 1)
    own = f"\t{_IGNORE_UNKNOWN:<33}\tbool\tGo on if a flag is not known, as TensorFlow Serving does."
    return f"usage: {_NAME} [--FLAG=VALUE | --FLAG VALUE]...\n{lines}\n{own}"


def prepare(argv: Sequence[str]) -> list[str]:
    """The arguments as the server takes them.

    Raises:
      UsageError: a flag is not known or lacks its value, or a combination of flags cannot work.
    """
    arguments = list(_joined([argument for argument in argv if argument != _IGNORE_UNKNOWN]))
    try:
        options, unknown = flags.parse(arguments)
    except flags.FlagValueError as error:
        raise UsageError(str(error)) from None
    if unknown and _IGNORE_UNKNOWN not in argv:
        raise UsageError(_about(unknown[0]))
    if not options.version:
        _check(options, {argument.partition("=")[0] for argument in arguments})
    return [_absolute(argument) for argument in arguments]


def _joined(argv: Sequence[str]) -> Iterator[str]:
    """Each flag with its value, which may be the next argument."""
    switches = {f"--{field.name}" for field in dataclasses.fields(flags.Options) if isinstance(field.default, bool)}
    left = list(argv)
    while left:
        argument = left.pop(0)
        takes = argument in _known() and (argument not in switches or left[:1] in (["true"], ["false"], ["1"], ["0"]))
        if takes and left and not left[0].startswith("--"):
            argument = f"{argument}={left.pop(0)}"
        yield argument


def _known() -> set[str]:
    return {f"--{name}" for name in (*(field.name for field in dataclasses.fields(flags.Options)), *flags.IGNORED)} | (
        _DASHED
    )


def _about(argument: str) -> str:
    flag = argument.partition("=")[0]
    if flag in _known():
        return f"{flag} needs a value, {flag}=VALUE."
    if not flag.startswith("--"):
        return f"{argument} is not a flag; flags are written --NAME=VALUE or --NAME VALUE."
    alike = difflib.get_close_matches(flag.replace("-", "_"), [each.replace("-", "_") for each in _known()], n=1)
    meant = f" Did you mean --{alike[0].lstrip('_')}?" if alike else ""
    return f"There is no flag {flag}.{meant} With {_IGNORE_UNKNOWN} the server goes on without it."


def _check(options: flags.Options, given: set[str]) -> None:
    """Refuses what the server would refuse with the names that its source code has for the flags."""
    if not options.model_base_path and "--model_config_file" not in given:
        raise UsageError("There is nothing to serve: give --model_base_path=DIR or --model_config_file=FILE.")
    if options.port == 0 and not options.grpc_socket_path:
        raise UsageError("--port=0 turns gRPC over TCP off, so there must be a --grpc_socket_path.")
    if options.batching_parameters_file and not options.enable_batching:
        raise UsageError("--batching_parameters_file needs --enable_batching.")
    if options.port == options.rest_api_port != 0:
        raise UsageError(f"--port and --rest_api_port must differ; both are {options.port}.")


def _absolute(argument: str) -> str:
    """TensorFlow Serving refuses a relative base path."""
    flag, _, value = argument.partition("=")
    if flag != "--model_base_path" or not value or "://" in value:
        return argument
    return f"{flag}={Path(value).absolute()}"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
