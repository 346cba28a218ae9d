"""One validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from infraval.options.requests import RequestSpec, WarmupSpec
from infraval.options.serving import ServingSpec, ValidationSpec


@dataclasses.dataclass(frozen=True)
class Job:
    """What to validate.

    Attributes:
      model: the SavedModel directory.
      examples: globs of TFRecord shards to build requests of; none means to load the model only.
      requests: which requests to build.
      make_warmup: whether the requests become the model's warmup file.
      warmup: what the warmup file covers.
      serving: the server under test.
      validation: limits.
      output: directory for the results; None for no results on disk.
    """

    model: Path
    examples: tuple[str, ...] = ()
    requests: RequestSpec = RequestSpec()  # noqa: RUF009 - frozen
    make_warmup: bool = True
    warmup: WarmupSpec = WarmupSpec()  # noqa: RUF009 - frozen
    serving: ServingSpec = ServingSpec()  # noqa: RUF009 - frozen
    validation: ValidationSpec = ValidationSpec()  # noqa: RUF009 - frozen
    output: Path | None = None
