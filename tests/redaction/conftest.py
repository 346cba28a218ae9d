"""Redactors that know a model, and the messages TF Serving was recorded to give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infraval.redaction import Redactor

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def sink_saved_model() -> bytes:
    """saved_model.pb of the model that the golden answers are of."""
    return (GOLDEN / "models/sink/1/saved_model.pb").read_bytes()


@pytest.fixture(scope="session")
def redactor(sink_saved_model: bytes) -> Redactor:
    """A redactor for that model, served as `sink` from the base path of the golden log lines."""
    return Redactor(sink_saved_model, ["sink", "/models/sink"])


@pytest.fixture(scope="session")
def golden_messages() -> dict[str, str]:
    """Error messages of a real TF Serving by the name of their case."""
    cases = json.loads((GOLDEN / "grpc.json").read_text(encoding="utf-8"))["cases"]
    return {f"{case['method']} {case['case']}": case["message"] for case in cases if "message" in case}


@pytest.fixture(scope="session")
def golden_logs() -> dict[str, list[str]]:
    """Logs of a real TF Serving by the name of their case, the marks for base path and times filled in."""
    return {
        case["case"]: [line.replace("<base>", "/models/sink").replace("<T>", "41519") for line in case["log"]]
        for name in ("warmup.json", "startup.json")
        for case in json.loads((GOLDEN / name).read_text(encoding="utf-8"))["cases"]
    }
