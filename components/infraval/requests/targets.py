"""What to call and what feeds it: signatures and options -> targets, or an error that says why not."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from infraval import errors, escape, evidence, options
from infraval.requests import composites, constants, features, graph, signatures, tensors

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
      takes_lists: for all methods but Predict, whether a record is not a tf.Example but an ExampleListWithContext,
        whose examples are the batch.
      serialized_input: for Predict, alias of the input that takes whole records, if there is one.
      dense_inputs: for Predict, the inputs that features feed.
      constants: for Predict, the inputs that get the same value in every request.
    """

    signatures: tuple[str, ...]
    method: options.Method
    task_methods: tuple[options.Method, ...] = ()
    takes_lists: bool = False
    serialized_input: str | None = None
    dense_inputs: tuple[tensors.DenseInput, ...] = ()
    constants: tuple[constants.Constant, ...] = ()

    @property
    def takes_examples(self) -> bool:
        """Whether a record must be a tf.Example; otherwise it may be any bytes."""
        return bool(self.dense_inputs) if self.method is options.Method.PREDICT else not self.takes_lists

    @property
    def takes_records(self) -> bool:
        """Whether records feed it; otherwise all requests to it are the same."""
        return self.takes_examples or self.takes_lists or self.serialized_input is not None

    def records_per_request(self, batch_sizes: Sequence[int]) -> Sequence[int]:
        """The batch sizes, or one if a record is the batch, or zero if no records feed it."""
        if not self.takes_records:
            return (0,)
        return (1,) if self.takes_lists else batch_sizes


_NOT_SERVABLE = "model/not-servable"
_COMPOSITE_INPUT = "model/composite-input"
_LEFT_OUT = frozenset({_NOT_SERVABLE, _COMPOSITE_INPUT})
"""Codes of errors that say that no request can be built for a signature; ALL leaves it out instead."""


def resolve(
    requests: options.RequestOptions,
    available: Mapping[str, signatures.Signature],
    records: Iterable[bytes],
    batch_sizes: Sequence[int],
    parsing: graph.ReadParsing,
) -> tuple[list[Target], dict[str, str]]:
    """Decides what to call.

    Args:
      requests: signatures with or without a method, pairs, and which feature feeds which input.
      available: the model's signatures.
      records: some of the examples, to see which features there are.
      batch_sizes: sizes that every target must accept.
      parsing: what the model's graph does with an input.

    Returns:
      The targets, and the signatures that ALL leaves out with the reason for each.

    Raises:
      ModelError: the model has no such signature, or none that can be called that way.
      OptionError: a malformed method, mapping or constant, or the same target twice.
    """
    feeding = features.Features(requests.features, available, records, parsing)
    given = constants.read(requests.inputs, available)
    targets: list[Target] = []
    left_out: dict[str, str] = {}
    for name in requests.called:
        if name == ALL and ALL not in available:
            for key in available:
                try:
                    targets.append(_target(key, None, available, feeding, given, batch_sizes))
                except errors.ModelError as error:
                    if error.code not in _LEFT_OUT:
                        raise
                    left_out[key] = str(error)
        else:
            key, method = _split(name, available)
            targets.append(_target(key, method, available, feeding, given, batch_sizes))
    targets += [_pair(pair, available, batch_sizes, takes_lists=feeding.are_lists) for pair in requests.multi_inference]
    if not targets:
        raise errors.ModelError(
            "The examples cannot feed any signature of the model.",
            *list(left_out.values())[:_MAX_REASONS],
            *([f"{len(left_out) - _MAX_REASONS} more signatures."] if len(left_out) > _MAX_REASONS else []),
            code=_NOT_SERVABLE,
        )
    for target, count in Counter(targets).items():
        if count > 1:
            name = ",".join(target.signatures)
            raise errors.OptionError(
                f"{name} is requested twice. Name it once in --signature (requests.signatures) and --multi-inference "
                "(requests.multi_inference)."
            )
    fed = {target.signatures[0] for target in targets if target.method is options.Method.PREDICT} | left_out.keys()
    idle = [f"{key}/{alias}" for key, alias in feeding.mapped if key not in fed]
    if idle:
        raise errors.OptionError(
            f"--feature (requests.features) maps the input {idle[0]}, but no Predict request has it. Add its signature "
            "to --signature (requests.signatures), or drop the mapping."
        )
    _check_constants(given, feeding, targets, left_out)
    return targets, left_out


