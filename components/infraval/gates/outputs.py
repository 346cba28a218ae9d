"""Gate: the responses are what the SignatureDef says, and hold numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from google.protobuf import message

from infraval import errors, escape, evidence, options, protos, tensor_values, verdict
from infraval.gates.reasons import capped
from infraval.requests import signatures, targets
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2

_RETURNED = {options.Method.CLASSIFY: "scores", options.Method.REGRESS: "outputs"}
"""TF Serving's names for the numbers of a result (tf.saved_model.CLASSIFY_OUTPUT_SCORES, REGRESS_OUTPUTS)."""

_INTEGERS = ("int", "uint", "qint", "quint")

_NOT_ORDERED = frozenset({"string", "variant", "resource", "complex64", "complex128"})
"""Dtypes whose values are not numbers of which one can be larger than another."""


def check(
    asked: options.OutputsGate, available: Mapping[str, signatures.Signature], called: Sequence[targets.Target]
) -> None:
    """Checks that every output that an option names is one of the signatures that are called, and of a fitting dtype.

    Raises:
      OptionError: it is not.
    """
    predicted = [
        (alias, tensor.dtype.removesuffix("_ref"))
        for target in called
        if target.method is options.Method.PREDICT
        for key in target.signatures
        for alias, tensor in available[key].outputs.items()
    ]
    methods = {method for target in called for method in (target.method, *target.task_methods)}
    numbers = {alias for alias, dtype in predicted if dtype not in _NOT_ORDERED}
    numbers |= {alias for method, alias in _RETURNED.items() if method in methods}
    numeric = "a numeric output of a called signature"
    for name, outputs, known, what in (
        ("range", dict(asked.range), numbers, numeric),
        ("sums_to_one", asked.sums_to_one, numbers, numeric),
        ("not_batched", asked.not_batched, {alias for alias, _ in predicted}, "an output of a Predict request"),
    ):
        unknown = sorted(set(outputs) - known)
        if unknown:
            nothing = "" if called else ": without --examples (examples), no requests are sent"
            raise errors.OptionError(
                f"--gate outputs.{name} (gates.outputs.{name}) names {_quoted(unknown[0])}, which is not "
                f"{what}{nothing}. There are: {escape.names(sorted(known))}."
            )


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Passes a model whose responses have the dtypes, shapes and batch that its signatures declare, and no NaN.

    What a SignatureDef leaves open is not judged.

    Attributes:
      options: what else to look at.
      signatures: of the model, by key.
    """

    options: options.OutputsGate
    signatures: Mapping[str, signatures.Signature]
    name: ClassVar[str] = "outputs"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """How many of the responses that were kept are right; equal faults are one reason, the most frequent first."""
        booted = shown.without_warmup or shown.boot
        if not booted.responses.answered:
            reason = "The model was not loaded." if booted.failure else "There were no answers to look at."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        kept = booted.responses.kept
        if not kept:
            reason = (
                "No answer was kept, because each is larger than what may be kept. Raise --response-memory "
                "(limits.response_memory_bytes)."
            )
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, (reason,))
        faults: Counter[tuple[str, str]] = Counter()
        good = 0
        for response in kept:
            found = {(_call(response.cell), fault) for fault in self._faults(response)}
            faults.update(found)
            good += not found
        reasons = (
            f"{count} of {len(kept)} responses ({call}): {fault}" for (call, fault), count in faults.most_common()
        )
        status = verdict.Status.FAILED if faults else verdict.Status.PASSED
        told = capped(reasons, "There are {} more kinds of fault.")
        return verdict.Finding(self.name, status, told, good, len(kept), "responses")

    def _faults(self, response: evidence.Response) -> Iterator[str]:
        parsed = getattr(prediction_log_pb2.PredictionLog(), f"{response.cell.method.value}_log").response
        try:
            protos.parse(response.content, parsed)
        except message.DecodeError:
            yield "it cannot be parsed."
            return
        method, size = response.cell.method, response.cell.batch_size
        if method is options.Method.PREDICT:
            yield from self._predict(response, parsed.outputs)
        elif method is options.Method.MULTI_INFERENCE:
            tasks = response.cell.signature.count(",") + 1
            if len(parsed.results) != tasks:
                yield f"it has {len(parsed.results)} results for {tasks} tasks."
            for result in parsed.results:
                yield from self._result(result, size)
        else:
            yield from self._result_of(parsed.result, size)

    def _predict(self, response: evidence.Response, outputs: Mapping[str, tensor_pb2.TensorProto]) -> Iterator[str]:
        signature = self.signatures.get(response.cell.signature)
        declared = signature.outputs if signature else {}
        wanted = response.output_filter or tuple(declared)
        if declared:
            for alias in sorted(set(wanted) - set(outputs)):
                yield f"the output {_quoted(alias)} is missing."
        batch = None if signature is None else _batch(signature, response.shapes)
        for alias, tensor in sorted(outputs.items()):
            spec = declared.get(alias)
            if spec is not None:
                yield from _unlike(alias, tensor, spec, None if alias in self.options.not_batched else batch)
            elif declared:
                yield f"the output {_quoted(alias)} is not in the signature."
            values = tensor_values.numbers(tensor)
            if values is not None and values.size:
                yield from self._numbers(alias, values)
            if alias in self.options.sums_to_one:
                summed = tensor_values.rows(tensor)
                if summed is None:
                    yield f"the output {_quoted(alias)} has no rows that could sum to one."
                elif not _sums_to_one(summed, tensor_values.dtype(tensor)):
                    yield f"a row of the output {_quoted(alias)} does not sum to one."

    def _result(self, result: Any, size: int) -> Iterator[str]:
        kind = result.WhichOneof("result")
        if kind is None:
            yield "a task has no result."
        else:
            yield from self._result_of(getattr(result, kind), size)

    def _result_of(self, result: Any, size: int) -> Iterator[str]:
        """The faults of a ClassificationResult or a RegressionResult, for so many examples."""
        classified = hasattr(result, "classifications")
        each = result.classifications if classified else result.regressions
        if len(each) != size:
            yield f"it has {len(each)} results for {size} examples."
        scores = [[found.score for found in one.classes] for one in each] if classified else [[x.value] for x in each]
        alias = _RETURNED[options.Method.CLASSIFY if classified else options.Method.REGRESS]
        flat = np.array([score for row in scores for score in row], np.float32)
        if flat.size:
            yield from self._numbers(alias, flat)
        if alias in self.options.sums_to_one and any(not _sums_to_one(np.array(row), "float") for row in scores if row):
            yield f"a row of the output {_quoted(alias)} does not sum to one."

    def _numbers(self, alias: str, values: np.ndarray[Any, Any]) -> Iterator[str]:
        """The faults in the numbers of an output, of which there is at least one."""
        if values.dtype.kind in "fc" or values.dtype == ml_dtypes.bfloat16:
            if self.options.nan == "fail" and np.isnan(values).any():
                yield f"the output {_quoted(alias)} has NaN."
            if self.options.inf == "fail" and np.isinf(values).any():
                yield f"the output {_quoted(alias)} has an infinite value."
        for name, (lowest, highest) in self.options.range:
            if name != alias or values.dtype.kind == "c":
                continue
            if (lowest is not None and np.any(values < lowest)) or (highest is not None and np.any(values > highest)):
                yield f"the output {_quoted(alias)} has a value outside [{_bound(lowest)}, {_bound(highest)}]."


def _unlike(
    alias: str, tensor: tensor_pb2.TensorProto, spec: signatures.TensorSpec, batch: int | None
) -> Iterator[str]:
    """How a tensor differs from what the signature declares; `batch` is None if the batch size is not known."""
    dtype, shape = tensor_values.dtype(tensor), tensor_values.shape(tensor)
    if spec.composite is not None:
        return
    if dtype != spec.dtype.removesuffix("_ref"):
        yield f"the output {_quoted(alias)} is {dtype}, and must be {spec.dtype.removesuffix('_ref')}."
    if not spec.holds(shape):
        yield f"the output {_quoted(alias)} has the shape {list(shape)}, and must be {spec}."
    elif batch is not None and spec.shape and spec.shape[0] is None and shape[0] != batch:
        yield (
            f"the output {_quoted(alias)} has the shape {list(shape)} for a batch of {batch}. If its first dimension "
            "is not the batch, name it in gates.outputs.not_batched."
        )


def _batch(signature: signatures.Signature, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The batch size of a request; None if another input than the batch could decide an output's first dimension."""
    sizes = set()
    for alias, spec in signature.inputs.items():
        if spec.composite is None and spec.shape and spec.shape[0] is None and shapes.get(alias):
            sizes.add(shapes[alias][0])
        elif spec.shape is None or None in spec.shape or spec.dtype.startswith(_INTEGERS) or spec.composite is not None:
            return None
    return sizes.pop() if len(sizes) == 1 else None


def _sums_to_one(rows: np.ndarray[Any, Any], dtype: str) -> bool:
    """Whether the values sum to one along the last dimension; NaN does not."""
    return bool(np.all(np.abs(rows.sum(axis=-1, dtype=np.float64) - 1) <= tensor_values.TOLERANCES.get(dtype, 0.0)))


def _call(cell: options.Cell) -> str:
    return f"{cell.method.value} of signature {escape.name(cell.signature)}"


def _quoted(alias: str) -> str:
    return f"'{escape.name(alias)}'"


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
