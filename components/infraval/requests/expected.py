"""Requests with the responses that are expected: PredictionLogs of recorded traffic, or of TFX's BulkInferrer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator
from pathlib import Path

from google.protobuf import message

from infraval import errors, escape, options, protos, storage
from infraval.requests import prediction_logs, shards, tfrecords
from infraval.tensorflow_protos import prediction_log_pb2

_MAX_RECORD_BYTES = 256 << 20
_MAX_BYTES = 1 << 30
"""Most that the logs may have together: they are copied to this machine's disk."""

_CODE = "input/expected"
_OPTION = "--expected (requests.expected)"


@dataclasses.dataclass(frozen=True)
class Expected:
    """Requests, each with the response that is expected.

    Attributes:
      logs: in a file of this machine, with request and response each.
      files: how many files there are.
      is_part: whether the files have more records than that.
    """

    logs: prediction_logs.Logs
    files: int
    is_part: bool


def read(job: options.Job, available: Collection[str], path: Path) -> Expected | None:
    """Copies the logs to `path`: an equal share of each file, from its beginning, or all if they are few enough.

    `available` are the model's signatures.

    Returns:
      The logs; None if no responses are expected.

    Raises:
      InputError: a file cannot be read, or a record is not a PredictionLog with a request that the model's signatures
        can answer and a response.
    """
    if not job.requests.expected:
        return None
    found = _find(job.requests.expected)
    paths, share = shards.part(found, None, job.requests.max_expected)
    is_part = len(paths) < len(found)
    size = 0

    def logs() -> Iterator[prediction_log_pb2.PredictionLog]:
        nonlocal is_part, size
        for file in paths:
            for number, record in enumerate(_records(file)):
                if number == share or size + len(record) > _MAX_BYTES:
                    is_part = True
                    break
                size += len(record)
                yield _checked(record, f"Record {number + 1} of {file}", available)

    count = prediction_logs.write(path, logs())
    if not count:
        raise errors.InputError(f"The files of {_OPTION} have no record ({len(found)} files).", code=_CODE)
    return Expected(prediction_logs.find(path, count), len(found), is_part)


def _find(patterns: Collection[str]) -> list[str]:
    found: set[str] = set()
    for pattern in patterns:
        try:
            matches = storage.find(pattern)
        except OSError as error:
            raise errors.InputError(f"{pattern} cannot be looked for ({error.strerror}).", code=_CODE) from None
        if not matches:
            raise errors.InputError(
                f"No file matches {pattern}. Set {_OPTION} to TFRecord files of PredictionLogs.", code=_CODE
            )
        found.update(matches)
    return sorted(found)


def _records(path: str) -> Iterator[bytes]:
    """The records of a file; `.gz` at the end of its name means gzip."""
    try:
        with storage.reading(path) as raw:
            chunks = tfrecords.read_from(raw, is_gzip=path.endswith(".gz"), max_record_bytes=_MAX_RECORD_BYTES)
            yield from itertools.chain.from_iterable(chunks)
    except tfrecords.CorruptError as error:
        raise errors.InputError(
            f"{path} is corrupt, is not a TFRecord file, or is not compressed as its name says (.gz is gzip): after "
            f"record {error.records}, {error.fault}. Set {_OPTION} to TFRecord files of PredictionLogs.",
            code=_CODE,
        ) from None
    except OSError as error:
        raise errors.InputError(f"{path} cannot be read ({error.strerror}).", code=_CODE) from None


def _checked(record: bytes, name: str, available: Collection[str]) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    try:
        protos.parse(record, log)
    except message.DecodeError:
        raise _unfit(f"{name} is not a PredictionLog.") from None
    kind = log.WhichOneof("log_type")
    called = prediction_logs.signatures(log)
    if not called:
        what = "no request" if kind is None else f"a {kind.removesuffix('_log')} request"
        raise _unfit(
            f"{name} has {what}, and must have one of Predict, Classify, Regress or MultiInference with tasks."
        )
    if not getattr(log, kind).HasField("response"):
        raise _unfit(f"{name} has no response, so there is nothing to compare with. Record requests with responses.")
    for key in called:
        if key not in available:
            raise _unfit(
                f"{name} calls the signature '{escape.name(key)}', which the model does not have; it has "
                f"{escape.names(available)}."
            )
    return log


def _unfit(what: str) -> errors.InputError:
    return errors.InputError(f"{what} The file was given with {_OPTION}.", code=_CODE)
