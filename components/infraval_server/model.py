"""Loading a SavedModel and running its graph as TensorFlow Serving does: in one TF1 session.

TF2's `tf.saved_model.load` restores variables through the object graph and so serves models that TensorFlow Serving
cannot; only the session on the MetaGraphDef tells the truth about production.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from infraval_server import log, status, tensors, wire

Run = Callable[[Mapping[str, tensors.Array], Sequence[str]], list[tensors.Array]]
"""Runs the graph: values by feed name, and the names to fetch, to the values fetched in that order."""

_INIT_OP_SIGNATURE = "__saved_model_init_op"
_INIT_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


@dataclasses.dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    Attributes:
      signatures: SignatureDefs by key.
      run: runs the graph; safe to call from many threads.
    """

    signatures: Mapping[str, Any]
    run: Run


def load(path: Path, tags: Collection[str]) -> Model:
    """Imports the graph, restores the variables and runs the init op, as TensorFlow's C++ loader.

    Source: cc/saved_model/loader.cc. The loader of `tf.compat.v1` does the same, but also restores collections that
    only training needs, refuses a model without a checkpoint, and rewrites messages.

    Args:
      path: directory of the SavedModel.
      tags: those of the MetaGraphDef to load, all and no others.

    Raises:
      StatusError: the model does not load.
    """
    meta_graph = _read(path, tags)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with _status_errors(), session.graph.as_default():
        ops = meta_graph.meta_info_def.stripped_op_list
        tf.compat.v1.import_graph_def(meta_graph.graph_def, name="", producer_op_list=ops if ops.op else None)
    assets = _assets(meta_graph, path)
    checkpoint = path / "variables" / "variables"
    index = checkpoint.with_suffix(".index")
    if index.exists():
        saver = meta_graph.saver_def
        _run_op(session, saver.restore_op_name, {saver.filename_tensor_name: str(checkpoint), **assets})
    else:
        log.info(
            f"The specified SavedModel has no variables; no checkpoints were restored. File does not exist: {index}"
        )
    init_op = _init_op(meta_graph)
    if init_op:
        _run_op(session, init_op, assets)
    return Model(meta_graph.signature_def, _SessionRun(session))


def _read(path: Path, tags: Collection[str]) -> Any:
    saved_model = saved_model_pb2.SavedModel()
    binary, text = path / "saved_model.pb", path / "saved_model.pbtxt"
    try:
        if binary.exists():
            wire.parse(binary.read_bytes(), saved_model)
        elif text.exists():
            text_format.Parse(text.read_bytes(), saved_model)
        else:
            raise status.StatusError(
                status.Code.NOT_FOUND,
                f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. Check that the "
                "directory exists and that you have the right permissions for accessing it.",
            )
    except DecodeError:
        raise status.StatusError(status.Code.DATA_LOSS, f"Can't parse {binary} as binary proto") from None
    except (text_format.ParseError, UnicodeDecodeError):
        raise status.StatusError(status.Code.DATA_LOSS, f"Can't parse {text} as text proto") from None
    except OSError as error:
        raise status.from_os_error(error, str(path)) from error
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    raise status.StatusError(
        status.Code.NOT_FOUND,
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(tags))} }}. To inspect available "
        "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )


def _assets(meta_graph: Any, path: Path) -> dict[str, str]:
    """Paths of the asset files by the name of the tensor that is fed with it."""
    files = list(meta_graph.asset_file_def)
    if not files:
        for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
            file = meta_graph_pb2.AssetFileDef()
            packed.Unpack(file)
            files.append(file)
    return {file.tensor_info.name: str(path / "assets" / file.filename) for file in files}


def _init_op(meta_graph: Any) -> str:
    if _INIT_OP_SIGNATURE in meta_graph.signature_def:
        return str(meta_graph.signature_def[_INIT_OP_SIGNATURE].outputs[_INIT_OP_SIGNATURE].name)
    for key in _INIT_OP_COLLECTIONS:
        if key in meta_graph.collection_def:
            return str(meta_graph.collection_def[key].node_list.value[0])
    return ""


def _run_op(session: Any, name: str, feeds: Mapping[str, str]) -> None:
    with _status_errors():
        call = _prepare(session, config_pb2.CallableOptions(feed=list(feeds), target=[name]))
        call(*(np.array(value.encode(), dtype=object) for value in feeds.values()))


def _prepare(session: Any, options: Any) -> Any:
    # The public make_callable is five times slower, checks shapes itself, and has other words for what goes wrong.
    return session._make_callable_from_options(options)  # noqa: SLF001 - see above


@contextlib.contextmanager
def _status_errors() -> Iterator[None]:
    """Raises a StatusError for what TensorFlow raises, with the message of its C++ side."""
    try:
        yield
    except tf.errors.OpError as error:
        raise status.StatusError(status.Code(error.error_code), error.message) from error
    except UnicodeDecodeError as error:
        # The message quotes bytes of the input; TensorFlow's Python API drops the status but for these bytes.
        raise status.invalid_argument(error.object.decode(errors="surrogateescape")) from error
    except ValueError as error:
        # What the importer says is INVALID_ARGUMENT; its Python wrapper makes it a ValueError.
        raise status.invalid_argument(str(error)) from error


def _array(fetched: Any) -> tensors.Array:
    # Of strings, and of nothing else, TensorFlow's Python API hands a scalar out as what is in it.
    return np.array(fetched, dtype=object) if isinstance(fetched, bytes) else fetched


class _SessionRun:
    """A session with one prepared callable for each set of feeds and fetches."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}

    def __call__(self, feeds: Mapping[str, tensors.Array], fetches: Sequence[str]) -> list[tensors.Array]:
        """See `Run`.

        Raises:
          StatusError: what the session says, in its own words.
        """
        feed_names = tuple(sorted(feeds))
        fetch_names = tuple(sorted(set(fetches)))
        arrays = [feeds[name] for name in feed_names]
        with _status_errors():
            call = self._callable(feed_names, fetch_names)
            self._check_dtypes(feed_names, arrays)
            fetched = dict(zip(fetch_names, map(_array, call(*arrays)), strict=True))
        return [fetched[name] for name in fetches]

    def _callable(self, feed_names: tuple[str, ...], fetch_names: tuple[str, ...]) -> Any:
        key = (feed_names, fetch_names)
        with self._lock:
            if key not in self._callables:
                options = config_pb2.CallableOptions(feed=feed_names, fetch=fetch_names)
                self._callables[key] = _prepare(self._session, options)
            return self._callables[key]

    def _check_dtypes(self, feed_names: Sequence[str], arrays: Sequence[tensors.Array]) -> None:
        """Reports a wrong dtype as the C++ Session::Run does, which numbers the feeds in sorted order."""
        for index, (name, array) in enumerate(zip(feed_names, arrays, strict=True)):
            expected = self._session.graph.get_tensor_by_name(name).dtype
            given = tf.as_dtype(array.dtype)
            if given != expected:
                names = tensors.dtype_name(expected), tensors.dtype_name(given)
                raise status.invalid_argument(f"Expects arg[{index}] to be {names[0]} but {names[1]} is provided")
