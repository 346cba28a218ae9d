"""A label moved under a running server, in the two steps that TF Serving takes.

TF Serving checks labels before it loads anything: a config with a new version and a label on it is refused at every
poll. So the version is added first, and the label is moved once the version is AVAILABLE. Its status says nothing about
labels; the metadata of a label say which version it names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from infraval import errors, escape
from infraval.kit import labels
from infraval.tensorflow_protos import get_model_metadata_pb2, get_model_status_pb2
from infraval.trial import client

_CALL_TIMEOUT_S = 5.0
_PAUSE_S = 0.1

_NOT_YET = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND})
"""Codes that say nothing final: the server restarts, is busy, or has not read the config yet."""

_Progress = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class Move:
    """A label to move.

    Attributes:
      path: of the config.
      model: name of the model in it.
      label: what is moved.
      version: where to.
      on_disk: versions below the model's base path.
    """

    path: Path
    model: str
    label: str
    version: int
    on_disk: Sequence[int]


def edit(move: Move) -> bool:
    """Edits the config, which no running server reads, in one step; returns whether anything changed.

    Raises:
      InputError: the config cannot be edited.
    """
    before, _, after = _texts(move)
    if after != before:
        labels.write(move.path, before, after)
    return after != before


def under_server(move: Move, target: str, timeout_s: float, progress: _Progress) -> bool:
    """Edits the config that a running server polls, in two steps; returns whether anything changed.

    If the version does not become AVAILABLE, or the wait for it is interrupted, the config is again what it was.

    Args:
      move: what is asked for.
      target: HOST:PORT of the server's gRPC.
      timeout_s: seconds that each of the two steps may take.
      progress: is told what is being waited for.

    Raises:
      InputError: the config cannot be edited, the server does not do as it says, or does not answer.
    """
    before, added, after = _texts(move)
    with contextlib.closing(grpc.insecure_channel(target, options=client.CHANNEL_OPTIONS)) as channel:
        server = _Server(channel, target, move)
        server.check()
        if added != before:
            progress(f"Adding version {move.version} of {move.model} to {move.path}")
        with _restored_on_failure(move.path, before, added):
            server.wait_until_available(timeout_s, progress)
        if after != added:
            progress(f"Moving label {move.label} to version {move.version}")
            labels.write(move.path, added, after)
        server.wait_until_labelled(timeout_s, progress)
    return after != before


def _texts(move: Move) -> tuple[str, str, str]:
    """The config now, with the version, and with the version and the label."""
    before = labels.read(move.path)
    added = labels.add_version(before, move.model, move.version, move.on_disk)
    return before, added, labels.set_label(added, move.model, move.label, move.version)


@contextlib.contextmanager
def _restored_on_failure(path: Path, before: str, after: str) -> Iterator[None]:
    """Writes a config, and restores the one before if the block fails: with a broken version, no server would start."""
    if after == before:
        yield
        return
    try:
        labels.write(path, before, after)
        yield
    except BaseException:
        with contextlib.suppress(errors.InputError):  # changed by somebody else, or not written at all
            labels.write(path, after, before)
        raise


class _Server:
    """What a server says about a model."""

    def __init__(self, channel: grpc.Channel, target: str, move: Move) -> None:
        self._target = target
        self._move = move
        self._status = _method(channel, "ModelService/GetModelStatus", get_model_status_pb2.GetModelStatusResponse)
        self._metadata = _method(
            channel, "PredictionService/GetModelMetadata", get_model_metadata_pb2.GetModelMetadataResponse
        )

    def check(self) -> None:
        """Checks that the server answers and serves the model, before anything is changed."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._move.model
        try:
            self._status(request, timeout=_CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._failure(
                f"does not serve {escape.name(self._move.model)} ({_said(error)}); nothing was changed. Check the name "
                "of the model and --server, which takes the HOST:PORT of gRPC."
            ) from None

    def wait_until_available(self, timeout_s: float, progress: _Progress) -> None:
        """Waits until the version is AVAILABLE."""
        last = ""
        for _ in _polls(timeout_s):
            state, fault = self._state()
            if state == "AVAILABLE":
                return
            if state == "END" and fault:
                raise self._failure(f"could not load version {self._move.version}; the file is as it was: {fault}")
            if state != last:
                progress(f"Waiting until version {self._move.version} of {self._move.model} is AVAILABLE: {state}")
            last = state
        raise self._failure(
            f"did not make version {self._move.version} AVAILABLE within {timeout_s:g} s (--timeout); it was {last}. "
            "The file is as it was. Does the server read this file (--model_config_file), and again after changes "
            "(--model_config_file_poll_wait_seconds)? It refuses a file in which a label names a version that is not "
            "AVAILABLE: its log says so."
        )

    def wait_until_labelled(self, timeout_s: float, progress: _Progress) -> None:
        """Waits until the label names the version."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._move.model
        request.model_spec.version_label = self._move.label
        progress(f"Waiting until label {self._move.label} answers with version {self._move.version}")
        last = ""
        for _ in _polls(timeout_s):
            try:
                named = self._metadata(request, timeout=_CALL_TIMEOUT_S).model_spec.version.value
            except grpc.RpcError as error:
                last = _said(error)
                continue
            if named == self._move.version:
                return
            last = f"it still names version {named}"
        raise self._failure(
            f"did not take the label {self._move.label} within {timeout_s:g} s (--timeout): {last}. The file has the "
            f"label, and version {self._move.version} is AVAILABLE. Does the server read the file again after changes "
            "(--model_config_file_poll_wait_seconds)?"
        )

    def _state(self) -> tuple[str, str]:
        """The state of the version, and what went wrong."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._move.model
        request.model_spec.version.value = self._move.version
        try:
            statuses = self._status(request, timeout=_CALL_TIMEOUT_S).model_version_status
        except grpc.RpcError as error:
            if error.code() not in _NOT_YET:
                raise self._failure(f"does not say whether it serves the version ({_said(error)}).") from None
            return ("not known to the server" if error.code() is grpc.StatusCode.NOT_FOUND else error.code().name), ""
        for status in statuses:
            if status.version == self._move.version:
                states = get_model_status_pb2.ModelVersionStatus.State
                known = status.state in states.values()
                return (states.Name(status.state) if known else str(status.state)), status.status.error_message
        return "not known to the server", ""

    def _failure(self, what: str) -> errors.InputError:
        return errors.InputError(f"The server at {self._target} {what}", code="input/server")


def _method(channel: grpc.Channel, path: str, response: Any) -> Any:
    return channel.unary_unary(
        f"/tensorflow.serving.{path}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString,
    )


def _polls(timeout_s: float) -> Iterator[None]:
    deadline_s = time.monotonic() + timeout_s
    while True:
        yield
        if time.monotonic() >= deadline_s:
            return
        time.sleep(_PAUSE_S)


def _said(error: Any) -> str:
    return f"{error.code().name}: {escape.name(error.details() or '')}"
