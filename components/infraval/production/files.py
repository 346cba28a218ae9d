"""All that production's files change about a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from infraval import errors, options
from infraval.production import messages, model_config, platform_config, text_files


@dataclasses.dataclass(frozen=True)
class Production:
    """How production serves the model.

    Attributes:
      job: the job, whose server has the model's name and version of the model config file.
      files: content of the files that the server gets as they are, by flag.
      model_config: the model config file without the base path; empty if there is none.
      labels: version labels in it.
      notes: what to know about the files, as sentences.
    """

    job: options.Job
    files: Mapping[str, bytes]
    model_config: str = ""
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(job: options.Job) -> Production:
    """Reads and checks the files that the options name.

    Raises:
      OptionError: a file cannot be read, or TF Serving would not serve as intended with it.
    """
    files: dict[str, bytes] = {}
    notes: list[str] = []
    if job.warmup.batching_parameters_file:
        path = Path(job.warmup.batching_parameters_file)
        files["batching_parameters_file"] = text_files.read(path, "The batching parameters file")
    for name in options.FILES:
        if not getattr(job.server, name):
            continue
        path = Path(getattr(job.server, name))
        what = f"--{name.replace('_', '-')} (server.{name})"
        files[name] = _not_empty(text_files.read(path, what), f"{what} {path}")
        if name == "monitoring_config_file":
            text_files.parse(files[name], messages.MonitoringConfig(), path, what, errors.OptionError)
        if name == "platform_config_file" and not platform_config.read(files[name], path, what).warms_up:
            notes.append(f"{path} does not set enable_model_warmup, so a server with it replays no warmup file.")
    content = files.pop("model_config_file", None)
    if content is None:
        return Production(job, files, notes=tuple(notes))
    found = model_config.read(content, job.server)
    changes = {"model_name": found.model_name, "model_version": found.model_version}
    server = type(job.server).parse({**job.server.given(), **changes})
    return Production(
        job.model_copy(update={"server": server}), files, found.text, found.labels, (*notes, *found.notes)
    )


def _not_empty(content: bytes, what: str) -> bytes:
    if not content:
        raise errors.OptionError(f"{what} is empty, and TF Serving does not read an empty file; drop it or fill it.")
    return content
