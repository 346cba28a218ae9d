"""Reading expected responses: what is taken of them, and clear errors about what cannot be used."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from infraval import errors, options
from infraval.requests import expected, prediction_logs, tfrecords
from infraval.tensorflow_protos import prediction_log_pb2

Read = Callable[..., "expected.Expected | None"]


def record(signature: str = "s", *, response: bool = True, kind: str = "predict_log") -> bytes:
    """A serialized log."""
    log = prediction_log_pb2.PredictionLog()
    held = getattr(log, kind)
    if kind == "multi_inference_log":
        held.request.tasks.add().model_spec.signature_name = signature
    elif kind != "session_run_log":
        held.request.model_spec.signature_name = signature
    held.request.SetInParent()
    if response:
        held.response.SetInParent()
    return prediction_logs.serialize(log)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads files of those records, for a model with the signature `s`."""

    def run(*files: Sequence[bytes], **given: Any) -> expected.Expected | None:
        paths = [tmp_path / f"logs-{number}" for number in range(len(files))]
        for path, records in zip(paths, files, strict=True):
            tfrecords.write(path, records)
        job = options.Job(model="m", requests={"expected": tuple(map(str, paths)), **given})
        return expected.read(job, {"s"}, tmp_path / "copied")

    return run


def test_nothing_is_expected_by_default(tmp_path: Path) -> None:
    """And nothing is read."""
    assert expected.read(options.Job(model="m"), {"s"}, tmp_path / "copied") is None


@pytest.mark.parametrize("kind", ["predict_log", "classify_log", "regress_log", "multi_inference_log"])
def test_all_is_read_if_it_is_little(kind: str, read: Read) -> None:
    """Of every file, in order."""
    found = read([record(kind=kind)] * 2, [record(kind=kind)])
    assert found is not None
    assert (len(found.logs), found.files, found.is_part) == (3, 2, False)
    assert found.logs[2].WhichOneof("log_type") == kind


def test_an_equal_share_of_each_file_is_read(read: Read) -> None:
    """So many in all; it is said that there are more."""
    found = read([record()] * 9, [record()] * 9, [record()], max_expected=6)
    assert found is not None
    assert (len(found.logs), found.is_part) == (5, True)
    found = read([record()] * 3, max_expected=3)
    assert found is not None
    assert not found.is_part


def test_no_more_than_fits_is_read(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the space for it on this machine's disk."""
    monkeypatch.setattr(expected, "_MAX_BYTES", 2 * len(record()))
    found = read([record()] * 3)
    assert found is not None
    assert (len(found.logs), found.is_part) == (2, True)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"\xff" * 9, "Record 2 of"),
        (b"", "no request"),
        (record(response=False), "no response"),
        (record(kind="session_run_log"), "session_run"),
        (record("other"), "'other'"),
        (record("other", kind="multi_inference_log"), "'other'"),
    ],
    ids=["no log", "empty", "no response", "session run", "unknown signature", "unknown task"],
)
def test_a_record_that_cannot_be_used_is_named(bad: bytes, said: str, read: Read) -> None:
    """Before a server boots; the good twin before it is no mistake."""
    with pytest.raises(errors.InputError, match="Record 2 of") as caught:
        read([record(), bad])
    assert caught.value.code == "input/expected"
    assert said in str(caught.value)


def test_a_file_that_is_no_tfrecord_is_named(tmp_path: Path) -> None:
    """Nor is one that is not there, is empty, or is not compressed as its name says."""
    (tmp_path / "text").write_text("a,b\n1,2\n" * 100)
    (tmp_path / "empty").touch()
    (tmp_path / "plain.gz").write_bytes(b"plain" * 100)
    for name in ("text", "empty", "plain.gz", "missing-*"):
        job = options.Job(model="m", requests={"expected": str(tmp_path / name)})
        with pytest.raises(errors.InputError, match="--expected") as caught:
            expected.read(job, {"s"}, tmp_path / "copied")
        assert caught.value.code == "input/expected"


def test_gzip_is_told_by_the_name(tmp_path: Path) -> None:
    """As for examples."""
    tfrecords.write(tmp_path / "plain", [record()])
    (tmp_path / "logs.gz").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    job = options.Job(model="m", requests={"expected": str(tmp_path / "*.gz")})
    found = expected.read(job, {"s"}, tmp_path / "copied")
    assert found is not None
    assert len(found.logs) == 1
