"""The command line, without a server."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infraval_server import flags, main

STARTUP = Path(__file__).parents[1] / "golden" / "startup.json"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", True), ("=true", True), ("=1", True), ("=false", False), ("=0", False)],
)
def test_boolean_flag_takes_each_spelling(text: str, expected: bool) -> None:
    """A boolean flag may stand alone or carry true, false, 1 or 0."""
    options, unknown = flags.parse([f"--enable_batching{text}"])
    assert options.enable_batching is expected
    assert unknown == []


@pytest.mark.parametrize(
    "argument",
    [
        "--enable_batching=yes",
        "--port=http",
        "--port=",
        "--port=1.5",
        "--port=8500 ",
        "--max_num_load_retries=1_0",
        f"--load_retry_interval_micros={2**63}",
        f"--port={'9' * 5000}",
    ],
    ids=lambda argument: argument[:40],
)
def test_bad_value_is_refused(argument: str) -> None:
    """A value that is not of the flag's type is an error that names both."""
    name = argument.removeprefix("--").partition("=")[0]
    with pytest.raises(flags.FlagValueError, match=f"for flag {name}"):
        flags.parse([argument])


@pytest.mark.parametrize("argument", ["--no_such_flag", "--port", "-port=1", "port=1", "--", "--por=1"])
def test_unknown_argument_is_handed_back(argument: str) -> None:
    """What is no known flag of the form --flag=value is neither used nor an error."""
    assert flags.parse([argument]) == (flags.Options(), [argument])


def test_a_value_may_be_an_argument_of_its_own() -> None:
    """As people type it; a boolean stands alone, and what begins with two dashes is the next flag."""
    argv = ["--port", "8500", "--enable_batching", "--load_retry_interval_micros", "-1", "--num_load_threads", "2"]
    options, unknown = flags.parse(argv)
    assert (options.port, options.enable_batching, options.load_retry_interval_micros) == (8500, True, -1)
    assert unknown == []
    assert flags.ignored(argv) == ["--num_load_threads"]
    assert flags.parse(["--model_name", "--port=1"]) == (flags.Options(port=1), ["--model_name"])
    assert flags.parse(["--enable_batching", "8500"])[1] == ["8500"]


def test_every_flag_of_tensorflow_serving_is_known() -> None:
    """The flags in the recorded usage text of a real one; those without effect here are listed separately."""
    case = next(case for case in json.loads(STARTUP.read_text())["cases"] if case["case"] == "unknown_flag")
    recorded = re.findall(r"^\t(--\w+=\S*)", "\n".join(case["log"]), re.MULTILINE)
    assert len(recorded) > 10
    _, unknown = flags.parse(recorded)
    assert unknown == []
    ignored = flags.ignored(recorded)
    assert "--num_load_threads" in ignored
    assert "--enable_batching" not in ignored


@pytest.mark.parametrize("argument", ["--num_load_threads=2", "--num_load_threads", "--prefer_tflite_model=true"])
def test_an_ignored_flag_changes_nothing(argument: str) -> None:
    """Its value is not looked at, nor shown."""
    assert flags.parse([argument]) == (flags.Options(), [])
    assert flags.ignored(["--port=1", argument, "--no_such_flag"]) == [argument.partition("=")[0]]


def test_no_flag_is_both_taken_and_ignored() -> None:
    """Else the usage would list it twice."""
    assert not flags.IGNORED & {field.name for field in dataclasses.fields(flags.Options)}


def test_import_ops_repeats_in_both_spellings() -> None:
    """Modules are imported in the order given, whichever way the flag is spelled."""
    options, _ = flags.parse(["--import_ops=first", "--import-ops=second.third"])
    assert options.import_ops == ("first", "second.third")


def test_last_value_counts() -> None:
    """As in TensorFlow, a flag that is repeated has its last value; values may hold an equals sign."""
    options, _ = flags.parse(["--model_name=a", "--model_name=b=c", "--port=+7"])
    assert (options.model_name, options.port) == ("b=c", 7)


def test_help_prints_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """--help prints the usage to standard output and succeeds."""
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"--{name}=" in printed for name in ("port", "host", "import_ops", "batching_parameters_file"))


def test_version_prints_both_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """--version names the server's and TensorFlow's version, in TensorFlow Serving's form."""
    assert main(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("infraval embedded server: ")
    assert second.startswith("TensorFlow Library: 2.")


def test_command_line_needs_no_tensorflow() -> None:
    """Importing the package, --help and a bad value import neither TensorFlow nor gRPC."""
    source = (
        "import sys; from infraval_server import main\n"
        "assert main(['--help']) == 0 and main(['--port=x']) == 255\n"
        "assert not {'tensorflow', 'grpc', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True, capture_output=True)
