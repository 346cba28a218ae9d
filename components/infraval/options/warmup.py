"""What the warmup file covers, and how its records are sampled."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field

from infraval.options import base

MAX_WARMUP_RECORDS = 1000
"""TF Serving refuses a model whose warmup file holds more records (saved_model_warmup_util.h)."""

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
"""Where TF Serving looks for warmup records, relative to the SavedModel directory."""


class ExistingWarmup(str, enum.Enum):
    """What to do with a warmup file that came with the model."""

    MERGE = "merge"
    """Its records stay and come first; new ones that are not among them follow."""
    REPLACE = "replace"
    """It is left out, with a warning that says how many records were dropped."""
    KEEP = "keep"
    """It is shipped as it is; the new requests are only used to validate."""


class WarmupOptions(base.Options):
    """What the warmup file covers, and how its records are sampled."""

    group: ClassVar[str] = "warmup"

    batch_sizes: Annotated[
        tuple[base.Count, ...],
        base.Lax,
        base.Once,
        base.Flag("--batch-size", default="every allowed_batch_sizes of the batching parameters in force, else 1"),
    ] = ()
    """Examples per request; each size is a cell of its own."""
    batching_parameters_file: Annotated[base.PathOrUri, base.Flag("--batching-parameters-file", metavar="PATH")] = ""
    """TF Serving's BatchingParameters text proto, which the server boots with: a path, or for the component any URI
    that TFX can read."""
    seed: Annotated[int, base.Flag("--seed"), Field(ge=0, lt=2**64)] = 0
    """Seed of the sample; the same seed always draws the same records."""
    existing: Annotated[ExistingWarmup, base.Lax, base.Flag("--existing-warmup")] = ExistingWarmup.MERGE
    """What to do with a warmup file that came with the model."""
    max_records: Annotated[base.Count, base.Flag("--max-warmup-records"), Field(le=MAX_WARMUP_RECORDS)] = (
        MAX_WARMUP_RECORDS
    )
    """Maximum number of records in the warmup file."""
    compare_cold: Annotated[bool, base.Flag("--compare-cold")] = False
    """Boot once without the warmup file as well, and report the first requests of both boots."""
