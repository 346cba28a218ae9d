"""The batching parameters in force -> the batch sizes that a warmup must cover.

They are those of `--batching_parameters_file`, of the file in the SavedModel, or of the platform config file. If the
server would refuse the model because of them, that is an error here, before any server starts.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from infraval import errors, options
from infraval.production import messages, platform_config, text_files

_DEFAULT_MAX_BATCH_SIZE = 1000
"""TF Serving's default (BasicBatchScheduler's QueueOptions)."""

PER_MODEL_FILE = "batching_params.pbtxt"
"""In the SavedModel directory, the parameters that TF Serving takes with `--enable_per_model_batching_parameters`."""

_WHAT = "The batching parameters file"
_PLATFORM = "--platform-config-file (server.platform_config_file)"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where batching parameters come from.

    Attributes:
      path: of the file.
      content: text-format BatchingParameters.
      error_class: of what to raise about them.
    """

    path: Path
    content: bytes
    error_class: type[errors.InputError]


def batch_sizes(job: options.Job) -> tuple[int, ...]:
    """The batch sizes to cover: those in the options, else every allowed one, else 1.

    TF Serving pads a batch to the next allowed size only, so each size stays cold until a record has that size.

    Raises:
      OptionError: TF Serving would not start with the batching parameters file, or a batch size exceeds its maximum.
      ModelError: TF Serving would not load the model because of the parameters in it.
    """
    asked = job.warmup.batch_sizes
    source = in_force(job)
    if source is None:
        return asked or (1,)
    allowed, largest = _parse(source)
    for size in asked:
        if size > largest:
            raise errors.OptionError(
                f"--batch-size (warmup.batch_sizes) {size} is over the maximum of {largest} in {source.path}. Use a "
                "smaller one, or raise max_batch_size in that file."
            )
    # The server checks only the last entry; no request can have a size below 1 or over the maximum.
    possible = {size for size in allowed if 1 <= size <= largest}
    return asked or tuple(sorted(possible)) or (1,)


def in_force(job: options.Job) -> Source | None:
    """The batching parameters that the server goes by; None if it goes by none.

    With `--enable_per_model_batching_parameters`, a model without parameters of its own is not batched. A platform
    config file takes the place of all flags about batching.

    Raises:
      OptionError: a file cannot be read.
    """
    if job.server.platform_config_file:
        path = Path(job.server.platform_config_file)
        content = platform_config.read(text_files.read(path, _PLATFORM), path, _PLATFORM).batching
        return None if content is None else Source(path, content, errors.OptionError)
    if job.batched and job.server.turns_on("enable_per_model_batching_parameters"):
        path = job.model / PER_MODEL_FILE
        return Source(path, text_files.read(path, _WHAT), errors.ModelError) if path.exists() else None
    if not job.warmup.batching_parameters_file:
        return None
    path = Path(job.warmup.batching_parameters_file)
    return Source(path, text_files.read(path, _WHAT), errors.OptionError)


def _parse(source: Source) -> tuple[list[int], int]:
    """The allowed batch sizes, and the largest batch that the server accepts."""
    path, parameters = source.path, messages.BatchingParameters()
    text_files.parse(source.content, parameters, path, _WHAT, source.error_class)
    largest = parameters.max_batch_size.value if parameters.HasField("max_batch_size") else _DEFAULT_MAX_BATCH_SIZE
    padded = largest
    if parameters.enable_large_batch_splitting.value and parameters.HasField("max_execution_batch_size"):
        padded = parameters.max_execution_batch_size.value
    allowed = list(parameters.allowed_batch_sizes)
    if allowed and allowed[-1] != padded:
        raise source.error_class(
            f"The last allowed_batch_sizes entry in {path} is {allowed[-1]}, but TF Serving loads a model only if it "
            f"is the maximum, {padded}."
        )
    return allowed, largest
