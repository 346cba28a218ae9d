"""Whether examples fit a model that nobody said how to call: only if the graph, or names, show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from infraval import errors, options
from infraval.requests import fitting

KINDS = {float: "float_list", int: "int64_list", bytes: "bytes_list"}

Misfit = Callable[..., str | None]


def example(**features: Any) -> bytes:
    """A tf.Example."""
    made = tf.train.Example()
    for name, values in features.items():
        getattr(made.features.feature[name], KINDS[type(values[0])]).value.extend(values)
    return made.SerializeToString(deterministic=True)  # the names of tests hold it


@pytest.fixture
def misfit(write_shards: Callable[..., str]) -> Misfit:
    """Why records do not fit a signature of a model."""

    def find(model: Path, signature: str, *records: bytes) -> str | None:
        return fitting.misfit(
            options.Job(
                model=model,
                examples=(write_shards(records),),
                requests=options.RequestOptions(signatures=(signature,)),
            )
        )

    return find


PENGUIN = {name: [0.5] for name in ("body_mass_g", "culmen_depth_mm", "culmen_length_mm", "flipper_length_mm")}


@pytest.mark.parametrize(
    "records",
    [
        [example(**PENGUIN)],
        [example(**PENGUIN, species=[1])] * 3,
    ],
)
def test_records_that_the_graph_can_parse(records: list[bytes], misfit: Misfit, penguin_model: Path) -> None:
    """Features that it does not parse do no harm."""
    assert misfit(penguin_model, "serving_default", *records) is None


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (example(**{f"{name}_xf": values for name, values in PENGUIN.items()}), "no feature 'body_mass_g'"),
        (example(**PENGUIN | {"culmen_depth_mm": [7]}), "'culmen_depth_mm' has kind int64_list"),
        (example(**PENGUIN | {"culmen_depth_mm": [0.5, 0.5]}), "'culmen_depth_mm' does not have the 1 values"),
        (b"\xff no tf.Example", "not a tf.Example"),
    ],
)
def test_records_that_it_cannot(record: bytes, why: str, misfit: Misfit, penguin_model: Path) -> None:
    """Transformed ones, another kind or number of values; also if the first record fits."""
    assert why in str(misfit(penguin_model, "serving_default", example(**PENGUIN), record))


MILES, V, NOTHING = example(trip_miles=[0.5]), example(v=[0.5, 0.5, 0.5]), example()


@pytest.mark.parametrize(
    ("model", "signature", "context", "examples", "why"),
    [
        ("taxi", "regression", MILES, [NOTHING, NOTHING], None),
        ("taxi", "regression", NOTHING, [MILES, MILES], None),
        ("taxi", "regression", NOTHING, [V], "none of the features"),
        ("sink", "regress:regress", V, [NOTHING], None),
        ("sink", "regress:regress", NOTHING, [NOTHING, V], "no feature 'v'"),
        ("sink", "regress:predict", V, [NOTHING], "regress:classify or regress:regress"),
    ],
)
def test_lists_with_a_context(
    model: str,
    signature: str,
    context: bytes,
    examples: list[bytes],
    why: str | None,
    misfit: Misfit,
    request: pytest.FixtureRequest,
) -> None:
    """What is required may be in the context, or else in each example."""
    parse = tf.train.Example.FromString
    listed = input_pb2.ExampleListWithContext(examples=map(parse, examples), context=parse(context))
    found = misfit(request.getfixturevalue(f"{model}_model"), signature, listed.SerializeToString(deterministic=True))
    assert (found is None) if why is None else (why in str(found))


def test_records_without_any_of_many_optional_features(misfit: Misfit, taxi_model: Path) -> None:
    """An Estimator's graph requires none, but such records are for another model."""
    assert "none of the features" in str(misfit(taxi_model, "predict", example(trip_miles_xf=[0.5])))


def test_real_records_fit_their_model(misfit: Misfit, taxi_model: Path, taxi_records: list[bytes]) -> None:
    """For Classify as for Predict."""
    assert misfit(taxi_model, "classification", *taxi_records) is None


@pytest.mark.parametrize(
    ("signature", "record", "fits"),
    [
        ("two_inputs", example(a=[0.5], b=[1]), True),
        ("two_inputs", example(a=[0.5]), False),
        ("two_inputs", example(a=[0.5], b=[0.5]), False),
        ("strings", example(s=[b"x"]), True),
        ("strings", example(other=[b"x"]), False),
        ("strings", b"\xff no tf.Example", False),
        ("nowhere", example(a=[0.5]), False),
    ],
)
def test_tensor_inputs_need_features_of_their_names(
    signature: str, record: bytes, fits: bool, misfit: Misfit, sink_model: Path
) -> None:
    """And of their kinds; that a feature is the only one of strings is no proof."""
    assert (misfit(sink_model, signature, record) is None) == fits


def test_what_cannot_be_read_is_an_error(misfit: Misfit, tmp_path: Path) -> None:
    """The caller decides what it means."""
    with pytest.raises(errors.ModelError):
        misfit(tmp_path, "serving_default", example(a=[0.5]))
