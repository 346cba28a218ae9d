"""The digits pipeline: images -> a trained model that Pusher gets with its warmup, and only if it serves."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx

# Not from tfx.v1, where TFX 1.21 has None in place of a component that cannot be imported.
from tfx.components.evaluator.component import Evaluator
from tfx.components.example_gen.import_example_gen.component import ImportExampleGen
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base import base_node

import config
import digits
import infraval

# Beam's default looks for a runner to download before it falls back to this one, which runs in this process.
BEAM_PIPELINE_ARGS = ["--runner=FnApiRunner"]

SPECS: Mapping[str, Any] = {
    "requests": infraval.RequestOptions(
        signatures=("serving_default", "serving_preprocess", "classify:classify", "regress:regress"),
        # serving_default's input `x` is fed by the feature of the same name.
        features=("serving_preprocess/raw_images=image",),
        splits=("eval",),
    ),
    "warmup": infraval.WarmupOptions(batch_sizes=(1, 8), compare_cold=True),
    "gates": infraval.GateOptions(robust={"enabled": True}),
}
"""What the validator is asked for: keyword arguments of `WarmupInfraValidator`."""


def make_pipeline(locations: config.Locations) -> tfx.dsl.Pipeline:
    """Puts the pipeline together for this machine.

    Args:
      locations: `examples` must exist; the pipeline writes the rest.
    """
    return tfx.dsl.Pipeline(
        pipeline_name=config.NAME,
        pipeline_root=str(locations.pipeline_root),
        components=make_components(
            data=str(locations.examples),
            destination=str(locations.serving_model),
            trainer={"module_file": str(config.TRAINER_MODULE)},
            specs=SPECS,
        ),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(locations.metadata)
        ),
        enable_cache=True,
        beam_pipeline_args=BEAM_PIPELINE_ARGS,
    )


def make_components(
    *,
    data: str,
    destination: str,
    trainer: Mapping[str, str],
    specs: Mapping[str, Any],
    baseline: bool = False,
    conditional_push: bool = False,
) -> list[base_node.BaseNode]:
    """The pipeline's nodes, wherever they are to run.

    Args:
      data: URI of the folder with a TFRecord file a split.
      destination: URI of the model base path that Pusher adds a version to.
      trainer: Trainer's argument that names its code, `module_file` or `run_fn`.
      specs: keyword arguments of `WarmupInfraValidator`.
      baseline: a Resolver finds the latest blessed model, and Evaluator wants the new one to be no worse.
      conditional_push: Pusher is not started unless both blessings are given; otherwise it starts and pushes nothing.
    """
    example_gen = ImportExampleGen(
        input_base=data,
        input_config=tfx.proto.Input(
            splits=[tfx.proto.Input.Split(name=split, pattern=f"{split}.tfrecord") for split in digits.SPLITS]
        ),
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = StatisticsGen(examples=examples)
    schema_gen = SchemaGen(statistics=statistics_gen.outputs["statistics"])
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    model_trainer = Trainer(examples=examples, **trainer)
    model_trainer.add_upstream_node(example_validator)  # the data is looked at before anything is trained on it
    model = model_trainer.outputs["model"]
    resolver = _latest_blessed_model() if baseline else None
    evaluator = Evaluator(
        examples=examples,
        model=model,
        baseline_model=resolver.outputs["model"] if resolver else None,
        eval_config=_eval_config(baseline=baseline),
    )
    validator = infraval.WarmupInfraValidator(model=model, examples=examples, **specs)
    blessings = {
        "model_blessing": evaluator.outputs["blessing"],
        "infra_blessing": validator.outputs["blessing"],
    }
    with contextlib.ExitStack() as stack:
        if conditional_push:
            for blessing in blessings.values():
                stack.enter_context(tfx.dsl.Cond(blessing.future()[0].custom_property("blessed") == 1))
        # No `model` for Pusher: it then pushes the blessing's copy, the one with the warmup file.
        pusher = Pusher(
            push_destination=tfx.proto.PushDestination(
                filesystem=tfx.proto.PushDestination.Filesystem(base_directory=destination)
            ),
            **blessings,
        )
    nodes = [
        example_gen,
        statistics_gen,
        schema_gen,
        example_validator,
        model_trainer,
        resolver,
        evaluator,
        validator,
        pusher,
    ]
    return [node for node in nodes if node]


def _latest_blessed_model() -> tfx.dsl.Resolver:
    return tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessedModel")


def _eval_config(*, baseline: bool) -> tfma.EvalConfig:
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": config.MIN_ACCURACY})
    )
    if baseline:
        threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.value = -config.MAX_ACCURACY_LOSS
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name="classify", label_key="label", prediction_key="scores")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=threshold)])
        ],
    )
