"""What a pipeline that was switched over leaves behind: ML Metadata, and a pushed model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

import infraval
from infraval import verdict

ReadArtifact = Callable[[Path, str], metadata_store_pb2.Artifact]
BootPushed = Callable[[Path], verdict.Warmup]


@pytest.fixture(scope="session")
def read_artifact() -> ReadArtifact:
    """Reads the only artifact of a type back from ML Metadata in SQLite, as `docs/reference/report.md` shows it."""

    def read(metadata: Path, artifact_type: str) -> metadata_store_pb2.Artifact:
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(metadata)
        (artifact,) = metadata_store.MetadataStore(config).get_artifacts_by_type(artifact_type)
        return artifact

    return read


@pytest.fixture(scope="session")
def boot_pushed() -> BootPushed:
    """Boots the only version in a model base path once more, with nothing but what was pushed."""

    def boot(serving_model: Path) -> verdict.Warmup:
        (version,) = serving_model.iterdir()
        judged = infraval.validate(infraval.Job(model=version))
        assert judged.blessed, judged.reasons
        return judged.warmup

    return boot
