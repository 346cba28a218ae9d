"""SavedModel -> typed signatures: reads the proto, never loads the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import message, text_format

from infraval import errors, escape, options, protos
from infraval.requests import composites, locations
from infraval.tensorflow_protos import meta_graph_pb2, saved_model_pb2, types_pb2

_MAX_SHOWN = 20

_NOT_CALLED = {"__saved_model_init_op", "__saved_model_train_op"}
"""Keys under which TensorFlow keeps its own ops among the signatures (tensorflow/cc/saved_model/constants.h)."""

_METHODS = {
    "tensorflow/serving/predict": options.Method.PREDICT,
    "tensorflow/serving/classify": options.Method.CLASSIFY,
    "tensorflow/serving/regress": options.Method.REGRESS,
}


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output of a signature (mirrors TensorInfo in tensorflow/core/protobuf/meta_graph.proto).

    Attributes:
      dtype: name of the DataType without its prefix, in lower case: `float`, `int64`, `string`.
      shape: sizes of the dimensions, None for one of unknown size; None if the rank is unknown.
      composite: for an input that is a composite tensor or a part of one, which kind, as in `composites.kinds`; for
        such an output, how it is encoded.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    composite: str | None = None

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits."""
        if self.shape is None:
            return True
        return len(self.shape) == len(shape) and all(
            size in {None, given} for size, given in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of unknown rank"
        return f"{self.dtype}[{', '.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclasses.dataclass(frozen=True)
class Signature:
    """A SignatureDef that can be called.

    Attributes:
      key: its key in the MetaGraphDef's `signature_def`.
      method: what its `method_name` says; Predict for a name without an RPC, because TF Serving's Predict ignores it.
      inputs: by alias.
      outputs: by alias.
      defaults: aliases of the inputs with a default, which a Predict request may leave out.
      method_name: as it is in the model; may be empty.
    """

    key: str
    method: options.Method
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    defaults: frozenset[str] = frozenset()
    method_name: str = ""


def read(model: Path, tag_set: tuple[str, ...] = ()) -> dict[str, Signature]:
    """Reads the callable signatures of a SavedModel's MetaGraphDef with exactly these tags, sorted by key.

    Raises:
      ModelError: there is no readable SavedModel, no MetaGraphDef with these tags, or several and no tags were given.
    """
    return of(meta_graph(model, tag_set))


def of(graph: meta_graph_pb2.MetaGraphDef) -> dict[str, Signature]:
    """The callable signatures of a MetaGraphDef, sorted by key."""
    kinds = composites.kinds(graph)
    return {
        key: Signature(
            key=key,
            method=_METHODS.get(definition.method_name, options.Method.PREDICT),
            inputs={
                alias: _tensor_spec(info, kinds[key].get(alias)) for alias, info in sorted(definition.inputs.items())
            },
            outputs={alias: _tensor_spec(info, _encoded(info)) for alias, info in sorted(definition.outputs.items())},
            defaults=frozenset(definition.defaults).intersection(definition.inputs),
            method_name=definition.method_name,
        )
        for key, definition in sorted(graph.signature_def.items())
        if key not in _NOT_CALLED
    }


def meta_graph(model: Path, tag_set: tuple[str, ...] = ()) -> meta_graph_pb2.MetaGraphDef:
    """Reads the MetaGraphDef with exactly these tags; raises as `read` does."""
    return _meta_graph(_read_proto(model), model, tag_set)


def _read_proto(model: Path) -> saved_model_pb2.SavedModel:
    if not model.is_dir():
        advice = locations.advice(model) or "Set --model (model) to the directory that contains saved_model.pb."
        raise errors.ModelError(f"There is no directory {model}. {advice}", code="model/missing")
    saved_model = saved_model_pb2.SavedModel()
    binary, text = model / "saved_model.pb", model / "saved_model.pbtxt"
    try:
        if binary.is_file():
            protos.parse(binary.read_bytes(), saved_model)
        elif text.is_file():
            text_format.Parse(text.read_text(encoding="utf-8"), saved_model)
        else:
            holders = sorted({found.parent.name for found in model.glob("*/saved_model.pb*")})
            versions = [name for name in holders if name.isdecimal()]
            hint = "Set --model (model) to the directory that does."
            if versions:
                hint = f"Set --model (model) to one of the versions in it: {escape.names(versions)}."
            elif holders:
                hint = f"Set --model (model) to one of the directories in it that do: {escape.names(holders)}."
            raise errors.ModelError(f"{model} does not contain saved_model.pb. {hint}", code="model/missing")
    except OSError as error:
        raise errors.ModelError(f"The SavedModel in {model} cannot be read: {error.strerror}.") from error
    except (message.DecodeError, text_format.ParseError, UnicodeDecodeError):
        raise errors.ModelError(
            f"The SavedModel in {model} is corrupt and cannot be parsed. Export it again.", code="model/corrupt"
        ) from None
    return saved_model


def _meta_graph(
    saved_model: saved_model_pb2.SavedModel, model: Path, tag_set: tuple[str, ...]
) -> meta_graph_pb2.MetaGraphDef:
    tags = [",".join(sorted(meta_graph.meta_info_def.tags)) for meta_graph in saved_model.meta_graphs]
    found = "; ".join(map(escape.name, tags[:_MAX_SHOWN]))
    if not tag_set:
        if len(saved_model.meta_graphs) == 1:
            return saved_model.meta_graphs[0]
        raise errors.ModelError(
            f"{model} has several MetaGraphDefs, with the tags {found}. Select one by its tags with --tag-set "
            "(requests.tag_set)."
            if found
            else f"{model} has no MetaGraphDef. Export it again.",
            code="model/tag-set" if found else "model/corrupt",
        )
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tag_set):
            return meta_graph
    raise errors.ModelError(
        f"{model} has no MetaGraphDef with the tags {','.join(tag_set)}, but with: {found or 'none'}. Change --tag-set "
        "(requests.tag_set).",
        code="model/tag-set",
    )


def _encoded(info: meta_graph_pb2.TensorInfo) -> str | None:
    """How a composite tensor is encoded; None for a dense one."""
    encoding = info.WhichOneof("encoding")
    return str(encoding) if encoding in {"coo_sparse", "composite_tensor"} else None


def _tensor_spec(info: meta_graph_pb2.TensorInfo, composite: str | None = None) -> TensorSpec:
    known = info.dtype in types_pb2.DataType.values()
    # A later TensorFlow may have types that this version does not know.
    dtype = types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower() if known else f"type {info.dtype}"
    if info.tensor_shape.unknown_rank:
        return TensorSpec(dtype, None, composite)
    shape = tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim)
    return TensorSpec(dtype, shape, composite)
