"""What a SavedModel can be asked, as JSON and as a person sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infraval.report import terminal
from infraval.requests import composites, inspection


def test_what_every_input_needs(odd_models: Path) -> None:
    """Defaults, constants and composite parts, by signature."""
    found = inspection.inspect(odd_models / "inputs" / "1")["signatures"]
    assert {key: signature["constants"] for key, signature in found.items() if signature["constants"]} == {
        "only_scalar": ["k"],
        "scalar": ["k"],
    }
    assert found["two_defaults"]["defaults"] == ["b", "k"]
    assert found["none"]["inputs"] == {}
    sparse = inspection.inspect(odd_models / "composite" / "1")["signatures"]["sparse_in"]
    assert (sparse["composite"], sparse["constants"]) == (dict.fromkeys(("s", "s_1", "s_2"), "sparse"), [])


def test_the_method_and_the_name_in_the_model(odd_models: Path) -> None:
    """Any name that is not an RPC's is called by Predict."""
    found = inspection.inspect(odd_models / "methods_tf1" / "1")["signatures"]
    assert [(found[key]["method"], found[key]["method_name"]) for key in ("custom", "empty", "says_regress")] == [
        ("predict", "acme/score"),
        ("predict", ""),
        ("regress", "tensorflow/serving/regress"),
    ]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("inputs", ["k: float[] (has a default)", "k: float[] (needs --input)"]),
        ("composite", ["r_1: int64[?] (ragged: not supported)"]),
        ("methods_tf1", ["predict (acme/score)", "predict (no name)"]),
    ],
)
def test_a_person_sees_them(model: str, shown: list[str], odd_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the input or method."""
    terminal.show_inspection(inspection.inspect(odd_models / model / "1"))
    out = capsys.readouterr().out
    assert [text for text in shown if text not in out] == []
    assert composites.MAYBE_RAGGED not in out
