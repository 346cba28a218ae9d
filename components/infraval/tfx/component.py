"""TFX's face of infraval: spec and component."""

from __future__ import annotations

import logging
from typing import Any

from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration import data_types
from tfx.proto import infra_validator_pb2
from tfx.types import component_spec, standard_artifacts

from infraval import options
from infraval.tfx import executor
from tfx import types

_log = logging.getLogger(__name__)


class WarmupInfraValidatorSpec(component_spec.ComponentSpec):
    """InfraValidator's channels and parameters, and infraval's own behind them.

    Not a subclass of TFX's InfraValidatorSpec: the Kubeflow Pipelines v2 compiler rejects that family.
    """

    PARAMETERS = {  # noqa: RUF012 - TFX reads it as a plain class attribute
        "serving_spec": component_spec.ExecutionParameter(type=infra_validator_pb2.ServingSpec, optional=True),
        "validation_spec": component_spec.ExecutionParameter(type=infra_validator_pb2.ValidationSpec, optional=True),
        "request_spec": component_spec.ExecutionParameter(type=infra_validator_pb2.RequestSpec, optional=True),
        "request_options": component_spec.ExecutionParameter(type=str, optional=True),
        "warmup_spec": component_spec.ExecutionParameter(type=str, optional=True),
        "process_spec": component_spec.ExecutionParameter(type=str, optional=True),
        "docker_spec": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {  # noqa: RUF012 - likewise
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012 - likewise
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
    }


class WarmupInfraValidator(base_beam_component.BaseBeamComponent):
    """Validates a model in a real model server and hands on a copy that starts warm.

    Takes InfraValidator's place between Trainer and Pusher: the same arguments, the same blessing. To push the copy
    that holds the warmup file, give Pusher the blessing and no `model`.

    The output `blessing` (InfraBlessing) carries the int custom properties `blessed` and `has_model` that Pusher
    reads, and holds `stamped_model`, `report.json` and a marker file.
    """

    SPEC_CLASS = WarmupInfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        serving_spec: infra_validator_pb2.ServingSpec | data_types.RuntimeParameter | None = None,
        examples: types.BaseChannel | None = None,
        request_spec: infra_validator_pb2.RequestSpec | data_types.RuntimeParameter | None = None,
        validation_spec: infra_validator_pb2.ValidationSpec | data_types.RuntimeParameter | None = None,
        *,
        request_options: options.RequestOptions | data_types.RuntimeParameter | None = None,
        warmup_spec: options.WarmupSpec | data_types.RuntimeParameter | None = None,
        process_spec: options.ProcessSpec | data_types.RuntimeParameter | None = None,
        docker_spec: options.DockerSpec | data_types.RuntimeParameter | None = None,
    ) -> None:
        """Makes the component; a RuntimeParameter carries a proto or a spec as its JSON.

        Args:
          model: channel of the `Model` to validate.
          serving_spec: what serves the model and where; without a platform, the process sandbox.
          examples: channel of the `Examples` to build requests of; without it the model is only loaded.
          request_spec: which requests to build, taken literally: unless it sets `make_warmup`, the model gets no
            warmup file. Without it, examples give one request to serving_default and its warmup file.
          validation_spec: time to load, and number of tries.
          request_options: what request_spec has no fields for: methods, MultiInference, mapped features, splits.
          warmup_spec: batch sizes to cover, batching parameters, seed, and what to do with a warmup file that came
            with the model.
          process_spec: options of the process sandbox.
          docker_spec: options of the Docker sandbox that serving_spec has no fields for.
        """
        super().__init__(
            WarmupInfraValidatorSpec(
                model=model,
                examples=examples,
                serving_spec=serving_spec,
                validation_spec=validation_spec,
                request_spec=request_spec,
                request_options=_as_json(request_options),
                warmup_spec=_as_json(warmup_spec),
                process_spec=_as_json(process_spec),
                docker_spec=_as_json(docker_spec),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
        # Whether a RuntimeParameter asks for one is not known before the run; it is taken to.
        self._makes_warmup = examples is not None and getattr(request_spec, "make_warmup", True)

    def add_downstream_node(self, downstream_node: Any) -> None:
        """Warns of a Pusher that would push the model without its warmup file.

        Pipelines call it for whatever depends on the blessing. No other place sees both: a running executor is told
        the ids of the nodes behind its own, not their inputs.

        Args:
          downstream_node: a node that runs after this one.
        """
        super().add_downstream_node(downstream_node)
        if self._makes_warmup and isinstance(downstream_node, Pusher) and "model" in downstream_node.inputs:
            _log.warning(
                "%s is given `model`, so it will push that one, which starts cold. Leave `model` out, and it pushes "
                "the copy with the warmup file that %s hands on.",
                downstream_node.id,
                self.id,
            )


def _as_json(given: options.JsonSpec | data_types.RuntimeParameter | None) -> Any:
    return given.to_json() if isinstance(given, options.JsonSpec) else given
