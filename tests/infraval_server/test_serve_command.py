"""`infraval serve` as people write it: what it takes, and what it refuses in words that they know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval_server import command, flags

BASE = "--model_base_path=/served"


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        (["--port", "8500"], ["--port=8500"]),
        (["--port=8500"], ["--port=8500"]),
        (["--enable_batching"], ["--enable_batching"]),
        (["--enable_batching", "false"], ["--enable_batching=false"]),
        (["--enable_batching", "--port", "1"], ["--enable_batching", "--port=1"]),
        (["--load_retry_interval_micros", "-1"], ["--load_retry_interval_micros=-1"]),
        (["--num_load_threads", "2"], ["--num_load_threads=2"]),
        (["--import-ops", "a", "--import-ops=b"], ["--import-ops=a", "--import-ops=b"]),
    ],
)
def test_a_value_may_be_an_argument_of_its_own(written: list[str], taken: list[str]) -> None:
    """As with most commands; the server itself takes one spelling."""
    assert command.prepare([BASE, *written]) == [BASE, *taken]


def test_a_base_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TF Serving refuses that; a URI stays."""
    monkeypatch.chdir(tmp_path)
    assert command.prepare(["--model_base_path", "served"]) == [f"--model_base_path={tmp_path}/served"]
    assert command.prepare(["--model_base_path=gs://b/m"]) == ["--model_base_path=gs://b/m"]


@pytest.mark.parametrize(
    ("written", "named"),
    [
        (["--prot=1"], "--prot.* --port"),
        (["--model-name=m"], "--model-name.* --model_name"),
        (["--xyz"], "--xyz"),
        (["-port=1"], "-port=1"),
        (["served"], "served"),
        (["--port"], "--port needs a value"),
        (["--port=http"], "port"),
    ],
)
def test_what_is_no_flag_is_refused_by_name(written: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And the flag that was probably meant."""
    assert command.run([BASE, *written]) == 255
    said = capsys.readouterr().err
    assert re.search(named, said)
    assert said.startswith("infraval serve: ")


def test_unknown_flags_may_be_ignored() -> None:
    """As TF Serving does; then they reach the server, which says so in its log."""
    assert command.prepare(["--ignore-unknown-flags", BASE, "--xyz=1"]) == [BASE, "--xyz=1"]
    with pytest.raises(command.UsageError):
        command.prepare(["--ignore-unknown-flags", BASE, "--port=http"])


@pytest.mark.parametrize(
    "written",
    [
        [],
        ["--model_name=m"],
        [BASE, "--port=0"],
        [BASE, "--batching_parameters_file=/b"],
        [BASE, "--port=1", "--rest_api_port=1"],
    ],
)
def test_every_flag_that_an_error_names_exists(written: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """TF Serving's own words are of `server_options.grpc_port` and the like, which nobody can set."""
    assert command.run(written) == 255
    said = capsys.readouterr().err
    names = set(re.findall(r"--(\w[\w-]*)", said))
    assert names
    assert names <= {*flags.Options.__dataclass_fields__, *flags.IGNORED, "help"}
    assert "server_options" not in said


def test_help_names_the_command_and_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """Not the module that it starts."""
    for spelling in ("--help", "-h"):
        assert command.run([spelling]) == 0
        said = capsys.readouterr().out
        assert said.startswith("usage: infraval serve ")
        assert "infraval_server" not in said
        assert all(f"--{name}" in said for name in (*flags.Options.__dataclass_fields__, "ignore-unknown-flags"))


@given(st.lists(st.text() | st.sampled_from(["--port", "--port=1", BASE, "--enable_batching", "true", "--import-ops"])))
def test_any_arguments_are_taken_or_refused(argv: list[str]) -> None:
    """Never another error."""
    try:
        taken = command.prepare(argv)
    except command.UsageError:
        return
    assert flags.parse(taken)[1] == [] or "--ignore-unknown-flags" in argv
