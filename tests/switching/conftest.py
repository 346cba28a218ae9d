"""What a pipeline that was switched over leaves behind: ML Metadata, and a pushed model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

import infraval

ReadArtifact = Callable[[Path, str], metadata_store_pb2.Artifact]
BootPushed = Callable[[Path], tuple[int, int | None]]


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
    """Boots the only version in a model base path once more: records of its warmup file, and records replayed."""

    def boot(serving_model: Path) -> tuple[int, int | None]:
        (version,) = serving_model.iterdir()
        judged = infraval.validate(infraval.Job(model=version))
        assert judged.blessed, judged.failures
        return judged.warmup.records, judged.servers[0].evidence.boot.records_replayed

    return boot
