"""What a SavedModel can be asked, as JSON and as a person sees it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, options
from infraval.report import terminal
from infraval.requests import composites, inspection, prediction_logs


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


def test_the_batch_size_of_a_cell_with_a_fixed_vector(odd_models: Path, tmp_path: Path) -> None:
    """`k` has two elements and comes before the batch `x`; nothing but the signature says which is which."""
    shutil.copytree(odd_models / "inputs" / "1", tmp_path / "model")
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "two_defaults"
    for alias, shape in (("k", [2]), ("x", [4, 2])):
        for size in shape:
            log.predict_log.request.inputs[alias].tensor_shape.dim.add(size=size)
    prediction_logs.write(tmp_path / "model" / options.WARMUP_FILE, [log])
    (cell,) = inspection.inspect(tmp_path / "model")["warmup"]["cells"]
    assert cell["batch_size"] == 4


def test_a_base_path_with_one_version_stands_for_the_version(odd_models: Path, tmp_path: Path) -> None:
    """What TF Serving is given may be inspected; with several versions it must be said which."""
    version = odd_models / "inputs" / "1"
    assert inspection.saved_model(version) == version
    assert inspection.saved_model(version.parent) == version
    for number in ("7", "12"):
        (tmp_path / number).mkdir()
        (tmp_path / "notes").mkdir(exist_ok=True)
    with pytest.raises(errors.ModelError, match="12, 7"):
        inspection.saved_model(tmp_path)
    (tmp_path / "saved_model.pbtxt").touch()
    assert inspection.saved_model(tmp_path) == tmp_path
    assert inspection.saved_model(tmp_path / "missing") == tmp_path / "missing"
