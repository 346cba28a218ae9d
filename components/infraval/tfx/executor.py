"""TFX's artifacts and protos -> validation -> blessing.

Everything below this module runs without tfx and sees local files only: protos become `spec` dataclasses here, and
what a remote URI names is copied in and out (`remote`).
"""

from __future__ import annotations

import dataclasses
import glob
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import infra_validator_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from infraval import errors, options, signals, validation, verdict, workspace
from infraval.report import data
from infraval.tfx import artifacts
from tfx import types

_log = logging.getLogger(__name__)

_TFRECORDS_GZIP = "tfrecords_gzip"

_DEFAULT_IMAGE = "tensorflow/serving"
"""What InfraValidator runs when TensorFlowServing names no image (tfx/components/infra_validator/serving_bins.py)."""


class Executor(base_beam_executor.BaseBeamExecutor):
    """Validates one model."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the validation.

        Args:
          input_dict: `model`, one Model; `examples`, any number of Examples or none.
          output_dict: `blessing`, one InfraBlessing. Gets the int custom properties `blessed` and, if it holds a
            model, `has_model` (what Pusher reads), and for people `verdict`, `reasons`, `server`, `images` (if it ran
            in containers), `model_digest`, `load_time_s`, `warmup_records`, `requests` and `requests_failed`.
          exec_properties: see `component.WarmupInfraValidatorSpec`; each a JSON string or absent.

        Raises:
          InfravalError: the model could not be judged; the blessing then holds nothing.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        examples = input_dict.get("examples") or []
        given = _parse(exec_properties.get("request_spec"), infra_validator_pb2.RequestSpec)
        request_options = options.RequestOptions.from_json(exec_properties.get("request_options") or "{}")
        requests, make_warmup = _request_spec(given, request_options)
        warmup = options.WarmupSpec.from_json(exec_properties.get("warmup_spec") or "{}")
        _check_combination(examples, request_options, warmup, make_warmup=make_warmup)
        _log_plan(examples, make_warmup=make_warmup, requested=given is not None)
        splits = request_options.splits or ((given.split_name,) if given and given.split_name else ())
        with (
            signals.abort_on_signal(),
            workspace.workspace() as directory,
            artifacts.results(blessing.uri, directory / "results") as output,
        ):
            job = options.Job(
                serving=_serving_spec(exec_properties),
                validation=_validation_spec(exec_properties),
                requests=requests,
                make_warmup=make_warmup,
                warmup=_fetch_parameters(warmup, directory),
                model=_fetch_model(model, directory),
                examples=tuple(
                    os.path.join(glob.escape(str(fetched)), "*")  # noqa: PTH118 - a glob
                    for fetched in _fetch_examples(examples, splits, directory)
                ),
                output=output,
            )
            judged = validation.validate(job, self._make_beam_pipeline if self._configures_beam() else None)
        _set_properties(blessing, judged)
        for server in judged.servers:
            by = f" by {server.evidence.server.image}" if len(judged.servers) > 1 else ""
            for finding in server.failures:
                for reason in finding.reasons:
                    _log.error("Not blessed%s (%s): %s", by, finding.gate, reason)
            if server.evidence.decisive.server_log:
                _log.error("The last lines of the server's log%s:\n%s", by, server.evidence.decisive.server_log)

    def _configures_beam(self) -> bool:
        """Whether the pipeline says on what runner; TFX's default would be the DirectRunner, see ADR 13."""
        return bool(self._beam_pipeline_args or self._make_beam_pipeline_fn)


