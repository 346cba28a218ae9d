"""`infraval bench`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Invoke = Callable[..., Any]


@pytest.mark.slow
def test_a_model_is_booted_and_measured(sink_model: Path, sink_examples: Path, invoke: Invoke, tmp_path: Path) -> None:
    """Over both protocols and in both loops, cold and warm; the files have what the terminal shows."""
    written = tmp_path / "b.json", tmp_path / "b.md"
    result = invoke(
        *("bench", "--model", sink_model, "--examples", sink_examples, "--signature", "serving_default"),
        *("--batch-size", 1, "--batch-size", 4, "--server", "embedded", "--rate", 50, "--budget", 2),
        *("--json", written[0], "--markdown", written[1]),
    )
    assert result.exit_code == 0, result.output
    found = json.loads(written[0].read_text(encoding="utf-8"))
    ways = [(each["protocol"], each["loop"], each["latencies"]["cell"]["batch_size"]) for each in found["measured"]]
    assert sorted(ways) == sorted(
        (p, loop, size) for p in ("grpc", "rest") for loop in ("closed", "open") for size in (1, 4)
    )
    for each in found["measured"]:
        assert each["latencies"]["requests"] > 0
        assert (each["error"], each["reason"]) == ("", "")
    assert len(found["cold"]) == len(found["warm"]) == 2
    assert all(name in result.stdout for name in ("gRPC", "REST", "open", "closed", "cold ms"))
    assert "| gRPC |" in written[1].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--rate", "0"], 2),
        (["--budget", "-1"], 2),
        (["--rest", "localhost:8501"], 2),
        (["--gate", "warm.ratio=2"], 2),
        (["--json", "/nonexistent/b.json"], 2),
        ([], 2),  # the sink has no warmup file, so there is nothing to send
    ],
)
def test_mistakes_are_refused(arguments: list[str], code: int, sink_model: Path, invoke: Invoke) -> None:
    """Without a traceback, before anything is sent or booted."""
    result = invoke("bench", "--model", sink_model, "--target", "localhost:1", *arguments)
    assert result.exit_code == code
    assert "Traceback" not in result.output
