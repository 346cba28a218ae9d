"""Which requests to build, and which of them become the warmup file."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from infraval.options import json_spec

DEFAULT_SIGNATURE = "serving_default"
"""TF Serving's meaning of an empty `signature_name` (tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY)."""

MAX_WARMUP_RECORDS = 1000
"""TF Serving refuses a model whose warmup file holds more records (saved_model_warmup_util.h)."""

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
"""Where TF Serving looks for warmup records, relative to the SavedModel directory."""


class Method(str, enum.Enum):
    """How a signature is called; the RPCs that TF Serving's warmup can replay."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    MULTI_INFERENCE = "multi_inference"


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One way of calling a model that is slow the first time: what a warmup has to touch.

    Attributes:
      signature: key of the SignatureDef; for MultiInference the keys joined by a comma.
      method: the RPC.
      batch_size: number of examples in one request.
    """

    signature: str
    method: Method
    batch_size: int


class ExistingWarmup(str, enum.Enum):
    """What to do with a warmup file that came with the model."""

    MERGE = "merge"
    """Its records stay and come first; new ones that are not among them follow."""
    REPLACE = "replace"
    """It is left out, with a warning that says how many records were dropped."""
    KEEP = "keep"
    """It is shipped as it is; the new requests are only used to validate."""


def _require_share(value: Any) -> None:
    json_spec.require(
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1,
        f"max_dead_letter_share has to be within 0 and 1, not {value!r}.",
    )


@dataclasses.dataclass(frozen=True)
class RequestSpec:
    """Which requests to build (mirrors TFX's RequestSpec proto, and adds `RequestOptions`).

    Attributes:
      signatures: keys of the SignatureDefs to call, each with or without `:METHOD` (predict, classify, regress)
        behind it; `all` stands for every signature that the examples can feed.
      num_examples: distinct examples to send per signature and batch size; all there are if there are fewer.
      tag_set: the exact tags of the MetaGraphDef to use; empty for the only one there is.
      multi_inference: pairs of signatures, `SIGNATURE,SIGNATURE`, to ask in one MultiInference each.
      features: `SIGNATURE/INPUT=FEATURE`: which feature of a tf.Example feeds which input. By default the one of the
        same name. An empty FEATURE stands for the whole serialized record.
      max_dead_letter_share: of all records, at most this share may be unfit for what is to be called.
    """

    signatures: tuple[str, ...] = (DEFAULT_SIGNATURE,)
    num_examples: int = 1
    tag_set: tuple[str, ...] = ()
    multi_inference: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    max_dead_letter_share: float = 0.1

    def __post_init__(self) -> None:
        json_spec.require(
            bool(self.signatures or self.multi_inference),
            "No signature is named; leave the option out to use serving_default.",
        )
        _require_share(self.max_dead_letter_share)
        json_spec.require(
            len(set(self.signatures)) == len(self.signatures),
            f"A signature is named twice in {', '.join(self.signatures)}; name each once.",
        )
        json_spec.require(
            json_spec.whole(self.num_examples, 1), f"num_examples has to be 1 or more, not {self.num_examples}."
        )


@dataclasses.dataclass(frozen=True)
class RequestOptions(json_spec.JsonSpec):
    """What TFX's RequestSpec proto has no fields for; see `RequestSpec` for the first four.

    Attributes:
      signatures: takes the place of the proto's `signature_names` unless empty.
      multi_inference: pairs of signatures.
      features: which feature feeds which input.
      max_dead_letter_share: of all records, at most this share may be unfit for what is to be called.
      splits: splits of the Examples to read; takes the place of the proto's `split_name` unless empty.
    """

    signatures: tuple[str, ...] = ()
    multi_inference: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    max_dead_letter_share: float = RequestSpec.max_dead_letter_share
    splits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("signatures", "multi_inference", "features", "splits"):
            values = getattr(self, name)
            json_spec.require(
                isinstance(values, tuple) and all(isinstance(value, str) and value for value in values),
                f"{name} has to be a list of texts, none empty, not {values!r}.",
            )
        _require_share(self.max_dead_letter_share)


@dataclasses.dataclass(frozen=True)
class WarmupSpec(json_spec.JsonSpec):
    """What the warmup file has to cover, and how its records are sampled.

    Attributes:
      batch_sizes: examples per request, each size a cell of its own; empty means every `allowed_batch_sizes` of
        the batching parameters file, or 1 without such a file.
      batching_parameters_file: path of a BatchingParameters text proto (TF Serving's
        `--batching_parameters_file`), or for the component any URI that TFX can read; the sandbox boots with it.
      seed: another seed draws another sample; the same one always draws the same.
      existing: what to do with a warmup file that came with the model.
      max_records: the warmup file never holds more records than this, at most 1000.
      compare_cold: boot once more, without the warmup file, and report the first requests of both boots.
    """

    batch_sizes: tuple[int, ...] = ()
    batching_parameters_file: str = ""
    seed: int = 0
    existing: ExistingWarmup = ExistingWarmup.MERGE
    max_records: int = MAX_WARMUP_RECORDS
    compare_cold: bool = False

    def __post_init__(self) -> None:
        json_spec.require(
            isinstance(self.batch_sizes, tuple), f"batch_sizes has to be a list, not {self.batch_sizes!r}."
        )
        json_spec.require(
            isinstance(self.batching_parameters_file, str),
            f"batching_parameters_file has to be a path, not {self.batching_parameters_file!r}.",
        )
        for size in self.batch_sizes:
            json_spec.require(
                json_spec.whole(size, 1), f"A batch size has to be a whole number of 1 or more, not {size!r}."
            )
        json_spec.require(
            len(set(self.batch_sizes)) == len(self.batch_sizes),
            f"A batch size is named twice in {self.batch_sizes}; name each once.",
        )
        json_spec.require(
            json_spec.whole(self.seed, 0) and self.seed < 2**64,
            f"The seed has to be within 0 and 2**64 - 1, not {self.seed}.",
        )
        json_spec.require(
            json_spec.whole(self.max_records, 1) and self.max_records <= MAX_WARMUP_RECORDS,
            f"max_records has to be within 1 and {MAX_WARMUP_RECORDS}, not {self.max_records}.",
        )
        object.__setattr__(self, "existing", json_spec.choice("existing", self.existing, ExistingWarmup))
