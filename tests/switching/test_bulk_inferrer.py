"""The blessed model as TFX's other components take it: a Model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tfx import v1 as tfx

import infraval
from infraval import options

RunPipeline = Callable[..., None]


@pytest.fixture
def run_pipeline(run_with: Callable[..., None], tmp_path: Path) -> RunPipeline:
    """Model -> WarmupInfraValidator -> BulkInferrer and Pusher, on LocalDagRunner; results go to `tmp_path`."""

    def run(model: Path) -> None:
        def make(trained: Any, examples: Any) -> list[Any]:
            validator = infraval.WarmupInfraValidator(
                model=trained,
                examples=examples,
                request_spec=tfx.proto.RequestSpec(make_warmup=True),
                server=infraval.ProcessServer(server="embedded"),
                output_blessed_model=True,
                output_report=True,
            )
            blessing, blessed_model = validator.outputs["blessing"], validator.outputs["blessed_model"]
            with tfx.dsl.Cond(blessing.future()[0].custom_property("blessed") == 1):
                inferrer = tfx.components.BulkInferrer(
                    examples=examples,
                    model=blessed_model,
                    data_spec=tfx.proto.DataSpec(example_splits=["eval"]),
                )
            pusher = tfx.components.Pusher(
                model=blessed_model,
                infra_blessing=blessing,
                push_destination=tfx.proto.PushDestination(
                    filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(tmp_path / "serving_model"))
                ),
            )
            return [validator, inferrer, pusher]

        run_with(model, make)

    return run


def _artifacts(metadata: Path, artifact_type: str) -> list[metadata_store_pb2.Artifact]:
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata)
    return list(metadata_store.MetadataStore(config).get_artifacts_by_type(artifact_type))


@pytest.mark.slow
def test_bulk_inferrer_and_pusher_take_the_blessed_model(
    run_pipeline: RunPipeline, taxi_model: Path, tmp_path: Path
) -> None:
    """Every example of the split is inferred with it, and the copy that is pushed has the warmup file."""
    run_pipeline(taxi_model.parents[3])

    (result,) = _artifacts(tmp_path / "metadata.sqlite", "InferenceResult")
    shards = [str(path) for path in Path(result.uri).glob("*.gz")]
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(shards, "GZIP").as_numpy_iterator()
    ]
    assert len(logs) == 5091
    assert {log.WhichOneof("log_type") for log in logs} == {"classify_log"}
    (version,) = (tmp_path / "serving_model").iterdir()
    assert (version / options.WARMUP_FILE).exists()
    (page,) = _artifacts(tmp_path / "metadata.sqlite", "system.HTML")
    (metrics,) = _artifacts(tmp_path / "metadata.sqlite", "system.Metrics")
    assert "BLESSED" in (Path(page.uri) / "report.html").read_text()
    assert metrics.custom_properties["blessed"].int_value == 1


@pytest.mark.slow
def test_bulk_inferrer_does_not_run_on_a_model_that_is_not_blessed(
    run_pipeline: RunPipeline, penguin_model: Path, tmp_path: Path
) -> None:
    """The output is empty, and the pipeline succeeds."""
    run_pipeline(penguin_model.parent)

    metadata = tmp_path / "metadata.sqlite"
    (blessed,) = (each for each in _artifacts(metadata, "Model") if each.uri != str(penguin_model.parent))
    assert list(Path(blessed.uri).iterdir()) == []
    assert _artifacts(metadata, "InferenceResult") == []
    (pushed,) = _artifacts(metadata, "PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 0
