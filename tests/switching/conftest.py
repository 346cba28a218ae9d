"""What a pipeline that was switched over leaves behind: ML Metadata, and a pushed model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

import infraval

ReadArtifact = Callable[[Path, str], metadata_store_pb2.Artifact]
RunWith = Callable[..., None]
BootPushed = Callable[[Path], tuple[int, int | None]]


@pytest.fixture
def run_with(taxi_examples: Path, tmp_path: Path) -> RunWith:
    """Runs a pipeline on LocalDagRunner, from a Model and Examples from outside; results go to `tmp_path`.

    It takes the model, a function that makes the other components of the two channels.
    """

    def run(model: Path, make: Callable[[Any, Any], list[Any]]) -> None:
        artifacts = tfx.types.standard_artifacts
        examples = tfx.dsl.Importer(
            source_uri=str(taxi_examples),
            artifact_type=artifacts.Examples,
            properties={"split_names": '["train", "eval"]'},
        ).with_id("Examples")
        trained = tfx.dsl.Importer(source_uri=str(model), artifact_type=artifacts.Model).with_id("Model")
        others = make(trained.outputs["result"], examples.outputs["result"])
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                pipeline_name="taxi",
                pipeline_root=str(tmp_path / "artifacts"),
                components=[examples, trained, *others],
                metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                    str(tmp_path / "metadata.sqlite")
                ),
            )
        )

    return run


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