def _check_constants(
    given: Mapping[str, constants.Constant],
    feeding: features.Features,
    called: Sequence[Target],
    left_out: Collection[str],
) -> None:
    """Refuses a constant that has no effect, or that contradicts another option."""
    for key, alias in feeding.mapped:
        if f"{key}/{alias}" in given:
            raise errors.OptionError(
                f"The input {key}/{alias} is in both --feature (requests.features) and --input (requests.inputs). "
                "Drop one of them."
            )
    used = {f"{target.signatures[0]}/{each.alias}" for target in called for each in target.constants}
    unused = [name for name in given if name not in used and not any(name.startswith(f"{key}/") for key in left_out)]
    if unused:
        raise errors.OptionError(
            f"--input (requests.inputs) gives the input {unused[0]}, but no Predict request has it. Add its signature "
            "to --signature (requests.signatures), or drop the value."
        )


def constants_of(called: Sequence[Target]) -> dict[str, str]:
    """The inputs that get the same value in every request, `SIGNATURE/INPUT` -> its JSON."""
    return {f"{target.signatures[0]}/{each.alias}": each.value for target in called for each in target.constants}


def left_to_defaults(called: Sequence[Target], available: Mapping[str, signatures.Signature]) -> list[str]:
    """The inputs that Predict requests leave out, `SIGNATURE/INPUT` each: the model has defaults for them."""
    left = []
    for target in called:
        if target.method is options.Method.PREDICT:
            fed = {target.serialized_input, *(each.alias for each in target.dense_inputs)}
            fed.update(each.alias for each in target.constants)
            (key,) = target.signatures
            left += [f"{key}/{alias}" for alias in available[key].inputs if alias not in fed]
    return left


def fed_by_lists(called: Sequence[Target]) -> list[str]:
    """The targets that take lists, `SIGNATURE:METHOD` each."""
    return [f"{','.join(target.signatures)}:{target.method.value}" for target in called if target.takes_lists]


def fed(called: Sequence[Target]) -> tuple[evidence.Fed, ...]:
    """What feeds each input of the targets."""
    found = []
    for target in called:
        if target.dense_inputs:
            found += [
                evidence.Fed(key, target.method, dense.alias, dense.feature)
                for key in target.signatures
                for dense in target.dense_inputs
            ]
        elif target.takes_records:
            alias = target.serialized_input or _CLASSIFY_INPUT
            found += [evidence.Fed(key, target.method, alias, None) for key in target.signatures]
    return tuple(found)


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


def _unfeedable(message: str) -> errors.ModelError:
    return errors.ModelError(message, code=_NOT_SERVABLE)


def _target(
    key: str,
    method: options.Method | None,
    available: Mapping[str, signatures.Signature],
    feeding: features.Features,
    given: Mapping[str, constants.Constant],
    batch_sizes: Sequence[int],
) -> Target:
    signature = _signature(key, available)
    asked, method = method, method or signature.method
    if method is options.Method.PREDICT:
        return _predict(signature, feeding, given, batch_sizes)
    if not feeding.are_lists:
        _check_batch_sizes(signature, batch_sizes)
    problem = _not_servable_as(signature, method)
    if problem:
        hint = "" if asked else f" That is the method it declares; to call it with Predict, write {key}:predict."
        raise _unfeedable(f"Signature {key!r} cannot serve {method.value}: {problem}.{hint}")
    return Target((key,), method, takes_lists=feeding.are_lists)


def _predict(
    signature: signatures.Signature,
    feeding: features.Features,
    given: Mapping[str, constants.Constant],
    batch_sizes: Sequence[int],
) -> Target:
    key = signature.key
    for alias, tensor in signature.inputs.items():
        if tensor.composite not in {None, composites.MAYBE_RAGGED}:
            raise _composite_error(key, alias, tensor)
    fixed = tuple(given[f"{key}/{alias}"] for alias in signature.inputs if f"{key}/{alias}" in given)
    inputs = {alias: tensor for alias, tensor in signature.inputs.items() if f"{key}/{alias}" not in given}
    optional = {alias for alias in inputs if alias in signature.defaults and (key, alias) not in feeding.mapped}
    required = dataclasses.replace(
        signature, inputs={alias: tensor for alias, tensor in inputs.items() if alias not in optional}
    )
    for alias, tensor in required.inputs.items():
        _check_feedable(key, alias, tensor)  # first, because without this input another may take whole records
    only = _only_string(required, feeding)
    if only == "":
        _check_batch_sizes(required, batch_sizes)
        return Target((key,), options.Method.PREDICT, serialized_input=next(iter(required.inputs)), constants=fixed)
    dense = []
    for alias, tensor in inputs.items():
        feature = only if only and alias in required.inputs else feeding.of(key, alias)
        try:
            dense.append(_dense_input(key, alias, tensor, feature, batch_sizes))
        except errors.ModelError as error:
            if alias not in optional or error.code not in _LEFT_OUT:
                raise
    return Target((key,), options.Method.PREDICT, dense_inputs=tuple(dense), constants=fixed)


