"""The TFX component and its spec."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf import json_format, message
from tfx import types
from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.placeholder import placeholder
from tfx.orchestration import data_types
from tfx.proto import infra_validator_pb2
from tfx.types import component_spec, standard_artifacts

from infraval import errors, options
from infraval.sandbox import registry
from infraval.tfx import executor, from_protos, notebook, report_artifacts

_log = logging.getLogger(__name__)

notebook.register()

_BLESSED_MODEL = "blessed_model"

_LATER = (data_types.RuntimeParameter, placeholder.Placeholder)
"""Arguments whose value is known only when the component runs."""

Carried: TypeAlias = Mapping[str, Any] | str | data_types.RuntimeParameter | None
"""Other forms of an argument: a dict, JSON, or a RuntimeParameter whose value is JSON."""


class WarmupInfraValidatorSpec(component_spec.ComponentSpec):
    """InfraValidator's channels and parameters, and infraval's own after them.

    Not a subclass of TFX's InfraValidatorSpec: the Kubeflow Pipelines v2 compiler rejects that family.
    """

    PARAMETERS = {  # noqa: RUF012 - TFX reads it as a plain class attribute
        name: component_spec.ExecutionParameter(type=kind, optional=True)
        for name, kind in {
            **from_protos.PROTOS,
            **dict.fromkeys((*from_protos.EXTRAS, "server_messages"), str),
        }.items()
    }
    INPUTS = {  # noqa: RUF012 - see PARAMETERS
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "expected": component_spec.ChannelParameter(type=standard_artifacts.InferenceResult, optional=True),
        "baseline_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012 - see PARAMETERS
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
        _BLESSED_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "report": component_spec.ChannelParameter(type=report_artifacts.Page, optional=True),
        "metrics": component_spec.ChannelParameter(type=report_artifacts.Metrics, optional=True),
    }


class WarmupInfraValidator(base_beam_component.BaseBeamComponent):
    """Validates a model in a real model server and outputs a copy that starts warm.

    It replaces InfraValidator between Trainer and Pusher: the same arguments, the same blessing. To push the copy
    that holds the warmup file, give Pusher the blessing and no `model`.

    The output `blessing` (InfraBlessing) carries the int custom properties `blessed` and `has_model` that Pusher
    reads, and holds `stamped_model`, the report in three formats and a marker file.

    The output `blessed_model` (Model), which is there if asked for, is the same copy for components that take a Model
    only. It is empty if the model is not blessed, so run those under a `Cond` on the blessing.

    The outputs `report` (system.HTML) and `metrics` (system.Metrics), which are there if asked for, are what Kubeflow
    Pipelines shows and compares by itself. There, tasks must start with `infraval.tfx.kubeflow_entry_point`.
    """

    SPEC_CLASS = WarmupInfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        serving_spec: infra_validator_pb2.ServingSpec | Carried = None,
        examples: types.BaseChannel | None = None,
        request_spec: infra_validator_pb2.RequestSpec | Carried = None,
        validation_spec: infra_validator_pb2.ValidationSpec | Carried = None,
        *,
        requests: options.RequestOptions | Carried = None,
        warmup: options.WarmupOptions | Carried = None,
        server: options.ServerOptions | Carried = None,
        limits: options.Limits | Carried = None,
        gates: options.GateOptions | Carried = None,
        server_messages: options.ServerMessages | data_types.RuntimeParameter | None = None,
        output_blessed_model: bool = False,
        output_report: bool = False,
        expected: types.BaseChannel | None = None,
        baseline_model: types.BaseChannel | None = None,
    ) -> None:
        """Checks the arguments.

        Args:
          model: channel of the `Model` to validate.
          serving_spec: what serves the model and where; without a platform, the process sandbox.
          examples: channel of the `Examples` to build requests from; without it the model is only loaded.
          request_spec: which requests to build, taken literally: unless it sets `make_warmup`, the model gets no
            warmup file. Without it, examples give one request to serving_default and its warmup file.
          validation_spec: time to load, and number of tries.
          requests: refines request_spec: methods, MultiInference, mapped features, splits.
          warmup: batch sizes to cover, batching parameters, seed, and what to do with a warmup file that came with
            the model.
          server: refines serving_spec: the options of one platform.
          limits: refines validation_spec.
          gates: what the gates judge by, and which of them judge.
          server_messages: how much of a server's messages is shown.
          output_blessed_model: whether there is the output `blessed_model`. It is not there by default, since a
            Resolver for the latest Model would take it for the trained one.
          output_report: whether there are the outputs `report` and `metrics`. They are not there by default, since
            TFX's own entry point for Kubeflow Pipelines does not know their types.
          expected: channel of an `InferenceResult` of BulkInferrer, whose responses the model must give too (gate
            `expected`); an empty one expects nothing.
          baseline_model: channel of the `Model` in production, such as a Resolver's, to compare with (gate `baseline`);
            an empty one is no baseline.

        Raises:
          OptionError: an argument is invalid, as far as that is known before a run gives values to RuntimeParameters.
          PlatformNotBuiltError: infraval does not support the platform yet.
        """
        spec = WarmupInfraValidatorSpec(
            model=model,
            examples=examples,
            expected=expected,
            baseline_model=baseline_model,
            blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            blessed_model=types.Channel(type=standard_artifacts.Model) if output_blessed_model else None,
            report=types.Channel(type=report_artifacts.Page) if output_report else None,
            metrics=types.Channel(type=report_artifacts.Metrics) if output_report else None,
            serving_spec=_checked("serving_spec", serving_spec),
            validation_spec=_checked("validation_spec", validation_spec),
            request_spec=_checked("request_spec", request_spec),
            requests=_checked("requests", requests),
            warmup=_checked("warmup", warmup),
            server=_checked("server", server),
            limits=_checked("limits", limits),
            gates=_checked("gates", gates),
            server_messages=_checked("server_messages", server_messages),
        )
        _check_together(
            spec.exec_properties,
            examples=examples is not None,
            expected=expected is not None,
            baseline=baseline_model is not None,
        )
        super().__init__(spec)
        # Whether a RuntimeParameter asks for a warmup file is not known before the run; assume that it does.
        self._makes_warmup = examples is not None and getattr(request_spec, "make_warmup", True)

    def add_downstream_node(self, downstream_node: Any) -> None:
        """Warns about a Pusher that would push a model without a warmup file.

        Pipelines call it for every node that depends on the blessing. No other place sees both: a running executor is
        told the ids of the nodes after its own, not their inputs.
        """
        super().add_downstream_node(downstream_node)
        if not isinstance(downstream_node, Pusher):
            return
        model = downstream_node.inputs.get("model")
        blessed = model is None or model is self.outputs.get(_BLESSED_MODEL)
        if blessed and not self._makes_warmup:
            _log.warning(
                "%s will push the copy that %s outputs, which starts cold unless the model brings a warmup file: none "
                "is asked for. Give examples, and set make_warmup in request_spec or leave request_spec out.",
                downstream_node.id,
                self.id,
            )
        if not blessed and self._makes_warmup:
            _log.warning(
                "%s is given `model`, so it will push that one, which starts cold. Leave `model` out to push the "
                "copy with the warmup file, which %s outputs.",
                downstream_node.id,
                self.id,
            )


def _check_together(
    exec_properties: Mapping[str, Any], *, examples: bool, expected: bool = False, baseline: bool = False
) -> None:
    """Checks the combination of all arguments that are known now."""
    later = {name for name, value in exec_properties.items() if isinstance(value, _LATER)}
    if not later:
        asked = from_protos.read(exec_properties, examples=examples)
        if expected:
            asked = asked.expecting(("*",))
        asked.make_job(model="", examples="*" if examples else (), baseline="" if baseline else None)
    elif not later & {"serving_spec", "server"}:
        servers = {name: exec_properties.get(name) for name in ("serving_spec", "server")}
        asked = from_protos.read(servers, examples=examples)
    else:
        return
    registry.check_built(asked.job["server"])


def _checked(name: str, given: Any) -> Any:
    """An argument as TFX takes it, checked by itself; options become JSON."""
    if given is None or isinstance(given, _LATER):
        return given
    # A RuntimeParameter, nested or in a string, shows as its JSON.
    text = json_format.MessageToJson(given) if isinstance(given, message.Message) else str(given)
    if re.search(data_types.PARAMETER_NAME_LITERAL, text):
        raise errors.OptionError(
            f"There is a RuntimeParameter within {name}; make {name} as a whole a RuntimeParameter with a JSON value."
        )
    if name in from_protos.EXTRAS:
        return _extra_as_json(name, given)
    if name in from_protos.PROTOS and isinstance(given, options.Options):
        raise errors.OptionError(
            f"{name} takes TFX's proto {from_protos.PROTOS[name].DESCRIPTOR.name}, and was given infraval's "
            f"{type(given).__name__}; pass that as {given.group}."
        )
    return given


def _extra_as_json(name: str, given: Any) -> str:
    kind = from_protos.EXTRAS[name]
    if isinstance(given, str):
        given = options.base.read_object(name, given or "{}")
    if isinstance(given, Mapping):
        if name == "server" and "platform" not in given:
            # The platform may come from serving_spec; both are checked together later.
            return json.dumps(given, sort_keys=True, default=os.fspath)
        given = kind.parse(given)
    if not isinstance(given, kind):
        raise errors.OptionError(
            f"{name} takes infraval's {kind.__name__}, a dict or its JSON, and was given {type(given).__name__}; "
            "TFX's protos are passed as serving_spec, validation_spec and request_spec."
        )
    return given.to_json()
