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

from infraval_server import log, metrics, python_kernels, status, tensors, wire

Feeds = Sequence[tuple[str, tensors.Array]]
"""Names of tensors to feed, and their values; TensorFlow refuses a name that is there twice."""

Run = Callable[[Feeds, Sequence[str]], list[tensors.Array]]
"""Runs the graph: feeds, and the names to fetch, to the values fetched in that order."""

_INIT_OP_SIGNATURE = "__saved_model_init_op"
_INIT_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


@dataclasses.dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    Attributes:
      signatures: SignatureDefs by key.
      run: runs the graph; safe to call from many threads.
      close: ends the session and frees its variables; nothing may run then or later.
    """

    signatures: Mapping[str, Any]
    run: Run
    close: Callable[[], None]


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
    python_kernels.hide(meta_graph.graph_def)
    # As TensorFlow Serving configures its own: an op that is pinned to a device that is not there is an error.
    config = config_pb2.ConfigProto(allow_soft_placement=False)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    metrics.SESSIONS.add()
    with _status_errors(), session.graph.as_default():
        ops = meta_graph.meta_info_def.stripped_op_list
        tf.compat.v1.import_graph_def(meta_graph.graph_def, name="", producer_op_list=ops if ops.op else None)
        # The whole graph gets its devices and kernels now; Python would put it off until the first run.
        session._extend_graph()  # noqa: SLF001 - see above
    assets = _assets(meta_graph, path)
    with metrics.LOAD_STAGES.timed(str(path), "restore_graph"):
        if meta_graph.HasField("saver_def"):
            _restore(session, meta_graph.saver_def, path / "variables" / "variables", assets)
    with metrics.LOAD_STAGES.timed(str(path), "init_graph"):
        init_op = _init_op(meta_graph)
        if init_op:
            _run_op(session, init_op, assets)
    return Model(meta_graph.signature_def, _SessionRun(session), session.close)


def _restore(session: Any, saver: Any, checkpoint: Path, assets: Mapping[str, str]) -> None:
    index = checkpoint.with_suffix(".index")
    if index.exists():
        _run_op(session, saver.restore_op_name, {saver.filename_tensor_name: str(checkpoint), **assets})
    else:
        log.info(
            f"The specified SavedModel has no variables; no checkpoints were restored. File does not exist: {index}"
        )


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
                "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
                f"`saved_model.pb`)\nSpecified file path: {path}",
            )
    except DecodeError:
        # TensorFlow reads on to the end of the file before it looks at what the parser says.
        raise status.StatusError(status.Code.OUT_OF_RANGE, "Read less bytes than requested") from None
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
        metrics.GRAPH_BUILDS.add()
        _run(call, *(np.array(value.encode(), dtype=object) for value in feeds.values()))


def _prepare(session: Any, options: Any) -> Any:
    # The public make_callable is five times slower, checks shapes itself, and has other words for what goes wrong.
    return session._make_callable_from_options(options)  # noqa: SLF001 - see above


def _run(call: Any, *arrays: tensors.Array) -> Any:
    metrics.SESSION_RUNS.add()
    values = call(*arrays)
    metrics.GRAPH_RUNS.add()
    return values


@contextlib.contextmanager
def _status_errors() -> Iterator[None]:
    """Raises a StatusError for what TensorFlow raises, with the message of its C++ side."""
    try:
        yield
    except tf.errors.OpError as error:
        raise status.StatusError(status.Code(error.error_code), python_kernels.message(error.message)) from error
    except UnicodeDecodeError as error:
        # The message quotes bytes of the input; TensorFlow's Python API drops the status but for these bytes.
        raise status.invalid_argument(error.object.decode(errors="surrogateescape")) from error
    except ValueError as error:
        # What the importer says is INVALID_ARGUMENT; its Python wrapper makes it a ValueError.
        raise status.invalid_argument(str(error)) from error


class _SessionRun:
    """A session with one prepared callable for each set of feeds and fetches."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}
        self._encoded: dict[str, str] = {}

    def __call__(self, feeds: Feeds, fetches: Sequence[str]) -> list[tensors.Array]:
        """See `Run`.

        Raises:
          StatusError: what the session says, in its own words.
        """
        ordered = sorted(feeds, key=lambda feed: feed[0])
        feed_names = tuple(name for name, _ in ordered)
        fetch_names = tuple(sorted(set(fetches)))
        arrays = [array for _, array in ordered]
        with _status_errors():
            call = self._callable(feed_names, fetch_names)
            self._check_dtypes(feed_names, arrays)
            values = _run(call, *arrays)
            fetched = {name: self._array(name, value) for name, value in zip(fetch_names, values, strict=True)}
        return [fetched[name] for name in fetches]

    def _callable(self, feed_names: tuple[str, ...], fetch_names: tuple[str, ...]) -> Any:
        key = (feed_names, fetch_names)
        with self._lock:
            if key not in self._callables:
                # Asked first for what was asked for, so that errors are about that.
                options = config_pb2.CallableOptions(feed=feed_names, fetch=fetch_names)
                call = _prepare(self._session, options)
                encoded = [self._encode(name) for name in fetch_names]
                if encoded != list(fetch_names):
                    call = _prepare(self._session, config_pb2.CallableOptions(feed=feed_names, fetch=encoded))
                self._callables[key] = call
                metrics.GRAPH_BUILDS.add()
            return self._callables[key]

    def _encode(self, name: str) -> str:
        """The tensor to fetch for another one: that one itself, or if numpy has no such values, a serialized proto."""
        tensor = self._session.graph.get_tensor_by_name(_with_index(name))
        if tensor.dtype not in tensors.ENCODED_DTYPES:
            return name
        if name not in self._encoded:
            with self._session.graph.as_default(), tf.device("/CPU:0"):
                self._encoded[name] = tf.raw_ops.SerializeTensor(tensor=tensor, name="infraval_encoded").name
        return self._encoded[name]

    def _array(self, name: str, value: Any) -> tensors.Array:
        if name in self._encoded:
            return tensors.from_encoded(value)
        # Of strings, and of nothing else, TensorFlow's Python API hands a scalar out as what is in it.
        if isinstance(value, bytes):
            return np.array(value, dtype=object)
        # It also hands quantized numbers out as plain ones.
        dtype = self._session.graph.get_tensor_by_name(_with_index(name)).dtype
        return value.view(dtype.as_numpy_dtype) if dtype.is_quantized else value  # type: ignore[no-any-return]

    def _check_dtypes(self, feed_names: Sequence[str], arrays: Sequence[tensors.Array]) -> None:
        """Reports a wrong dtype as the C++ Session::Run does, which numbers the feeds in sorted order."""
        for index, (name, array) in enumerate(zip(feed_names, arrays, strict=True)):
            expected = self._session.graph.get_tensor_by_name(_with_index(name)).dtype
            given = tf.as_dtype(array.dtype)
            if given != expected:
                names = tensors.dtype_name(expected), tensors.dtype_name(given)
                raise status.invalid_argument(f"Expects arg[{index}] to be {names[0]} but {names[1]} is provided")


def _with_index(name: str) -> str:
    """A tensor's name with its output's number, which C++ lets one leave out for the first."""
    return name if ":" in name else f"{name}:0"
