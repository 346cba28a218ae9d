"""Inputs that are ragged or sparse tensors, or parts of one: what a SavedModel says of them, in several places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from infraval.tensorflow_protos import function_pb2, meta_graph_pb2, saved_object_graph_pb2, struct_pb2, types_pb2

MAYBE_RAGGED = "maybe ragged"
"""The input looks like a part of a ragged tensor, but two dense inputs can look the same."""

_KINDS = {
    struct_pb2.TypeSpecProto.SPARSE_TENSOR_SPEC: "sparse",
    struct_pb2.TypeSpecProto.RAGGED_TENSOR_SPEC: "ragged",
}

_PLACEHOLDERS = ("values", "indices", "shape")

_INDEX_TYPES = {types_pb2.DT_INT32, types_pb2.DT_INT64}


def kinds(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, dict[str, str]]:
    """Which inputs of each signature are composite tensors or parts of one.

    TF1 says so in `TensorInfo.encoding`, or the parts are those of a `tf.compat.v1.sparse_placeholder`. TF2 gives every
    part an input of its own (`x`, `x_1`, `x_2`). What they were is in the structured signature of the exported
    function, if the model holds that function as an object; otherwise it is guessed by names, types and shapes.

    Returns:
      Aliases by key of the signature, each with `sparse`, `ragged`, `composite` or MAYBE_RAGGED; inputs that are dense
      tensors are not in it.
    """
    library = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    structured = meta_graph.object_graph_def.concrete_functions
    wrappers = _wrappers(meta_graph.object_graph_def)
    found = {}
    for key, definition in meta_graph.signature_def.items():
        inputs = dict(definition.inputs)
        found[key] = {alias: kind for alias, info in inputs.items() if (kind := _encoded(info))}
        found[key] |= dict.fromkeys(_placeholders(inputs), "sparse")
        called = _exported_function(library, wrappers.get(key, ""))
        if called is None:
            continue
        aliases, function = called
        if function.signature.name in structured:
            parts = _structured(structured[function.signature.name].canonicalized_input_signature)
        else:
            parts = iter(_guessed(function, [inputs.get(alias) for alias in aliases]))
        found[key] |= {alias: kind for alias, kind in zip(aliases, parts, strict=False) if kind and alias in inputs}
    return found


def _encoded(info: meta_graph_pb2.TensorInfo) -> str | None:
    encoding = info.WhichOneof("encoding")
    if encoding == "coo_sparse":
        return "sparse"
    return _kind(info.composite_tensor.type_spec) if encoding == "composite_tensor" else None


def _placeholders(inputs: Mapping[str, meta_graph_pb2.TensorInfo]) -> Iterator[str]:
    """The inputs that are parts of a tf.compat.v1.sparse_placeholder, by the names of its nodes."""
    aliases = {info.name: alias for alias, info in inputs.items()}
    for name in aliases:
        prefix = name.removesuffix("/values:0")
        if prefix != name and f"{prefix}/indices:0" in aliases:
            yield from (aliases[part] for kind in _PLACEHOLDERS if (part := f"{prefix}/{kind}:0") in aliases)


def _kind(spec: struct_pb2.TypeSpecProto) -> str:
    return _KINDS.get(spec.type_spec_class, "composite")


def _wrappers(graph: saved_object_graph_pb2.SavedObjectGraph) -> dict[str, str]:
    """The name of the function of each signature: the object graph's root holds them in `signatures`."""
    nodes = graph.nodes

    def children(node: saved_object_graph_pb2.SavedObject) -> dict[str, saved_object_graph_pb2.SavedObject]:
        return {child.local_name: nodes[child.node_id] for child in node.children if 0 <= child.node_id < len(nodes)}

    signatures = children(nodes[0]).get("signatures") if nodes else None
    held = {} if signatures is None else children(signatures)
    return {key: str(node.bare_concrete_function.concrete_function_name) for key, node in held.items()}


def _exported_function(
    library: Mapping[str, function_pb2.FunctionDef], wrapper_name: str
) -> tuple[list[str], function_pb2.FunctionDef] | None:
    """The function that was exported as a signature, and the alias of each of its arguments.

    tf.saved_model.save wraps it in a function without structure, whose arguments have the aliases as their names.
    """
    wrapper = library.get(wrapper_name)
    if wrapper is None:
        return None
    aliases = dict(zip((each.name for each in wrapper.signature.input_arg), _user_names(wrapper), strict=True))
    for node in wrapper.node_def:
        function = library.get(node.attr["f"].func.name) if "f" in node.attr else None
        if function is not None:
            return [aliases.get(name, "") for name in node.input], function
    return None


def _user_names(function: function_pb2.FunctionDef) -> list[str]:
    """The names that its arguments had in Python, which are not unique."""
    attributes = function.arg_attr
    return [
        attributes[index].attr["_user_specified_name"].s.decode(errors="replace") if index in attributes else ""
        for index in range(len(function.signature.input_arg))
    ]


def _structured(value: struct_pb2.StructuredValue) -> Iterator[str | None]:
    """What each flat argument is, in the order of tf.nest.flatten; None for a dense tensor."""
    held = value.WhichOneof("kind")
    if held in {"tensor_spec_value", "bounded_tensor_spec_value"}:
        yield None
    elif held == "type_spec_value":
        yield from itertools.repeat(_kind(value.type_spec_value), max(0, value.type_spec_value.num_flat_components))
    elif held == "dict_value":
        for _, field in sorted(value.dict_value.fields.items()):
            yield from _structured(field)
    elif held in {"list_value", "tuple_value"}:
        for each in getattr(value, held).values:
            yield from _structured(each)
    elif held == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from _structured(pair.value)


def _guessed(function: function_pb2.FunctionDef, tensors: list[meta_graph_pb2.TensorInfo | None]) -> list[str | None]:
    """The same as `_structured`, by types and shapes: the parts of one tensor follow each other and share a name."""
    names = _user_names(function)[: len(tensors)]
    guessed: list[str | None] = []
    while len(guessed) < len(names):
        start = len(guessed)
        same = itertools.takewhile(lambda index: names[index] == names[start], range(start, len(names)))  # noqa: B023
        kind, count = _first_parts([tensors[index] for index in same])
        guessed += [kind] * count
    return guessed


def _first_parts(tensors: list[meta_graph_pb2.TensorInfo | None]) -> tuple[str | None, int]:
    """What the first of these inputs may be a part of, and how many parts it has."""
    shapes = [_shape(info) for info in tensors]
    dtypes = [info.dtype if info is not None else 0 for info in tensors]
    if len(tensors) >= 3 and dtypes[0] == dtypes[2] == types_pb2.DT_INT64:  # noqa: PLR2004 - indices, values, shape
        rank = shapes[2][0] if shapes[2] else 0
        if shapes[:3] == [[-1, rank], [-1], [rank]]:
            return "sparse", 3
    row_splits = itertools.takewhile(
        lambda index: dtypes[index] in _INDEX_TYPES and shapes[index] == [-1], range(1, len(tensors))
    )
    count = len(list(row_splits))
    return (MAYBE_RAGGED, 1 + count) if count else (None, 1)


def _shape(info: meta_graph_pb2.TensorInfo | None) -> list[int] | None:
    return None if info is None or info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
