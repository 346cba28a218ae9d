"""The digits pipeline: images -> a trained model that Pusher gets with its warmup, and only if it serves."""

from __future__ import annotations

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx

import config
import digits
import infraval


def make_pipeline(locations: config.Locations) -> tfx.dsl.Pipeline:
    """Puts the pipeline together.

    Args:
      locations: `examples` has to be there; the rest is what the pipeline writes.
    """
    example_gen = tfx.components.ImportExampleGen(
        input_base=str(locations.examples),
        input_config=tfx.proto.Input(
            splits=[tfx.proto.Input.Split(name=split, pattern=f"{split}.tfrecord") for split in digits.SPLITS]
        ),
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    schema_gen = tfx.components.SchemaGen(statistics=statistics_gen.outputs["statistics"])
    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    trainer = tfx.components.Trainer(module_file=str(config.TRAINER_MODULE), examples=examples)
    trainer.add_upstream_node(example_validator)  # the data is looked at before anything is trained on it
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        eval_config=tfma.EvalConfig(
            model_specs=[tfma.ModelSpec(signature_name="classify", label_key="label", prediction_key="scores")],
            slicing_specs=[tfma.SlicingSpec()],
            metrics_specs=[
                tfma.MetricsSpec(
                    metrics=[
                        tfma.MetricConfig(
                            class_name="SparseCategoricalAccuracy",
                            threshold=tfma.MetricThreshold(
                                value_threshold=tfma.GenericValueThreshold(lower_bound={"value": config.MIN_ACCURACY})
                            ),
                        )
                    ]
                )
            ],
        ),
    )
    validator = infraval.WarmupInfraValidator(
        model=trainer.outputs["model"],
        examples=examples,
        request_options=infraval.RequestOptions(
            signatures=("serving_default", "serving_preprocess", "classify:classify", "regress:regress"),
            # serving_default's input `x` is fed by the feature of the same name.
            features=("serving_preprocess/raw_images=image",),
            splits=("eval",),
        ),
        warmup_spec=infraval.WarmupSpec(batch_sizes=(1, 8), compare_cold=True),
    )
    # No `model` for Pusher: it then pushes the blessing's copy, the one with the warmup file.
    pusher = tfx.components.Pusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=validator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(locations.serving_model))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=config.NAME,
        pipeline_root=str(locations.pipeline_root),
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            trainer,
            evaluator,
            validator,
            pusher,
        ],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(locations.metadata)
        ),
        enable_cache=True,
        # Beam's default looks for a runner to download before it falls back to this one, which runs in this process.
        beam_pipeline_args=["--runner=FnApiRunner"],
    )
