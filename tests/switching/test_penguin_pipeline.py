"""TFX's own penguin pipeline with InfraValidator: the wheel's code, but for the switch, on the wheel's records."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

SWITCH = {
    r"from tfx import v1 as tfx": "import infraval\nfrom tfx import v1 as tfx",
    r"tfx\.components\.InfraValidator\(": "infraval.WarmupInfraValidator(",
    r"local_docker=tfx\.proto\.LocalDockerConfig\([^)]*\),": "",  # no platform: the process sandbox
}

RECORDS = {r"tfx\.components\.CsvExampleGen\(": "tfx.components.ImportExampleGen("}  # the wheel has no penguin CSV

FIXED_EXPORT = {
    r"  tf\.saved_model\.save\(model, ": (
        "  served = tf.Module()\n"
        "  served.model = model\n"
        "  served.values = [variable.value for variable in model.variables]\n"
        "  tf.saved_model.save(served, "
    )
}


@pytest.fixture(scope="session")
def penguin_code(tfx_testdata: Path) -> Path:
    """The wheel's `tfx/examples/penguin`."""
    return tfx_testdata.parents[1] / "examples" / "penguin"


@pytest.fixture
def run_pipeline(penguin_code: Path, tfx_testdata: Path, tmp_path: Path) -> Callable[[Path], None]:
    """Runs the switched pipeline on LocalDagRunner with this module file; its results go to `tmp_path`."""
    penguins = tfx_testdata / "penguin"

    def run(module_file: Path) -> None:
        switched = tmp_path / "penguin_pipeline_switched.py"
        _rewrite(penguin_code / "penguin_pipeline_local_infraval.py", switched, SWITCH | RECORDS)
        spec = importlib.util.spec_from_file_location(switched.stem, switched)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        labelled = tmp_path / "data" / "labelled"
        labelled.mkdir(parents=True)
        for split in ("train", "eval"):
            (shard,) = (penguins / "data" / f"Split-{split}").iterdir()
            (labelled / f"{split}-{shard.name}").symlink_to(shard)
        tfx.orchestration.LocalDagRunner().run(
            module._create_pipeline(  # noqa: SLF001 - the name that TFX's example has for it
                pipeline_name="penguin",
                pipeline_root=str(tmp_path / "artifacts"),
                data_root=str(tmp_path / "data"),
                module_file=str(module_file),
                accuracy_threshold=0.1,
                serving_model_dir=str(tmp_path / "serving_model"),
                metadata_path=str(tmp_path / "metadata.sqlite"),
                user_provided_schema_path=str(penguins / "schema" / "schema.pbtxt"),
                beam_pipeline_args=[],
                infra_validator_host_ip_address="localhost",
                make_warmup=True,
            )
        )

    return run


def _rewrite(source: Path, target: Path, changes: Mapping[str, str]) -> None:
    """Copies a module with each pattern replaced, which has to be there once."""
    text = source.read_text()
    for pattern, replacement in changes.items():
        text, found = re.subn(pattern, replacement, text)
        assert found == 1, f"{pattern} is {found} times in {source}"
    target.write_text(text)


@pytest.mark.slow
def test_as_shipped_the_model_cannot_be_served_and_is_not_pushed(
    run_pipeline: Callable[[Path], None],
    read_artifact: Callable[[Path, str], metadata_store_pb2.Artifact],
    penguin_code: Path,
    tmp_path: Path,
) -> None:
    """Evaluator blesses the Keras 3 model; TF Serving has no value for its variables, and the verdict names one."""
    run_pipeline(penguin_code / "penguin_utils_keras.py")

    metadata = tmp_path / "metadata.sqlite"
    blessing = read_artifact(metadata, "InfraBlessing").custom_properties
    assert read_artifact(metadata, "ModelBlessing").custom_properties["blessed"].int_value == 1
    assert blessing["verdict"].string_value == "NOT_BLESSED"
    assert blessing["blessed"].int_value == 0
    assert "Could not find variable dense" in blessing["reasons"].string_value
    assert read_artifact(metadata, "PushedModel").custom_properties["pushed"].int_value == 0
    assert not (tmp_path / "serving_model").exists()


@pytest.mark.slow
def test_with_its_export_fixed_the_model_is_pushed_warm(
    run_pipeline: Callable[[Path], None],
    read_artifact: Callable[[Path, str], metadata_store_pb2.Artifact],
    boot_pushed: Callable[[Path], tuple[int, int | None]],
    penguin_code: Path,
    tmp_path: Path,
) -> None:
    """The same pipeline pushes the blessing's copy, and a second boot of it replays its warmup record."""
    module_file = tmp_path / "module" / "penguin_utils_keras.py"
    module_file.parent.mkdir()
    _rewrite(penguin_code / module_file.name, module_file, FIXED_EXPORT)

    run_pipeline(module_file)

    metadata = tmp_path / "metadata.sqlite"
    blessing = read_artifact(metadata, "InfraBlessing").custom_properties
    assert blessing["verdict"].string_value == "BLESSED", blessing["reasons"].string_value
    assert read_artifact(metadata, "PushedModel").custom_properties["pushed"].int_value == 1
    assert boot_pushed(tmp_path / "serving_model") == (1, 1)
