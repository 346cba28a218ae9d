"""What a signature's graph does with a string input: whether it parses records from it, and which features they need.

Reads the proto, never loads the graph. Follows the input through functions and through ops that leave strings as they
are; a string that is decoded or changed first is not a record.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infraval.tensorflow_protos import meta_graph_pb2, types_pb2

_PASSING = frozenset(
    [
        "Concat",
        "ConcatV2",
        "EnsureShape",
        "Enter",
        "Exit",
        "ExpandDims",
        "Gather",
        "GatherNd",
        "GatherV2",
        "Identity",
        "IdentityN",
        "Merge",
        "NextIteration",
        "Pack",
        "PlaceholderWithDefault",
        "PreventGradient",
        "Reshape",
        "Slice",
        "Snapshot",
        "Squeeze",
        "StopGradient",
        "StridedSlice",
        "Switch",
        "TensorArrayReadV3",
        "TensorArrayScatterV3",
        "TensorListFromTensor",
        "TensorListGetItem",
        "TensorListStack",
        "Transpose",
        "Unpack",
    ]
)
"""Ops whose outputs contain the strings of their inputs unchanged."""

_PARSING = frozenset(
    [
        "DecodeProtoV2",
        "ParseExample",
        "ParseExampleV2",
        "ParseSequenceExample",
        "ParseSequenceExampleV2",
        "ParseSingleExample",
        "ParseSingleSequenceExample",
    ]
)

_KINDS = {types_pb2.DT_FLOAT: "float_list", types_pb2.DT_INT64: "int64_list", types_pb2.DT_STRING: "bytes_list"}


@dataclasses.dataclass(frozen=True)
class Feature:
    """What a graph parses from a tf.Example under one key.

    Attributes:
      kind: of the tf.train.Feature.
      required: whether there is no default value, so that an example must have it.
      count: how many values it must have; None for any number.
    """

    kind: str
    required: bool = False
    count: int | None = None


@dataclasses.dataclass(frozen=True)
class Parsing:
    """How a graph parses records.

    Attributes:
      features: by key; None if the graph does not show them, or if records are no tf.Examples.
    """

    features: Mapping[str, Feature] | None


ReadParsing = Callable[[str, str], Parsing | None]
"""(signature, alias of an input) -> how the graph parses records from it; None if it does not."""


def of(meta_graph: meta_graph_pb2.MetaGraphDef) -> ReadParsing:
    """Reads the graph of a MetaGraphDef, scope by scope as it is asked about."""
    return functools.cache(_Graph(meta_graph).parsing)


@dataclasses.dataclass
class _Scope:
    """The nodes of the graph, or of a function.

    Attributes:
      nodes: by name.
      consumers: of a node's outputs: node and position among its inputs.
      arguments: names, for a function.
      returned: names of the nodes that a function's outputs come from.
    """

    nodes: Mapping[str, Any]
    consumers: Mapping[str, list[tuple[Any, int]]]
    arguments: tuple[str, ...] = ()
    returned: frozenset[str] = frozenset()


_MAIN = ""
"""Name of the scope of the graph itself; no function has an empty one."""


class _Graph:
    """The nodes of a MetaGraphDef, indexed scope by scope as they are needed."""

    def __init__(self, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
        self._meta_graph = meta_graph
        self._functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
        self._scopes: dict[str, _Scope] = {}

    def parsing(self, key: str, alias: str) -> Parsing | None:
        """How records are parsed from an input; None if they are not."""
        start = _node_name(self._meta_graph.signature_def[key].inputs[alias].name)
        parsers = list(self._parsers(start))
        if not parsers:
            return None
        features: dict[str, Feature] = {}
        for scope, node in parsers:
            found = _features(scope, node)
            if found is None:
                return Parsing(None)
            for name, feature in found.items():
                if name not in features or feature.required:
                    features[name] = feature
        return Parsing(features)

    def _parsers(self, start: str) -> Iterator[tuple[_Scope, Any]]:  # noqa: C901 - one walk with one state
        """The parsing ops that get the output of a node as it is."""
        pending = [(_MAIN, start)]
        seen = set(pending)
        callers: dict[str, set[tuple[str, str]]] = {}
        returning: set[str] = set()

        def follow(scope: str, name: str) -> None:
            if (scope, name) not in seen:
                seen.add((scope, name))
                pending.append((scope, name))

        while pending:
            scope_name, name = pending.pop()
            scope = self._scope(scope_name)
            if name in scope.returned and scope_name not in returning:
                returning.add(scope_name)
                for caller in callers.get(scope_name, ()):
                    follow(*caller)
            for node, position in scope.consumers.get(name, ()):
                if node.op in _PARSING:
                    if position == 0 and (scope_name, f"^{node.name}") not in seen:  # the first input has the records
                        seen.add((scope_name, f"^{node.name}"))
                        yield scope, node
                    continue
                called = self._called(node)
                for function, offset in called:
                    arguments = self._scope(function).arguments
                    if 0 <= position - offset < len(arguments):
                        callers.setdefault(function, set()).add((scope_name, node.name))
                        follow(function, arguments[position - offset])
                    if function in returning:
                        follow(scope_name, node.name)
                if node.op in _PASSING and not called:
                    follow(scope_name, node.name)

    def _called(self, node: Any) -> list[tuple[str, int]]:
        """The functions that a node calls, and the position of its input that is each one's first argument."""
        names = [node.op] if node.op in self._functions else []
        for attribute in node.attr.values():
            names += [function.name for function in (attribute.func, *attribute.list.func) if function.name]
        offset = int(node.op in {"Case", "If", "RemoteCall", "StatelessCase", "StatelessIf"})  # after the condition
        return [(name, offset) for name in names if name in self._functions]

    def _scope(self, name: str) -> _Scope:
        if name not in self._scopes:
            if name == _MAIN:
                self._scopes[name] = _scope(self._meta_graph.graph_def.node)
            else:
                function = self._functions[name]
                arguments = tuple(argument.name for argument in function.signature.input_arg)
                returned = frozenset(map(_node_name, function.ret.values()))
                self._scopes[name] = _scope(function.node_def, arguments, returned)
        return self._scopes[name]


