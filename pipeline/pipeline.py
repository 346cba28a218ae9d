"""Chicago-taxi Examples and Model -> WarmupInfraValidator -> Pusher."""

from __future__ import annotations

from pathlib import Path

from tfx import v1 as tfx

import config
import infraval


def make_pipeline(locations: config.Locations, testdata: Path) -> tfx.dsl.Pipeline:
    """Puts the pipeline together.

    Args:
      locations: where its results go.
      testdata: the tfx wheel's folder with the taxi Examples and Model.
    """
    imported_examples = tfx.dsl.Importer(
        source_uri=str(testdata / "csv_example_gen"),
        artifact_type=tfx.types.standard_artifacts.Examples,
        properties={"split_names": '["train", "eval"]'},
    ).with_id("Examples")
    imported_model = tfx.dsl.Importer(
        source_uri=str(testdata / "trainer" / "current"), artifact_type=tfx.types.standard_artifacts.Model
    ).with_id("Model")
    validator = infraval.WarmupInfraValidator(
        model=imported_model.outputs["result"],
        examples=imported_examples.outputs["result"],
        request_spec=tfx.proto.RequestSpec(
            tensorflow_serving=tfx.proto.TensorFlowServingRequestSpec(
                signature_names=["serving_default", "predict", "regression"]
            ),
            split_name="eval",
            make_warmup=True,
        ),
        warmup_spec=infraval.WarmupSpec(batch_sizes=(1, 8)),
    )
    # No `model` for Pusher: it then pushes the blessing's copy, the one with the warmup file.
    pusher = tfx.components.Pusher(
        infra_blessing=validator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(locations.serving_model))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=config.NAME,
        pipeline_root=str(locations.pipeline_root),
        components=[imported_examples, imported_model, validator, pusher],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(locations.metadata)
        ),
    )
