"""Signals at random moments of `infraval validate`: nothing is left, the exit code is right, no sentence is false."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)
PRELOADED = [
    "infraval.validation",
    "infraval.report.terminal",
    "infraval.sandbox.process.sandbox",
    "infraval.trial.run",
]
KILLS = {"stand-in": 24, "embedded": 8} if "CI" in os.environ else {"stand-in": 110, "embedded": 40}
"""By server. With TensorFlow's import in them, its runs take seconds. The moments are others in each run of CI."""

Run = Callable[[Path, "float | None", signal.Signals], "tuple[int, str]"]


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A TMPDIR of its own, short enough for a socket below it."""
    path = Path("/tmp", f"infraval-kills-{os.getpid()}-{tmp_path_factory.mktemp('k').name}")  # noqa: S108 - short
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=KILLS)
def arguments(request: pytest.FixtureRequest, upper_model: Path, secret_examples: Path, tmp_path: Path) -> list[str]:
    """A command line without the output, by server."""
    server: Path | str = "embedded"
    if request.param == "stand-in":
        server = tmp_path / "tensorflow_model_server"
        fakes = HERE.parent / "fakes.py"
        server.write_text(f'#!/bin/sh\nexec {sys.executable} {fakes} serve {tmp_path}/boots "$@"\n')
        server.chmod(0o755)
    given = ["validate", "--model", upper_model, "--examples", secret_examples, "--server", server, "--num-tries", "1"]
    return list(map(str, given))


@pytest.fixture
def run(arguments: list[str], temporary: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs a validation in a fork of a process that has all imported, sends it a signal, and waits for its end."""
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE.parent / "prefork.py"), "infraval", *PRELOADED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    ) as prefork:

        def ask(request: dict[str, Any]) -> Any:
            assert prefork.stdin is not None
            assert prefork.stdout is not None
            prefork.stdin.write(json.dumps(request) + "\n")
            prefork.stdin.flush()
            return json.loads(prefork.stdout.readline())

        def kill(output: Path, after_s: float | None, number: signal.Signals) -> tuple[int, str]:
            log.unlink(missing_ok=True)
            argv = [*arguments, "--output", str(output)]
            pid = ask({"argv": argv, "log": str(log), "environment": {"TMPDIR": str(temporary)}})["pid"]
            until_s = None if after_s is None else time.monotonic() + after_s
            while (code := ask({"poll": pid})["code"]) is None:
                time.sleep(0.005)
                if until_s is not None and time.monotonic() >= until_s:
                    os.kill(pid, number)
                    until_s = None
            return code, log.read_text(errors="replace") if log.exists() else ""

        yield kill


def test_a_signal_at_any_moment(
    run: Run,
    temporary: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    arguments: list[str],
    eventually: Callable[..., bool],
    processes_of: Callable[[Path], set[int]],
) -> None:
    """Also while it imports, stages, boots, replays, publishes and cleans up."""
    assert arguments
    server = request.node.callspec.params["arguments"]
    seed = random.randrange(10**9)  # noqa: S311 - moments, not secrets
    moments = random.Random(seed)  # noqa: S311 - the same
    started = time.monotonic()
    code, said = run(tmp_path / "whole", None, signal.SIGTERM)
    took_s = time.monotonic() - started
    assert code == 0, said
    complete = _files(tmp_path / "whole")
    codes: dict[int, int] = {}
    for index in range(KILLS[server]):
        number = moments.choice(SIGNALS)
        output = tmp_path / f"output{index}"
        after_s = moments.uniform(0, took_s)
        code, said = run(output, after_s, number)
        where = f"seed {seed}, kill {index}: {number.name} after {after_s:.3f} s gave {code}\n{said}"
        codes[code] = codes.get(code, 0) + 1
        # Before it handles signals, Python ends by the signal itself; or it was done before the signal came.
        assert code in {0, -number, *([] if number is signal.SIGKILL else [128 + number])}, where
        assert _files(output) in ([], complete), where
        assert code != 0 or _files(output) == complete, where
        assert "please report" not in said, where
        assert "Traceback" not in said, where
        assert eventually(lambda: not processes_of(temporary / "infraval-")), where
        if number is not signal.SIGKILL and code != -number:
            assert not [path for path in temporary.iterdir() if path.name.startswith("infraval-")], where
        shutil.rmtree(output, ignore_errors=True)
    assert len(codes) > 2, codes
    # The next run removes what those killed by SIGKILL had left.
    code, said = run(tmp_path / "last", None, signal.SIGTERM)
    assert code == 0, said
    assert list(temporary.iterdir()) == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("infraval-")]


def _files(output: Path) -> list[str]:
    """Paths of the files in an output; none if it does not exist."""
    return sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