def _scope(nodes: Any, arguments: tuple[str, ...] = (), returned: frozenset[str] = frozenset()) -> _Scope:
    consumers: dict[str, list[tuple[Any, int]]] = {}
    for node in nodes:
        for position, tensor in enumerate(node.input):
            if not tensor.startswith("^"):  # a control input
                consumers.setdefault(_node_name(tensor), []).append((node, position))
    return _Scope({node.name: node for node in nodes}, consumers, arguments, returned)


def _node_name(tensor: str) -> str:
    """NODE:INDEX in the graph, NODE:OUTPUT:INDEX or the name of an argument in a function -> name of the node."""
    return tensor.partition(":")[0]


def _features(scope: _Scope, node: Any) -> dict[str, Feature] | None:
    """The features that an op parses from tf.Examples; None if it parses other records, or the keys are not constant.

    See tensorflow/core/ops/parsing_ops.cc.
    """
    inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
    attributes = node.attr
    dense_types, shapes = attributes["Tdense"].list.type, attributes["dense_shapes"].list.shape
    sparse_types, ragged_types = attributes["sparse_types"].list.type, attributes["ragged_value_types"].list.type
    if node.op == "ParseSingleExample":
        sparse, dense = attributes["sparse_keys"].list.s, attributes["dense_keys"].list.s
        ragged, defaults = [], inputs[1:]
    else:
        if node.op == "ParseExampleV2":
            keys = [_strings(scope, tensor) for tensor in inputs[2:5]]
            defaults = inputs[5:]
        elif node.op == "ParseExample":
            key_inputs = [_strings(scope, tensor) for tensor in inputs[2 : 2 + len(sparse_types) + len(dense_types)]]
            if None in key_inputs:
                return None
            names = list(itertools.chain.from_iterable(filter(None, key_inputs)))
            keys = [names[: len(sparse_types)], names[len(sparse_types) :], []]
            defaults = inputs[2 + len(sparse_types) + len(dense_types) :]
        else:
            return None
        if len(keys) != 3 or None in keys:  # noqa: PLR2004 - sparse, dense and ragged
            return None
        sparse, dense, ragged = (list(each or ()) for each in keys)
    if not (len(dense) == len(dense_types) == len(shapes) == len(defaults)):
        return None
    found = {
        _text(name): Feature(_KINDS.get(dtype, ""), required=_is_empty(scope, default), count=_count(shape))
        for name, dtype, shape, default in zip(dense, dense_types, shapes, defaults, strict=True)
    }
    for names, types in ((sparse, sparse_types), (ragged, ragged_types)):
        if len(names) != len(types):
            return None
        found |= {_text(name): Feature(_KINDS.get(dtype, "")) for name, dtype in zip(names, types, strict=True)}
    return found


def _constant(scope: _Scope, tensor: str) -> Any:
    """The TensorProto of a constant, or None."""
    node = scope.nodes.get(_node_name(tensor))
    return node.attr["value"].tensor if node is not None and node.op == "Const" else None


def _strings(scope: _Scope, tensor: str) -> list[bytes] | None:
    """The values of a constant scalar or vector of strings."""
    constant = _constant(scope, tensor)
    if constant is None:
        return None
    size = math.prod(dim.size for dim in constant.tensor_shape.dim)
    values = list(constant.string_val)
    if len(values) < size and values and size <= len(scope.nodes) + len(values):
        values += values[-1:] * (size - len(values))  # a TensorProto may leave out repetitions of the last value
    return values if len(values) == size else None


def _is_empty(scope: _Scope, tensor: str) -> bool:
    """Whether a default is a constant without values, which stands for none."""
    constant = _constant(scope, tensor)
    return constant is not None and any(dim.size == 0 for dim in constant.tensor_shape.dim)


def _count(shape: Any) -> int | None:
    sizes = [dim.size for dim in shape.dim]
    return None if shape.unknown_rank or any(size < 0 for size in sizes) else math.prod(sizes)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
