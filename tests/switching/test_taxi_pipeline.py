"""The taxi pipeline's model and transform graph, through an InfraValidator -> Pusher tail with the import switched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

from infraval import WarmupInfraValidator as InfraValidator  # the switch; all below is written for TFX's own
from infraval import options

RunTail = Callable[..., None]


@pytest.fixture
def run_tail(run_with: Callable[..., None], tmp_path: Path) -> RunTail:
    """Runs the end of a pipeline on LocalDagRunner, on a Model artifact from outside; results go to `tmp_path`."""

    def run(model: Path, *, push_trained_model: bool = False) -> None:
        def make(trained: Any, examples: Any) -> list[Any]:
            infra_validator = InfraValidator(
                model=trained,
                examples=examples,
                serving_spec=tfx.proto.ServingSpec(tensorflow_serving=tfx.proto.TensorFlowServing(tags=["2.16.1"])),
                validation_spec=tfx.proto.ValidationSpec(max_loading_time_seconds=60, num_tries=2),
                request_spec=tfx.proto.RequestSpec(
                    tensorflow_serving=tfx.proto.TensorFlowServingRequestSpec(), num_examples=3, make_warmup=True
                ),
            )
            pusher = tfx.components.Pusher(
                model=trained if push_trained_model else None,
                infra_blessing=infra_validator.outputs["blessing"],
                push_destination=tfx.proto.PushDestination(
                    filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(tmp_path / "serving_model"))
                ),
            )
            return [infra_validator, pusher]

        run_with(model, make)

    return run


@pytest.fixture
def transform_graph_model(tfx_testdata: Path, tmp_path: Path) -> Path:
    """A Model artifact: a small Keras 3 model behind the taxi transform graph with its vocabularies."""
    transform_output = tft.TFTransformOutput(str(tfx_testdata / "transform" / "transform_graph"))
    raw_features = transform_output.raw_feature_spec()
    del raw_features["tips"]  # the label
    inputs = {name: keras.layers.Input((1,), name=name) for name in ("fare_xf", "trip_miles_xf", "company_xf")}
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.concatenate(list(inputs.values()))))
    model.tft_layer = transform_output.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        transformed = model.tft_layer(tf.io.parse_example(examples, raw_features))
        return {"outputs": model({name: tf.cast(transformed[name], tf.float32) for name in inputs})}

    served = tf.Module()
    served.model = model
    served.values = [variable.value for variable in model.variables]
    directory = tmp_path / "trained" / "Format-Serving"
    tf.saved_model.save(served, str(directory), signatures={"serving_default": serve})
    return directory.parent


def test_the_model_is_pushed_warm(
    run_tail: RunTail,
    read_artifact: Callable[[Path, str], metadata_store_pb2.Artifact],
    boot_pushed: Callable[[Path], tuple[int, int | None]],
    taxi_model: Path,
    tmp_path: Path,
) -> None:
    """TFX's own Pusher takes the blessing for InfraValidator's, and a second boot replays what it pushed."""
    run_tail(taxi_model.parents[3])

    blessing = read_artifact(tmp_path / "metadata.sqlite", "InfraBlessing")
    assert blessing.custom_properties["blessed"].int_value == 1
    gates = ("load", "responses", "warmup", "unchanged", "outputs", "warm")
    assert [blessing.custom_properties[f"gate_{gate}"].string_value for gate in gates] == ["passed"] * len(gates)
    assert blessing.custom_properties["gate_warmup_figure"].double_value == 3
    assert blessing.custom_properties["gate_warm_figure"].double_value > 0
    assert "gate_unchanged_figure" not in blessing.custom_properties  # it measures nothing
    assert (Path(blessing.uri) / "INFRA_BLESSED").exists()
    assert boot_pushed(tmp_path / "serving_model") == (3, 3)


@pytest.mark.slow
def test_the_transform_graph_is_pushed_warm(
    run_tail: RunTail,
    boot_pushed: Callable[[Path], tuple[int, int | None]],
    transform_graph_model: Path,
    tmp_path: Path,
) -> None:
    """Its lookup tables need their vocabulary files in the server, in the judged copy and in the pushed one."""
    run_tail(transform_graph_model)

    assert boot_pushed(tmp_path / "serving_model") == (3, 3)


def test_pusher_pushes_the_cold_model_if_it_is_given_one(
    run_tail: RunTail, taxi_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the warning is about: the trained model goes out, and the blessed copy stays behind."""
    run_tail(taxi_model.parents[3], push_trained_model=True)

    (version,) = (tmp_path / "serving_model").iterdir()
    assert (version / "saved_model.pb").exists()
    assert not (version / options.WARMUP_FILE).exists()
    assert "Pusher is given `model`" in caplog.text
