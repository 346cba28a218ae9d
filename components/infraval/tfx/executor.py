"""TFX's artifacts and protos -> validation -> blessing.

Nothing outside this folder knows artifacts: protos become options (`from_protos`), models are copied in and out
(`artifacts`), and examples are read where they are.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.example_gen import utils as example_gen_utils
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from infraval import errors, escape, options, provenance, signals, validation, verdict, workspace
from infraval.report import data, page
from infraval.requests import beam_transform, fitting
from infraval.storage import beam_files
from infraval.tfx import artifacts, from_protos

_log = logging.getLogger(__name__)

_TFRECORDS_GZIP = "tfrecords_gzip"
_PREDICTION_LOGS = "prediction_logs-"
"""What the names of BulkInferrer's files begin with (tfx/components/bulk_inferrer/executor.py)."""

_NOT_ARGUMENTS = {"model", "examples", "baseline", "output", "make_warmup"}
"""Fields of a job that come from artifacts, or from request_spec."""

_NOT_TFRECORDS = example_gen_pb2.PayloadFormat.FORMAT_PARQUET
"""The one payload format whose files are not TFRecords."""


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
          input_dict: `model`, one Model; `examples`, any number of Examples or none; `expected`, any number of
            InferenceResults or none; `baseline_model`, one Model or none.
          output_dict: `blessing`, one InfraBlessing. Gets the int custom properties `blessed` and, if it holds a
            model, `has_model` (what Pusher reads), and for people `verdict`, `reasons`, `server`, `images` (if it ran
            in containers), `model_digest`, `load_time_s`, `warmup_records`, `requests` and `requests_failed`.
            `blessed_model`, one Model or none; stays empty unless the model is blessed. `report`, one Page or none;
            gets the page. `metrics`, one Metrics or none; gets the verdict and the figures as custom properties.
          exec_properties: see `component.WarmupInfraValidatorSpec`; each a JSON string or absent.

        Raises:
          InfravalError: the model could not be judged; the blessing then holds nothing.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        copies = output_dict.get("blessed_model") or []
        examples = input_dict.get("examples") or []
        asked = from_protos.read(exec_properties, examples=bool(examples))
        expected, baselines = (input_dict.get(name) or [] for name in ("expected", "baseline_model"))
        asked = _with_channels(asked, expected, baselines)
        # Refuses invalid options before any copying.
        job = asked.make_job(model=model.uri, examples="*" if examples else (), baseline="" if baselines else None)
        call = provenance.of_job(job, "WarmupInfraValidator", _NOT_ARGUMENTS)
        _log_plan(examples, asked)
        with (
            signals.abort_on_signal(),
            workspace.workspace() as directory,
            artifacts.results(blessing.uri, directory / "results", "".join(copy.uri for copy in copies)) as output,
        ):
            uri = artifacts.serving_model(model.uri, old=path_utils.is_old_model_artifact(model))
            given = {
                **_with_files(asked, directory),
                "model": artifacts.fetch(uri, directory / "model", errors.ModelError),
                "output": output,
            }
            if baselines:
                baseline = artifact_utils.get_single_instance(baselines)
                uri = artifacts.serving_model(baseline.uri, old=path_utils.is_old_model_artifact(baseline))
                given["baseline"] = artifacts.fetch(uri, directory / "baseline_model", errors.ModelError)
            if self._beam_pipeline_args:
                beam_files.configure(self._beam_pipeline_args)
            job = _make_job(asked, given, examples)
            # If the pipeline does not configure Beam, TFX would take the DirectRunner; see ADR 13.
            configured = self._beam_pipeline_args or self._make_beam_pipeline_fn
            make_pipeline = self._make_beam_pipeline if configured else beam_transform.in_memory_pipeline
            judged = validation.validate(job, make_pipeline, sample_in=blessing.uri if configured else "", asked=call)
            for report in output_dict.get("report") or ():
                artifacts.write_page(output / page.PAGE, report.uri)
        for metrics in output_dict.get("metrics") or ():
            _set_figures(metrics, judged)
        _set_properties(blessing, judged)
        _log_verdict(judged, blessing.uri, warmup=bool(examples and asked.job["make_warmup"]))
        for server in judged.servers:
            by = f" by {server.evidence.server.image}" if len(judged.servers) > 1 else ""
            for finding in server.failures:
                for reason in finding.reasons:
                    _log.error("Not blessed%s (%s): %s", by, finding.gate, escape.one_line(reason))
            if server.evidence.decisive.server_log:
                _log.error("The last lines of the server's log%s:\n%s", by, server.evidence.decisive.server_log)


