"""Data that nobody here wrote: what the tfx wheel carries, and the recorded model of tests/golden."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("infraval", deadline=None)  # a busy machine is no failure of a law
hypothesis.settings.load_profile("infraval")


@pytest.fixture(scope="session")
def tfx_testdata() -> Path:
    """`tfx/components/testdata`, found without importing tfx."""
    found = importlib.util.find_spec("tfx")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "components" / "testdata"


@pytest.fixture(scope="session")
def taxi_model(tfx_testdata: Path) -> Path:
    """SavedModel of an Estimator for the taxi Examples: classification, predict, regression, serving_default."""
    return tfx_testdata / "trainer" / "current" / "Format-Serving" / "export" / "chicago-taxi" / "1646034756"


@pytest.fixture(scope="session")
def taxi_examples(tfx_testdata: Path) -> Path:
    """An Examples artifact: 15,000 tf.Examples in Split-train and Split-eval, twelve gzip shards each."""
    return tfx_testdata / "csv_example_gen"


@pytest.fixture(scope="session")
def penguin_model(tfx_testdata: Path) -> Path:
    """SavedModel of another data set: fails on every taxi Example."""
    return tfx_testdata / "trainer" / "keras" / "Format-Serving"


@pytest.fixture(scope="session")
def sink_model() -> Path:
    """SavedModel with nine signatures, the one the golden answers were recorded with."""
    return Path(__file__).parent / "golden" / "models" / "sink" / "1"
