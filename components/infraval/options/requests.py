"""Which requests to build, and the vocabulary of requests."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, ClassVar

from pydantic import Field

from infraval.options import base

DEFAULT_SIGNATURE = "serving_default"
"""TF Serving's meaning of an empty `signature_name` (tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY)."""


class Method(str, enum.Enum):
    """How a signature is called; the RPCs that TF Serving's warmup can replay."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    MULTI_INFERENCE = "multi_inference"


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One way of calling a model that is slow the first time: what a warmup must cover.

    Attributes:
      signature: key of the SignatureDef; for MultiInference the keys joined by a comma.
      method: the RPC.
      batch_size: number of examples in one request.
    """

    signature: str
    method: Method
    batch_size: int


class RequestOptions(base.Options):
    """Which requests to build from the examples."""

    group: ClassVar[str] = "requests"

    signatures: Annotated[
        base.Strings,
        base.Once,
        base.Flag(
            "--signature",
            metavar="NAME[:METHOD]",
            default=f"{DEFAULT_SIGNATURE}, or none if --multi-inference is given",
        ),
    ] = ()
    """Signatures to call, each with the given method (predict, classify or regress) or else the one that it declares;
    all stands for every signature that the examples can feed."""
    multi_inference: Annotated[base.Strings, base.Flag("--multi-inference", metavar="NAME,NAME")] = ()
    """Pairs of signatures to call in one MultiInference each."""
    features: Annotated[
        base.Strings, base.Flag("--feature", metavar="NAME/INPUT=FEATURE", default="the feature with the input's name")
    ] = ()
    """Features of the tf.Examples that feed an input; nothing after = stands for the whole record."""
    inputs: Annotated[base.Strings, base.Flag("--input", metavar="NAME/INPUT=JSON")] = ()
    """Values of inputs, the same in every Predict request: for an input without a batch dimension, for example."""
    num_examples: Annotated[base.Count, base.Flag("--num-examples")] = 1
    """Distinct examples to send per signature and batch size; all of them if there are fewer."""
    max_dead_letter_share: Annotated[float, base.Flag("--max-dead-letter-share"), Field(ge=0, le=1)] = 0.1
    """Largest share of the records that may be left out because they do not fit the signatures that are called."""
    max_shards: Annotated[int | None, base.Flag("--max-shards", default="all"), Field(ge=1)] = None
    """Most files of the examples to read: so many, spread evenly over all of them in the order of their names."""
    max_records: Annotated[int | None, base.Flag("--max-records", default="all"), Field(ge=1)] = None
    """Most records to read: an equal share of each file, from its beginning."""
    expected: Annotated[base.Strings, base.Flag("--expected", metavar="GLOB")] = ()
    """TFRecord files (.gz: gzip) of PredictionLogs with requests and the responses to expect, such as recorded traffic;
    they are sent as well, and turn the gate `expected` on. Also URIs."""
    max_expected: Annotated[base.Count, base.Flag("--max-expected")] = 1000
    """Most expected responses to compare with: an equal share of each file, from its beginning."""
    tag_set: Annotated[
        base.Strings,
        base.Flag(
            "--tag-set",
            metavar="TAG,TAG",
            default="serve",
            parse=lambda text: tuple(text.split(",")),
        ),
    ] = ()
    """The exact tags of the MetaGraphDef to serve, needed if there are several; the server is started with them."""
    splits: base.Strings = ()
    """Splits of the Examples to read, the first one by default; for the component only."""

    @property
    def called(self) -> tuple[str, ...]:
        """The signatures to call besides the pairs."""
        return self.signatures or (() if self.multi_inference else (DEFAULT_SIGNATURE,))