def _with_files(asked: from_protos.Asked, directory: Path) -> dict[str, Any]:
    """The options that name files at URIs, with these copied to the directory."""
    warmup, server = asked.job["warmup"], asked.job["server"]
    if warmup.batching_parameters_file:
        path = artifacts.fetch(warmup.batching_parameters_file, directory / "batching_parameters", errors.OptionError)
        warmup = warmup.model_copy(update={"batching_parameters_file": str(path)})
    uris = {name: getattr(server, name) for name in options.FILES if getattr(server, name)}
    files = {name: str(artifacts.fetch(uri, directory / name, errors.OptionError)) for name, uri in uris.items()}
    return {"warmup": warmup, "server": server.model_copy(update=files)}


def _with_channels(
    asked: from_protos.Asked, expected: Sequence[types.Artifact], baselines: Sequence[types.Artifact]
) -> from_protos.Asked:
    """What is asked for, with the expected responses; a gate whose channel is empty does not judge."""
    if expected:
        asked = asked.expecting([f"{glob.escape(artifact.uri)}/{_PREDICTION_LOGS}*" for artifact in expected])
    elif not asked.job["requests"].get("expected"):
        asked = asked.without_gate("expected")
    return asked if baselines else asked.without_baseline()


def _log_plan(examples: Sequence[types.Artifact], asked: from_protos.Asked) -> None:
    if not examples:
        note = " (request_spec has no effect without examples)" if asked.request_spec else ""
        _log.info("No examples: the model is only loaded%s.", note)
    if not (examples and asked.job["make_warmup"]):
        _log.warning(
            "The blessed model will be cold: it gets no new warmup records. Give examples, and set make_warmup in "
            "request_spec or leave request_spec out."
        )


def _make_job(asked: from_protos.Asked, given: dict[str, Any], examples: Sequence[types.Artifact]) -> options.Job:
    """The job; if nothing says what to send, only with examples that fit, because InfraValidator would send nothing."""
    if asked.says_requests or not examples:
        return asked.make_job(**given, examples=_patterns(examples, asked.splits))
    try:
        job = asked.make_job(**given, examples=_patterns(examples, asked.splits))
        reason = fitting.misfit(job)
    except errors.ExamplesError as error:
        reason = str(error)
    if reason is None:
        return job
    _log.warning(
        "The model is only loaded, and the blessed model will be cold, because the examples may not fit it: %s Set "
        "request_spec or requests (signatures, features) to say what to send, or leave the examples out.",
        reason,
    )
    return asked.make_job(**given)


def _log_verdict(judged: verdict.Verdict, uri: str, *, warmup: bool) -> None:
    """Logs that a model is blessed, what to know about it, and whether it lacks the warmup file that it was to get."""
    for text in judged.warnings:
        _log.warning("%s", escape.one_line(text))
    for hint in judged.hints:
        _log.warning("Hint: %s", escape.one_line(hint.text))
    for finding in _worst_by_gate(judged).values():
        if finding.status is verdict.Status.UNDECIDED:
            _log.warning("The gate %s is undecided: %s", finding.gate, escape.one_line(" ".join(finding.reasons)))
    _log.info("The report is %s/%s.", uri, page.PAGE)
    if not judged.blessed:
        return
    for shown in (server.evidence for server in judged.servers):
        _log.info(
            "Blessed by %s: loaded in %.1f s, %d warmup records replayed, %d of %d requests answered.",
            escape.one_line(f"{shown.server.image or shown.server.name} ({shown.server.version})"),
            shown.boot.load_time_s or 0,
            shown.boot.records_replayed or 0,
            sum(outcome.ok for outcome in shown.boot.outcomes),
            shown.requests,
        )
    _log.info("The blessed model is in %s.", uri)
    if warmup and not judged.warmup.records:
        _log.warning(
            "The blessed model was to get a warmup file and has none, so what Pusher pushes from %s starts cold.", uri
        )


