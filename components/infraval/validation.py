"""The order of the stages: requests, staging, trial, gates, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from infraval import escape, hints, options, provenance, publish, signals, verdict, workspace
from infraval import gates as all_gates
from infraval import progress as telling
from infraval.production import files as production_files
from infraval.requests import expected, preparation
from infraval.sandbox import registry
from infraval.staging import model as staging
from infraval.trial import run

if TYPE_CHECKING:
    import apache_beam as beam

_log = logging.getLogger(__name__)


def _tell_log(text: str) -> None:
    _log.info("%s", escape.one_line(text))


@signals.abort_on_signal()
def validate(
    job: options.Job,
    make_pipeline: Callable[[], beam.Pipeline] | None = None,
    progress: Callable[[str], None] | None = None,
    gates: Sequence[all_gates.Gate] | None = None,
    sample_in: str = "",
    asked: str = "",
) -> verdict.Verdict:
    """Judges a model by serving it for real, and publishes it with its warmup file if it passes.

    Args:
      job: what to validate.
      make_pipeline: makes the Beam pipeline that reads the examples; by default processes of this machine read them.
      progress: called with a sentence about each step, and how far it is (`infraval.progress`); by default the log.
      gates: what the model must pass; by default the gates that the job chooses.
      sample_in: path or URI of a directory that this process and the pipeline's workers can write; the sample of the
        examples comes back through a folder in it, which is removed. By default a temporary directory of this machine.
      asked: what asked for the job, for the report: a command line, or a call. By default the call of this function.

    Returns:
      The verdict. With an `output`, it is also on disk: the report, the marker, and for a blessed model
      `stamped_model`.

    Raises:
      InfravalError: the model could not be judged; the output is then empty.
    """
    progress = progress or telling.rarely(_tell_log)
    recorder = provenance.Recorder()
    recorder.begin("checks")
    platform = registry.platform(job.server)
    # The cheapest first: looking for what the job names takes a moment, pulling an image minutes.
    if job.output is not None:
        publish.check_output(job.output)
    production = production_files.read(job)
    job = production.job
    for note in production.notes:
        progress(note)
    selection = preparation.select(job)
    all_gates.check(job.gates, selection.signatures, selection.targets)
    platform.check(job.server, progress)
    with workspace.workspace() as directory, contextlib.ExitStack() as stack:
        known = expected.read(job, selection.signatures, directory / "expected")
        ahead = stack.enter_context(run.starting(production, directory / "models", directory))
        recorder.begin("requests")
        logs, examples = preparation.build(job, selection, directory / "requests", make_pipeline, progress, sample_in)

        recorder.begin("staging")
        progress("Staging the model")
        constants = examples.constants if examples else {}
        staged = staging.stage(job, logs, directory / "models", constants)

        baseline = None
        if job.baseline is not None and (job.compares or job.on("swap")):
            baseline = staging.stage_as_it_is(job, job.baseline, directory / "baseline")

        recorder.begin("trial")
        shown = run.run(
            production, staged, logs, selection.signatures, directory, progress, constants, ahead, known, baseline
        )

        recorder.begin("gates")
        chosen = all_gates.choose(job.gates, selection.signatures, job.on) if gates is None else gates
        servers = tuple(all_gates.judge(each, chosen, job.gates) for each in shown)
        all_gates.check_decided(servers, job.gates)
        judged = verdict.Verdict(servers, staged.digest, staged.warmup, examples, selection.warnings)
        found = hints.of(job, judged, selection.signatures)
        ran = recorder.run(asked or provenance.of_job(job, "infraval.Job"))
        judged = dataclasses.replace(judged, hints=found, run=ran)

        if job.output is not None:
            progress(f"Writing the {'blessed model' if judged.blessed else 'report'} to {job.output}")
            publish.publish(judged, staged.directory, job.output)
        return judged