def _parse(text: str | None, proto_class: type[message.Message]) -> Any:
    """The proto in an exec property, None if it is not set."""
    if not text:
        return None
    try:
        return json_format.Parse(text, proto_class(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise errors.OptionError(f"{proto_class.DESCRIPTOR.name} is not what its proto says: {error}") from None


def _request_spec(
    given: infra_validator_pb2.RequestSpec | None, request_options: options.RequestOptions
) -> tuple[options.RequestSpec, bool]:
    make_warmup = True if given is None else given.make_warmup
    given = given or infra_validator_pb2.RequestSpec()
    named = request_options.signatures or tuple(given.tensorflow_serving.signature_names)
    requests = options.RequestSpec(
        signatures=named or (() if request_options.multi_inference else (options.DEFAULT_SIGNATURE,)),
        num_examples=given.num_examples or options.RequestSpec.num_examples,
        # InfraValidator's own default, whatever other MetaGraphDefs there are.
        tag_set=tuple(given.tensorflow_serving.tag_set) or ("serve",),
        multi_inference=request_options.multi_inference,
        features=request_options.features,
        max_dead_letter_share=request_options.max_dead_letter_share,
    )
    return requests, make_warmup


def _serving_spec(exec_properties: dict[str, Any]) -> options.ServingSpec:
    given = _parse(exec_properties.get("serving_spec"), infra_validator_pb2.ServingSpec)
    process = options.ProcessSpec.from_json(exec_properties.get("process_spec") or "{}")
    docker = options.DockerSpec.from_json(exec_properties.get("docker_spec") or "{}")
    if given is None:
        return options.ServingSpec(process=process, docker=docker)
    platforms = {"local_docker": options.Platform.DOCKER, "kubernetes": options.Platform.KUBERNETES}
    platform = platforms.get(given.WhichOneof("serving_platform"), options.Platform.PROCESS)
    images: tuple[str, ...] = ()
    if platform is options.Platform.DOCKER:
        images = _images(given.tensorflow_serving)
        docker = _with_engine(docker, given.local_docker)
    elif platform is options.Platform.PROCESS and given.HasField("tensorflow_serving"):
        _log.warning("ServingSpec names an image and no platform; the process sandbox runs no image and ignores it.")
    return options.ServingSpec(platform, given.model_name or options.DEFAULT_MODEL_NAME, process, images, docker)


def _images(given: infra_validator_pb2.TensorFlowServing) -> tuple[str, ...]:
    """References as InfraValidator forms them."""
    name = given.image_name or _DEFAULT_IMAGE
    return (*(f"{name}:{tag}" for tag in given.tags), *(f"{name}@{digest}" for digest in given.digests))


def _with_engine(docker: options.DockerSpec, given: infra_validator_pb2.LocalDockerConfig) -> options.DockerSpec:
    """The options, with what LocalDockerConfig says of the engine in their place."""
    said = {
        "base_url": given.client_base_url,
        "api_version": given.client_api_version,
        "client_timeout_s": float(given.client_timeout_seconds),
        "host_ip_address": "" if given.host_ip_address == "localhost" else given.host_ip_address,
    }
    return dataclasses.replace(docker, **{name: value for name, value in said.items() if value})


def _validation_spec(exec_properties: dict[str, Any]) -> options.ValidationSpec:
    given = _parse(exec_properties.get("validation_spec"), infra_validator_pb2.ValidationSpec)
    if given is None:
        return options.ValidationSpec()
    default = options.ValidationSpec()
    return options.ValidationSpec(
        max_loading_time_s=given.max_loading_time_seconds or default.max_loading_time_s,
        num_tries=given.num_tries or default.num_tries,
    )


def _check_combination(
    examples: Sequence[types.Artifact],
    request_options: options.RequestOptions,
    warmup: options.WarmupSpec,
    *,
    make_warmup: bool,
) -> None:
    if request_options != options.RequestOptions() and not examples:
        raise errors.OptionError(
            "request_options is about the requests, and there are no examples; drop the one or give the other."
        )
    default = options.WarmupSpec()
    if not make_warmup and (warmup.existing, warmup.max_records) != (default.existing, default.max_records):
        raise errors.OptionError(
            "warmup_spec says what to write to the warmup file, and request_spec without make_warmup wants none "
            "written; set make_warmup, or drop existing and max_records."
        )


def _log_plan(examples: Sequence[types.Artifact], *, make_warmup: bool, requested: bool) -> None:
    if not examples:
        note = " (request_spec is of no use without examples)" if requested else ""
        _log.info("No examples: the model is only loaded%s.", note)
    if not (examples and make_warmup):
        _log.warning(
            "The blessed model will be cold: it gets no new warmup records. Give examples, and set make_warmup in "
            "request_spec or leave request_spec out."
        )


def _fetch_model(model: types.Artifact, directory: Path) -> Path:
    uri = artifacts.serving_model(model.uri, old=path_utils.is_old_model_artifact(model))
    return artifacts.fetch(uri, directory / "model", errors.ModelError)


def _fetch_examples(examples: Sequence[types.Artifact], splits: tuple[str, ...], directory: Path) -> list[Path]:
    return [
        artifacts.fetch(uri, directory / f"examples-{number}", errors.ExamplesError)
        for number, uri in enumerate(_split_uris(examples, splits))
    ]


def _fetch_parameters(warmup: options.WarmupSpec, directory: Path) -> options.WarmupSpec:
    if not warmup.batching_parameters_file:
        return warmup
    path = artifacts.fetch(warmup.batching_parameters_file, directory / "batching_parameters", errors.OptionError)
    return dataclasses.replace(warmup, batching_parameters_file=str(path))


def _split_uris(examples: Sequence[types.Artifact], splits: tuple[str, ...]) -> list[str]:
    """Directories of the shards: these splits of every artifact, the first one if none is named."""
    uris = []
    for artifact in examples:
        available = artifact_utils.decode_split_names(artifact.split_names)
        unknown = [split for split in splits if split not in available]
        if unknown or not available:
            raise errors.ExamplesError(
                f"The Examples in {artifact.uri} have no split {', '.join(unknown) or 'at all'}; they have "
                f"{', '.join(available) or 'none'}. Name one of these (RequestSpec.split_name, RequestOptions.splits)."
            )
        file_format = examples_utils.get_file_format(artifact)
        if file_format != _TFRECORDS_GZIP:
            raise errors.ExamplesError(
                f"The Examples in {artifact.uri} are in the format {file_format}; infraval reads {_TFRECORDS_GZIP}."
            )
        for split in splits or available[:1]:
            uris += artifact_utils.get_split_uris([artifact], split)
    return uris


def _set_properties(blessing: types.Artifact, judged: verdict.Verdict) -> None:
    """Pusher acts on these, so they are set last, once everything is in place."""
    blessing.set_string_custom_property("verdict", "BLESSED" if judged.blessed else "NOT_BLESSED")
    blessing.set_string_custom_property("reasons", "\n".join(data.reasons(judged)))
    blessing.set_string_custom_property("model_digest", f"sha256:{judged.model_digest}")
    shown = [server.evidence for server in judged.servers]
    load_times = [each.decisive.load_time_s for each in shown if each.decisive.load_time_s is not None]
    if load_times:
        blessing.set_float_custom_property("load_time_s", max(load_times))
    blessing.set_int_custom_property("warmup_records", judged.warmup.records)
    outcomes = [outcome for each in shown for outcome in each.decisive.outcomes]
    blessing.set_int_custom_property("requests", len(outcomes))
    blessing.set_int_custom_property("requests_failed", sum(not outcome.ok for outcome in outcomes))
    blessing.set_string_custom_property(
        "server", "\n".join(f"{each.server.name} {each.server.version}" for each in shown)
    )
    images = [f"{each.server.image} {each.server.image_id}" for each in shown if each.server.image]
    if images:
        blessing.set_string_custom_property("images", "\n".join(images))
    if judged.blessed:
        blessing.set_int_custom_property("has_model", 1)
    blessing.set_int_custom_property("blessed", int(judged.blessed))