def _patterns(examples: Sequence[types.Artifact], splits: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns of the shards, which are read where they are."""
    return tuple(f"{glob.escape(uri)}/*" for uri in _split_uris(examples, splits))


def _split_uris(examples: Sequence[types.Artifact], splits: tuple[str, ...]) -> list[str]:
    """Directories of the shards: these splits of every artifact, or its first one if none is named."""
    uris = []
    for artifact in examples:
        _check_format(artifact)
        available = artifact_utils.decode_split_names(artifact.split_names)
        unknown = [split for split in splits if split not in available]
        if not available:
            raise errors.ExamplesError(
                f"The Examples in {artifact.uri} do not say which splits they have: the property split_names is empty. "
                "An ExampleGen sets it; for an Importer, give "
                """properties={"split_names": '["train", "eval"]'} with the names of its Split- directories.""",
                code="examples/no-split",
            )
        if unknown:
            raise errors.ExamplesError(
                f"The Examples in {artifact.uri} have no split {', '.join(unknown)}; they have {', '.join(available)}. "
                "Name one of these (request_spec.split_name, requests.splits).",
                code="examples/no-split",
            )
        for split in splits or available[:1]:
            uris += artifact_utils.get_split_uris([artifact], split)
    return uris


def _check_format(artifact: types.Artifact) -> None:
    """Checks that the files of an Examples artifact are gzipped TFRecords in Split- directories."""
    payload = artifact.get_string_custom_property(example_gen_utils.PAYLOAD_FORMAT_PROPERTY_NAME)
    number = artifact.get_int_custom_property(example_gen_utils.PAYLOAD_FORMAT_PROPERTY_NAME)
    parquet = example_gen_pb2.PayloadFormat.Name(_NOT_TFRECORDS)
    file_format = examples_utils.get_file_format(artifact)
    found = ""
    if payload == parquet or number == _NOT_TFRECORDS:
        found = f"have the payload format {parquet}"
    elif file_format != _TFRECORDS_GZIP:
        found = f"have the file format {file_format}"
    elif artifact.has_custom_property(examples_utils.CUSTOM_SPLIT_PATTERN_PROPERTY_NAME):
        found = f"keep their splits where {examples_utils.CUSTOM_SPLIT_PATTERN_PROPERTY_NAME} says"
    if found:
        raise errors.ExamplesError(
            f"The Examples in {artifact.uri} {found}. infraval reads {_TFRECORDS_GZIP} in Split- directories, as an "
            "ExampleGen writes them by default. Write them so, or leave the examples out to only load the model.",
            code="examples/format",
        )


def _set_properties(blessing: types.Artifact, judged: verdict.Verdict) -> None:
    """Pusher acts on `blessed` and `has_model`, so they are set last, once everything is in place."""
    blessing.set_string_custom_property("reasons", "\n".join(map(escape.one_line, data.reasons(judged))))
    blessing.set_string_custom_property("model_digest", f"sha256:{judged.model_digest}")
    shown = [server.evidence.server for server in judged.servers]
    servers = "\n".join(escape.one_line(f"{server.name} {server.version}") for server in shown)
    blessing.set_string_custom_property("server", servers)
    images = [f"{server.image} {server.image_id}" for server in shown if server.image]
    if images:
        blessing.set_string_custom_property("images", "\n".join(images))
    for name, finding in _worst_by_gate(judged).items():
        blessing.set_string_custom_property(f"gate_{name}", finding.status.value)
    if judged.blessed:
        blessing.set_int_custom_property("has_model", 1)
    _set_figures(blessing, judged)


def _set_figures(artifact: types.Artifact, judged: verdict.Verdict) -> None:
    """The verdict, and what a person compares between runs."""
    artifact.set_string_custom_property("verdict", "BLESSED" if judged.blessed else "NOT_BLESSED")
    shown = [server.evidence for server in judged.servers]
    load_times = [each.decisive.load_time_s for each in shown if each.decisive.load_time_s is not None]
    if load_times:
        artifact.set_float_custom_property("load_time_s", max(load_times))
    artifact.set_int_custom_property("warmup_records", judged.warmup.records)
    outcomes = [outcome for each in shown for outcome in each.decisive.outcomes]
    artifact.set_int_custom_property("requests", len(outcomes))
    artifact.set_int_custom_property("requests_failed", sum(not outcome.ok for outcome in outcomes))
    for name, finding in _worst_by_gate(judged).items():
        if finding.figure is not None:
            artifact.set_float_custom_property(f"gate_{name}_figure", float(finding.figure))
    artifact.set_int_custom_property("blessed", int(judged.blessed))


_SEVERITY = (verdict.Status.FAILED, verdict.Status.UNDECIDED, verdict.Status.PASSED, verdict.Status.SKIPPED)


def _worst_by_gate(judged: verdict.Verdict) -> dict[str, verdict.Finding]:
    """Of several servers' findings, the one that counts."""
    found: dict[str, verdict.Finding] = {}
    for finding in (finding for server in judged.servers for finding in server.findings):
        known = found.setdefault(finding.gate, finding)
        found[finding.gate] = min(known, finding, key=lambda each: _SEVERITY.index(each.status))
    return found
