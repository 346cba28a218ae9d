"""What a validation is asked to do: frozen dataclasses without tfx, TensorFlow or a server in sight.

The executor builds them from TFX's protos and the command line from its options. Those that travel as exec
properties (`WarmupSpec`, `ProcessSpec`) also have a JSON form, so that a RuntimeParameter can carry them.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infraval import errors

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_SIGNATURE = "serving_default"
"""TF Serving's meaning of an empty `signature_name` (tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY)."""

DEFAULT_MODEL_NAME = "infra-validation-model"
"""The model name TFX's InfraValidator serves under when its ServingSpec names none."""

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


class Platform(str, enum.Enum):
    """Where the server under test runs."""

    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


class JsonSpec:
    """A frozen dataclass of strings, numbers, enums and tuples of strings or numbers, with a JSON form."""

    def to_json(self) -> str:
        """This spec as one JSON object with sorted keys; fields that hold their default are left out."""
        changed = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
            if getattr(self, field.name) != field.default
        }
        return json.dumps(changed, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses what `to_json` wrote, or the same written by hand.

        Raises:
          OptionError: the text is no JSON object, or has a key or a value that the spec does not take.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise errors.OptionError(f"{cls.__name__} is not valid JSON ({error}); give an object.") from None
        if not isinstance(values, Mapping):
            raise errors.OptionError(f"{cls.__name__} has to be a JSON object, not {type(values).__name__}.")
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise errors.OptionError(
                f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}."
            )
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise errors.OptionError(message)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _require_share(value: Any) -> None:
    _require(
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
        _require(
            bool(self.signatures or self.multi_inference),
            "No signature is named; leave the option out to use serving_default.",
        )
        _require_share(self.max_dead_letter_share)
        _require(
            len(set(self.signatures)) == len(self.signatures),
            f"A signature is named twice in {', '.join(self.signatures)}; name each once.",
        )
        _require(_whole(self.num_examples, 1), f"num_examples has to be 1 or more, not {self.num_examples}.")


@dataclasses.dataclass(frozen=True)
class RequestOptions(JsonSpec):
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
            _require(
                isinstance(values, tuple) and all(isinstance(value, str) and value for value in values),
                f"{name} has to be a list of texts, none empty, not {values!r}.",
            )
        _require_share(self.max_dead_letter_share)


@dataclasses.dataclass(frozen=True)
class WarmupSpec(JsonSpec):
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
        _require(isinstance(self.batch_sizes, tuple), f"batch_sizes has to be a list, not {self.batch_sizes!r}.")
        _require(
            isinstance(self.batching_parameters_file, str),
            f"batching_parameters_file has to be a path, not {self.batching_parameters_file!r}.",
        )
        for size in self.batch_sizes:
            _require(_whole(size, 1), f"A batch size has to be a whole number of 1 or more, not {size!r}.")
        _require(
            len(set(self.batch_sizes)) == len(self.batch_sizes),
            f"A batch size is named twice in {self.batch_sizes}; name each once.",
        )
        _require(
            _whole(self.seed, 0) and self.seed < 2**64, f"The seed has to be within 0 and 2**64 - 1, not {self.seed}."
        )
        _require(
            _whole(self.max_records, 1) and self.max_records <= MAX_WARMUP_RECORDS,
            f"max_records has to be within 1 and {MAX_WARMUP_RECORDS}, not {self.max_records}.",
        )
        try:
            object.__setattr__(self, "existing", ExistingWarmup(self.existing))
        except ValueError:
            names = ", ".join(choice.value for choice in ExistingWarmup)
            raise errors.OptionError(f"existing has to be one of {names}, not {self.existing!r}.") from None


@dataclasses.dataclass(frozen=True)
class ProcessSpec(JsonSpec):
    """The process sandbox.

    Attributes:
      server: "auto" takes `tensorflow_model_server` from PATH if it is there, else the embedded server;
        "embedded" insists on the latter; anything else is the path of a `tensorflow_model_server` binary.
      import_ops: Python modules that the embedded server imports first, for the custom ops they register.
    """

    server: str = "auto"
    import_ops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(
            isinstance(self.server, str) and bool(self.server),
            f"The server has to be auto, embedded or the path of a tensorflow_model_server, not {self.server!r}.",
        )
        _require(
            isinstance(self.import_ops, tuple) and all(isinstance(name, str) and name for name in self.import_ops),
            f"import_ops has to be a list of module names, not {self.import_ops!r}.",
        )
        _require(
            not self.import_ops or self.server in ("auto", "embedded"),
            f"--import-ops (ProcessSpec.import_ops) is for the embedded server, and {self.server} is another one; drop "
            "the one or the other.",
        )


@dataclasses.dataclass(frozen=True)
class ServingSpec:
    """What serves the model, and where (mirrors TFX's ServingSpec proto).

    Attributes:
      platform: the kind of sandbox.
      model_name: the name the model is served under.
      process: options of the process sandbox.
    """

    platform: Platform = Platform.PROCESS
    model_name: str = DEFAULT_MODEL_NAME
    process: ProcessSpec = ProcessSpec()

    def __post_init__(self) -> None:
        _require(
            self.platform is Platform.PROCESS or self.process == ProcessSpec(),
            f"--server and --import-ops (ProcessSpec) are of the process sandbox, and the platform is "
            f"{self.platform.value}; drop the one or the other.",
        )


@dataclasses.dataclass(frozen=True)
class ValidationSpec:
    """How long and how often to try (mirrors TFX's ValidationSpec proto).

    Attributes:
      max_loading_time_s: seconds from the start of the server until the model has to be AVAILABLE.
      num_tries: boots to try at most; a definite refusal is not tried again.
      request_timeout_s: seconds that one request may take.
      concurrency: requests under way at once.
    """

    max_loading_time_s: float = 300.0
    num_tries: int = 5
    request_timeout_s: float = 60.0
    concurrency: int = 4

    def __post_init__(self) -> None:
        _require(self.max_loading_time_s > 0, f"max_loading_time_s has to be over 0, not {self.max_loading_time_s}.")
        _require(_whole(self.num_tries, 1), f"num_tries has to be 1 or more, not {self.num_tries}.")
        _require(self.request_timeout_s > 0, f"request_timeout_s has to be over 0, not {self.request_timeout_s}.")
        _require(_whole(self.concurrency, 1), f"concurrency has to be 1 or more, not {self.concurrency}.")
