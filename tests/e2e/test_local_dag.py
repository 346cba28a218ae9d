"""The demo as a reader runs it: LocalDagRunner, real MLMD, TFX's own Pusher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of `pipeline/run_local.py`, run as `make demo` does."""
    results = tmp_path_factory.mktemp("demo") / "results"
    finished = subprocess.run(
        [sys.executable, ROOT / "pipeline" / "run_local.py", "--results", results],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": "/usr/bin:/bin"},
    )
    assert finished.returncode == 0, finished.stderr
    (results / "output.txt").write_text(finished.stdout)
    (results / "errors.txt").write_text(finished.stderr)
    return results


def test_the_pushed_model_starts_warm(demo: Path) -> None:
    """A second boot of what Pusher pushed replays exactly the records that its warmup file holds."""
    (version,) = (demo / "serving_model" / "taxi").iterdir()
    command = [Path(sys.executable).with_name("infraval"), "validate", "--model", version, "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)

    report = json.loads(finished.stdout)
    assert report["verdict"] == "BLESSED"
    assert report["warmup"]["records"] == report["warmup"]["records_replayed"] == 6


def test_the_metadata_says_what_pusher_acted_on(demo: Path) -> None:
    """The blessing in ML Metadata carries Pusher's properties, the verdict and the server that judged."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(demo / "metadata.sqlite")
    store = metadata_store.MetadataStore(config)

    (blessing,) = store.get_artifacts_by_type("InfraBlessing")
    properties = blessing.custom_properties
    assert properties["blessed"].int_value == 1
    assert properties["has_model"].int_value == 1
    assert properties["verdict"].string_value == "BLESSED"
    assert properties["server"].string_value.startswith("infraval embedded server")
    (pushed,) = store.get_artifacts_by_type("PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 1


def test_the_output_is_for_people(demo: Path) -> None:
    """What was pushed and what its warmup covers; none of TensorFlow's start-up noise."""
    output = (demo / "output.txt").read_text()
    assert "BLESSED" in output
    assert "serving_default" in output
    assert str(demo / "serving_model") in output.replace("\n", "")
    assert (demo / "errors.txt").read_text() == ""
