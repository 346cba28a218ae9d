"""Conformance: every REST answer recorded from a real TensorFlow Serving 2.16.1."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent.parent / "golden" / "rest.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]


def same(ours: Any, golden: Any) -> bool:
    """Whether two JSON values are equal, floats nearly so, messages up to the names that TensorFlow gives to nodes."""
    if isinstance(golden, dict):
        return isinstance(ours, dict) and ours.keys() == golden.keys() and all(same(ours[k], golden[k]) for k in golden)
    if isinstance(golden, list):
        return isinstance(ours, list) and len(ours) == len(golden) and all(map(same, ours, golden))
    if isinstance(golden, float):
        both_nan = isinstance(ours, float) and math.isnan(ours) and math.isnan(golden)
        return isinstance(ours, float) and (both_nan or math.isclose(ours, golden, rel_tol=1e-5, abs_tol=1e-6))
    if isinstance(golden, str):
        return isinstance(ours, str) and without_node_names(ours) == without_node_names(golden)
    return bool(ours == golden)


def without_node_names(text: str) -> str:
    """A text with the names that TensorFlow gives to nodes when it loads a graph left out."""
    return re.sub(r"\{\{(node|function_node) [^}]*\}\}", r"{{\1}}", text)


def layout(text: str) -> list[str]:
    """The lines of a response in any order, for C++ orders members by chance, with `0` for each run of digits."""
    return sorted(re.sub(r"\d+", "0", line.rstrip(",")) for line in without_node_names(text).splitlines())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_answers_as_tensorflow_serving(case: dict[str, Any], rest_server: Any) -> None:
    """Status, content type, value and layout of the response are those recorded."""
    response = rest_server.http(case["method"], case["path"], case["body"])
    assert response.status == case["status"]
    assert response.headers["Content-Type"] == case["content_type"]
    if case["content_type"] == "application/json":
        assert same(json.loads(response.text), json.loads(case["response"]))
    assert layout(response.text) == layout(case["response"])
