"""TFX's own InfraValidator takes infraval/model-server for the official image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import docker
import pytest
from tfx import v1 as tfx
from tfx.components.infra_validator import executor
from tfx.utils import proto_utils

pytestmark = pytest.mark.docker


@pytest.mark.usefixtures("image")
def test_infra_validator_blesses_the_taxi_model(
    engine: docker.DockerClient, base_url: str, tfx_testdata: Path, taxi_examples: Path, tmp_path: Path
) -> None:
    """Local Docker platform, requests built from examples, no infraval in the process; SIGTERM ends the container."""
    artifacts = tfx.types.standard_artifacts
    model, examples, blessing = artifacts.Model(), artifacts.Examples(), artifacts.InfraBlessing()
    model.uri = str(tfx_testdata / "trainer" / "current")
    examples.uri = str(taxi_examples)
    examples.split_names = '["train", "eval"]'
    blessing.uri = str(tmp_path / "blessing")
    protos: dict[str, Any] = {
        "serving_spec": tfx.proto.ServingSpec(
            tensorflow_serving=tfx.proto.TensorFlowServing(image_name="infraval/model-server", tags=["latest"]),
            local_docker=tfx.proto.LocalDockerConfig(client_base_url=base_url),
            model_name="chicago-taxi",
        ),
        "validation_spec": tfx.proto.ValidationSpec(num_tries=1),
        "request_spec": tfx.proto.RequestSpec(
            tensorflow_serving=tfx.proto.TensorFlowServingRequestSpec(signature_names=["serving_default"]),
            num_examples=3,
        ),
    }
    since_s = f"{time.time():.6f}"  # as text, the API takes fractions

    executor.Executor().Do(
        {"model": [model], "examples": [examples]},
        {"blessing": [blessing]},
        {name: proto_utils.proto_to_json(proto) for name, proto in protos.items()},
    )

    assert blessing.get_int_custom_property("blessed") == 1
    ended = engine.events(since=since_s, until=f"{time.time():.6f}", filters={"event": "die"}, decode=True)
    assert [event["Actor"]["Attributes"]["exitCode"] for event in ended] == ["0"]