def _dense_input(
    key: str, alias: str, tensor: signatures.TensorSpec, feature: str | None, batch_sizes: Sequence[int]
) -> tensors.DenseInput:
    _check_feedable(key, alias, tensor)
    advice = f" If that is not the batch, give the input a value with --input {key}/{alias}=JSON (requests.inputs)."
    _check_batch_size(key, alias, tensor, batch_sizes, advice)
    if not feature:
        if tensor.composite:
            raise _composite_error(key, alias, tensor)
        why = "only a lone vector of strings takes whole records" if feature == "" else "none has its name"
        raise _unfeedable(
            f"Input {alias!r} ({tensor}) of signature {key!r} has no feature: {why}. Map one with --feature "
            f"{key}/{alias}=FEATURE (requests.features), or give it a value for all requests with --input "
            f"{key}/{alias}=JSON (requests.inputs)."
        )
    shape = None if tensor.shape is None else tensor.shape[1:]
    return tensors.DenseInput(alias, feature, tensor.dtype, shape)


def _check_feedable(key: str, alias: str, tensor: signatures.TensorSpec) -> None:
    problem = tensors.unfeedable(tensor)
    if problem:
        advice = f" Give it a value for all requests with --input {key}/{alias}=JSON (requests.inputs)."
        raise _unfeedable(
            f"Input {alias!r} ({tensor}) of signature {key!r} cannot be fed by a feature: {problem}."
            f"{advice if tensors.feature_list(tensor.dtype) else ''}"
        )


def _composite_error(key: str, alias: str, tensor: signatures.TensorSpec) -> errors.ModelError:
    """The error for an input that is a composite tensor or a part of one, or may be."""
    says = f"is, or is part of, a {tensor.composite} tensor"
    if tensor.composite == composites.MAYBE_RAGGED:
        says = "has no feature of its name, and looks like a part of a ragged tensor"
    return errors.ModelError(
        f"Input {alias!r} ({tensor}) of signature {key!r} {says}. Sparse and ragged inputs are not supported. Name "
        "other signatures with --signature (requests.signatures), for example one that parses serialized tf.Examples.",
        code=_COMPOSITE_INPUT,
    )


def _only_string(signature: signatures.Signature, feeding: features.Features) -> str | None:
    """What feeds the only input of a signature if that takes strings: a feature, or "" for the whole record."""
    if len(signature.inputs) != 1:
        return None
    ((alias, tensor),) = signature.inputs.items()
    if tensor.dtype != "string" or tensors.unfeedable(tensor):
        return None
    vector = _is_record_input(signature)
    feature = feeding.of_only_string(signature.key, alias, vector=vector)
    return feature if feature or vector else None  # a mapping to nothing is refused with the other inputs


def _check_batch_sizes(signature: signatures.Signature, batch_sizes: Sequence[int]) -> None:
    for alias, tensor in signature.inputs.items():
        _check_batch_size(signature.key, alias, tensor, batch_sizes)


def _check_batch_size(
    key: str, alias: str, tensor: signatures.TensorSpec, batch_sizes: Sequence[int], advice: str = ""
) -> None:
    fixed = tensor.shape[0] if tensor.shape else None
    wrong = [size for size in batch_sizes if fixed not in (None, size)]
    if wrong:
        raise _unfeedable(
            f"Input {alias!r} ({tensor}) of signature {key!r} accepts only batches of {fixed}, not of "
            f"{', '.join(map(str, wrong))}. Use --batch-size {fixed} (warmup.batch_sizes).{advice}"
        )


def _pair(
    pair: str, available: Mapping[str, signatures.Signature], batch_sizes: Sequence[int], *, takes_lists: bool
) -> Target:
    keys = tuple(pair.split(","))
    if len(keys) != 2 or keys[0] == keys[1]:  # noqa: PLR2004 - a pair
        raise errors.OptionError(
            f"--multi-inference (requests.multi_inference) {pair!r} is not a pair of different signatures. Write "
            "SIGNATURE,SIGNATURE."
        )
    methods = []
    for key in keys:
        signature = _signature(key, available)
        if not takes_lists:
            _check_batch_sizes(signature, batch_sizes)
        declared = [signature.method] if signature.method in _CHECKS else list(_CHECKS)
        fitting = [method for method in declared if not _not_servable_as(signature, method)]
        if not fitting:
            raise errors.ModelError(
                f"Signature {key!r} can serve neither classify nor regress, so it cannot be in --multi-inference "
                "(requests.multi_inference).",
                code=_NOT_SERVABLE,
            )
        methods.append(fitting[0])
    return Target(keys, options.Method.MULTI_INFERENCE, tuple(methods), takes_lists)


def _is_record_input(signature: signatures.Signature) -> bool:
    """Whether the only input is a string vector, the shape of serialized examples."""
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
