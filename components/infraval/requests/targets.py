"""What to call and what feeds it: signatures and options -> targets, or an error that says why not."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from google.protobuf import message
from tensorflow.core.example import example_pb2

from infraval import errors, escape, options, protos
from infraval.requests import signatures, tensors

ALL = "all"
"""Means every signature that the examples can feed."""

_MAX_REASONS = 5

_CLASSIFY_INPUT = "inputs"
"""TF Serving's name for the input of Classify, Regress and MultiInference (tf.saved_model.CLASSIFY_INPUTS)."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of request.

    Attributes:
      signatures: key of the signature; for MultiInference the keys of the pair.
      method: the RPC.
      task_methods: for MultiInference the method of each key, Classify or Regress.
      serialized_input: for Predict, alias of the input that takes whole records, if there is one.
      dense_inputs: for Predict, the inputs that features feed.
    """

    signatures: tuple[str, ...]
    method: options.Method
    task_methods: tuple[options.Method, ...] = ()
    serialized_input: str | None = None
    dense_inputs: tuple[tensors.DenseInput, ...] = ()

    @property
    def takes_examples(self) -> bool:
        """Whether a record must be a tf.Example; otherwise it may be any bytes."""
        return self.serialized_input is None


class _UnfeedableError(errors.ModelError):
    """No request can be built for a signature; ALL leaves it out instead."""

    code = "model/not-servable"


def resolve(
    requests: options.RequestOptions,
    available: Mapping[str, signatures.Signature],
    records: Sequence[bytes],
    batch_sizes: Sequence[int],
) -> tuple[list[Target], dict[str, str]]:
    """Decides what to call.

    Args:
      requests: signatures with or without a method, pairs, and which feature feeds which input.
      available: the model's signatures.
      records: some of the examples, to see which features there are.
      batch_sizes: sizes that every target must accept.

    Returns:
      The targets, and the signatures that ALL leaves out with the reason for each.

    Raises:
      ModelError: the model has no such signature, or none that can be called that way.
      OptionError: a malformed method or mapping, or the same target twice.
    """
    features = _Features(requests.features, available, records)
    targets: list[Target] = []
    left_out: dict[str, str] = {}
    for name in requests.called:
        if name == ALL and ALL not in available:
            for key in available:
                try:
                    targets.append(_target(key, None, available, features, batch_sizes))
                except _UnfeedableError as error:
                    left_out[key] = str(error)
        else:
            key, method = _split(name, available)
            targets.append(_target(key, method, available, features, batch_sizes))
    targets += [_pair(pair, available, batch_sizes) for pair in requests.multi_inference]
    if not targets:
        raise errors.ModelError(
            "The examples cannot feed any signature of the model.",
            *list(left_out.values())[:_MAX_REASONS],
            *([f"{len(left_out) - _MAX_REASONS} more signatures."] if len(left_out) > _MAX_REASONS else []),
            code="model/not-servable",
        )
    for target, count in Counter(targets).items():
        if count > 1:
            name = ",".join(target.signatures)
            raise errors.OptionError(
                f"{name} is requested twice. Name it once in --signature (requests.signatures) and --multi-inference "
                "(requests.multi_inference)."
            )
    fed = {target.signatures[0] for target in targets if target.method is options.Method.PREDICT} | left_out.keys()
    idle = [f"{key}/{alias}" for key, alias in features.mapped if key not in fed]
    if idle:
        raise errors.OptionError(
            f"--feature (requests.features) maps the input {idle[0]}, but no Predict request has it. Add its signature "
            "to --signature (requests.signatures), or drop the mapping."
        )
    return targets, left_out


class _Features:
    """Which feature feeds which input.

    Args:
      mappings: `SIGNATURE/INPUT=FEATURE` each; an empty FEATURE means the whole serialized record.
      available: the model's signatures.
      records: some of the examples.

    Attributes:
      mapped: the mappings, (signature, input) -> feature.
    """

    def __init__(
        self, mappings: Collection[str], available: Mapping[str, signatures.Signature], records: Sequence[bytes]
    ) -> None:
        inputs = {f"{key}/{alias}": (key, alias) for key, signature in available.items() for alias in signature.inputs}
        self.mapped: dict[tuple[str, str], str] = {}
        for mapping in mappings:
            name, feature = _split_mapping(mapping, inputs)
            if not name:
                raise errors.OptionError(
                    f"--feature (requests.features) {mapping!r} does not map an input. Write SIGNATURE/INPUT=FEATURE "
                    f"with one of {escape.names(inputs)}."
                )
            if inputs[name] in self.mapped:
                raise errors.OptionError(f"--feature (requests.features) maps the input {name} twice. Map it once.")
            self.mapped[inputs[name]] = feature
        self._seen: set[str] = set()
        for record in records:
            example = example_pb2.Example()
            try:
                protos.parse(record, example)
            except message.DecodeError:
                continue
            self._seen.update(example.features.feature)

    def of(self, key: str, alias: str) -> str | None:
        """The feature that feeds an input: the mapped one, else the one of the same name; "" for the whole record."""
        return self.mapped.get((key, alias), alias if alias in self._seen else None)


def _split_mapping(mapping: str, inputs: Collection[str]) -> tuple[str, str]:
    """The input (empty if there is none) and its feature; the name of an input may hold `=`, and the longest counts."""
    places = [place for place, character in enumerate(mapping) if character == "=" and mapping[:place] in inputs]
    return (mapping[: places[-1]], mapping[places[-1] + 1 :]) if places else ("", "")


def _split(name: str, available: Mapping[str, signatures.Signature]) -> tuple[str, options.Method | None]:
    """Splits NAME:METHOD; a signature whose own key looks like that takes precedence."""
    key, colon, method = name.rpartition(":")
    if name in available or not colon:
        return name, None
    choices = [choice.value for choice in (options.Method.PREDICT, options.Method.CLASSIFY, options.Method.REGRESS)]
    if method not in choices:
        raise errors.OptionError(
            f"--signature (requests.signatures) {name!r} does not name a method. Write SIGNATURE:METHOD with one of "
            f"{', '.join(choices)}."
        )
    return key, options.Method(method)


def _signature(key: str, available: Mapping[str, signatures.Signature]) -> signatures.Signature:
    if key not in available:
        raise errors.ModelError(
            f"The model has no signature {key!r}. Its signatures are: {escape.names(available)}. Change "
            "--signature (requests.signatures) or --multi-inference (requests.multi_inference).",
            code="model/no-signature",
        )
    return available[key]


def _target(
    key: str,
    method: options.Method | None,
    available: Mapping[str, signatures.Signature],
    features: _Features,
    batch_sizes: Sequence[int],
) -> Target:
    signature = _signature(key, available)
    _check_batch_sizes(signature, batch_sizes)
    method = method or signature.method
    if method is None:
        raise _UnfeedableError(
            f"Signature {key!r} has a method name that TF Serving has no RPC for. Name one: {key}:predict."
        )
    if method is options.Method.PREDICT:
        return _predict(signature, features)
    problem = _not_servable_as(signature, method)
    if problem:
        raise _UnfeedableError(f"Signature {key!r} cannot serve {method.value}: {problem}.")
    return Target((key,), method)


def _predict(signature: signatures.Signature, features: _Features) -> Target:
    key, inputs = signature.key, signature.inputs
    whole = _is_record_input(signature)
    if whole and not features.of(key, *inputs):
        return Target((key,), options.Method.PREDICT, serialized_input=next(iter(inputs)))
    if not inputs:
        raise _UnfeedableError(f"Signature {key!r} has no inputs.")
    dense = []
    for alias, tensor in inputs.items():
        problem = tensors.unfeedable(tensor)
        feature = features.of(key, alias)
        if problem:
            raise _UnfeedableError(f"Input {alias!r} ({tensor}) of signature {key!r} cannot be fed: {problem}.")
        if not feature:
            why = "a whole record can feed only a sole vector of strings" if feature == "" else "none has its name"
            raise _UnfeedableError(
                f"Input {alias!r} ({tensor}) of signature {key!r} has no feature: {why}. Map one with --feature "
                f"{key}/{alias}=FEATURE (requests.features)."
            )
        shape = None if tensor.shape is None else tensor.shape[1:]
        dense.append(tensors.DenseInput(alias, feature, tensor.dtype, shape))
    return Target((key,), options.Method.PREDICT, dense_inputs=tuple(dense))


def _check_batch_sizes(signature: signatures.Signature, batch_sizes: Sequence[int]) -> None:
    for alias, tensor in signature.inputs.items():
        fixed = tensor.shape[0] if tensor.shape else None
        wrong = [size for size in batch_sizes if fixed not in (None, size)]
        if wrong:
            raise _UnfeedableError(
                f"Input {alias!r} ({tensor}) of signature {signature.key!r} accepts only batches of {fixed}, not of "
                f"{', '.join(map(str, wrong))}. Use --batch-size {fixed} (warmup.batch_sizes)."
            )


def _pair(pair: str, available: Mapping[str, signatures.Signature], batch_sizes: Sequence[int]) -> Target:
    keys = tuple(pair.split(","))
    if len(keys) != 2 or keys[0] == keys[1]:  # noqa: PLR2004 - a pair
        raise errors.OptionError(
            f"--multi-inference (requests.multi_inference) {pair!r} is not a pair of different signatures. Write "
            "SIGNATURE,SIGNATURE."
        )
    methods = []
    for key in keys:
        signature = _signature(key, available)
        _check_batch_sizes(signature, batch_sizes)
        declared = [signature.method] if signature.method in _CHECKS else list(_CHECKS)
        fitting = [method for method in declared if not _not_servable_as(signature, method)]
        if not fitting:
            raise errors.ModelError(
                f"Signature {key!r} can serve neither classify nor regress, so it cannot be in --multi-inference "
                "(requests.multi_inference).",
                code="model/not-servable",
            )
        methods.append(fitting[0])
    return Target(keys, options.Method.MULTI_INFERENCE, task_methods=tuple(methods))


def _is_record_input(signature: signatures.Signature) -> bool:
    """Whether the only input is a string vector, as in a signature that parses serialized examples."""
    if len(signature.inputs) != 1:
        return False
    (tensor,) = signature.inputs.values()
    return tensor.dtype == "string" and (tensor.shape is None or len(tensor.shape) == 1)


def _not_servable_as(signature: signatures.Signature, method: options.Method) -> str | None:
    """Why TF Serving would refuse the method (servables/tensorflow/{classifier,regressor}.cc); None if it would not."""
    if list(signature.inputs) != [_CLASSIFY_INPUT] or not _is_record_input(signature):
        return f"it needs one string input named {_CLASSIFY_INPUT}"
    return _CHECKS[method](signature.outputs)


def _no_classes(outputs: Mapping[str, Any]) -> str | None:
    return None if outputs.keys() & {"classes", "scores"} else "it needs an output named classes or scores"


def _no_regression(outputs: Mapping[str, Any]) -> str | None:
    return None if list(outputs) == ["outputs"] else "it needs one output, named outputs"


_CHECKS = {options.Method.CLASSIFY: _no_classes, options.Method.REGRESS: _no_regression}
