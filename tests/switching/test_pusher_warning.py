"""The warning that Pusher would push a cold model, given when a pipeline is put together."""

from __future__ import annotations

from typing import Any

import pytest
from tfx import v1 as tfx

import infraval

WARNING = "Pusher is given `model`, so it will push that one, which starts cold."

COLD_COPY = "Pusher will push the copy that WarmupInfraValidator outputs, which starts cold"


def _put_together(
    *,
    with_examples: bool,
    request_spec: Any,
    model_for_pusher: bool,
    condition: bool = False,
    blessed_model: bool = False,
) -> None:
    artifacts = tfx.types.standard_artifacts
    examples = tfx.dsl.Importer(source_uri="gs://bucket/examples", artifact_type=artifacts.Examples).with_id("Examples")
    model = tfx.dsl.Importer(source_uri="gs://bucket/model", artifact_type=artifacts.Model).with_id("Model")
    validator = infraval.WarmupInfraValidator(
        model=model.outputs["result"],
        examples=examples.outputs["result"] if with_examples else None,
        request_spec=request_spec,
        output_blessed_model=blessed_model,
    )
    blessing = validator.outputs["blessing"]
    destination = tfx.proto.PushDestination(
        filesystem=tfx.proto.PushDestination.Filesystem(base_directory="gs://bucket/serving")
    )
    models = validator.outputs["blessed_model"] if blessed_model else model.outputs["result"]
    trained = models if model_for_pusher else None
    if condition:
        with tfx.dsl.Cond(blessing.future()[0].custom_property("blessed") == 1):
            pusher = tfx.components.Pusher(model=trained, push_destination=destination)
    else:
        pusher = tfx.components.Pusher(model=trained, infra_blessing=blessing, push_destination=destination)
    components = [examples, model, validator, pusher] if with_examples else [model, validator, pusher]
    tfx.dsl.Pipeline(pipeline_name="warned", pipeline_root="gs://bucket/root", components=components)


@pytest.mark.parametrize(
    "request_spec",
    [
        None,
        tfx.proto.RequestSpec(make_warmup=True),
        tfx.dsl.experimental.RuntimeParameter(name="request-spec", ptype=str, default="{}"),
    ],
)
def test_a_pusher_with_a_model_is_warned_of(request_spec: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whenever a warmup file is, or may be, made."""
    _put_together(with_examples=True, request_spec=request_spec, model_for_pusher=True)

    assert caplog.text.count(WARNING) == 1


def test_a_pusher_under_a_condition_on_the_blessing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It depends on the blessing without having it for an input."""
    _put_together(with_examples=True, request_spec=None, model_for_pusher=True, condition=True)

    assert caplog.text.count(WARNING) == 1


@pytest.mark.parametrize(
    ("with_examples", "request_spec"), [(True, tfx.proto.RequestSpec(num_examples=3)), (False, None)]
)
def test_a_pusher_of_a_copy_without_a_warmup_is_warned_of(
    with_examples: bool, request_spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Where InfraValidator's blessing would hold no model, and Pusher would fail."""
    _put_together(with_examples=with_examples, request_spec=request_spec, model_for_pusher=False)

    assert caplog.text.count(COLD_COPY) == 1


@pytest.mark.parametrize(
    ("with_examples", "request_spec", "model_for_pusher"),
    [
        (True, None, False),
        (True, tfx.proto.RequestSpec(num_examples=3), True),
        (False, None, True),
    ],
    ids=["pushes the blessing", "no warmup asked for", "no examples"],
)
def test_there_is_no_warning_where_pusher_leaves_no_warmup_behind(
    with_examples: bool, request_spec: Any, model_for_pusher: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """InfraValidator as a mere gate before a Pusher with `model` is a pipeline like any other."""
    _put_together(with_examples=with_examples, request_spec=request_spec, model_for_pusher=model_for_pusher)

    assert WARNING not in caplog.text
    assert COLD_COPY not in caplog.text


@pytest.mark.parametrize("condition", [False, True])
def test_the_blessed_model_is_the_warm_one(condition: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A Pusher that is given it by name pushes the copy with the warmup file."""
    _put_together(with_examples=True, request_spec=None, model_for_pusher=True, condition=condition, blessed_model=True)

    assert WARNING not in caplog.text
    assert COLD_COPY not in caplog.text
