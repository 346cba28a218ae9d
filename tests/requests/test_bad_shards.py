"""Examples that cannot be read: the error names the file and holds nothing of its content."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from infraval import errors
from infraval.requests import beam_transform, making, shards

SECRET = b"Grace.Hopper.1906"

Prepare = Callable[..., making.Requests]


@pytest.fixture
def whole(write_shards: Callable[..., str], tmp_path: Path) -> Callable[..., Path]:
    """A shard of twenty records, all with the secret in them."""

    def write(suffix: str = ".gz") -> Path:
        # Incompressible neighbours keep records apart in the gzip stream.
        records = [
            SECRET + bytes((number * 37 + position * 101) % 256 for position in range(50)) for number in range(20)
        ]
        write_shards(records, suffix=suffix)
        return tmp_path / "examples" / f"data_tfrecord-00000-of-00001{suffix}"

    return write


@pytest.fixture
def refused(
    prepare: Prepare, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[..., str]:
    """The message of the ExamplesError that a pattern gives, once it has been seen to hold no secret."""

    def run(pattern: object, **plan: Any) -> str:
        with pytest.raises(errors.ExamplesError) as caught:
            prepare(str(pattern), **plan)
        out, err = capfd.readouterr()
        assert SECRET.decode() not in f"{caught.value} {caught.value.__cause__} {out} {err} {caplog.text}"
        assert not (tmp_path / "requests").exists()
        return str(caught.value)

    return run


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_changed_byte(share: float, suffix: str, whole: Callable[..., Path], refused: Callable[..., str]) -> None:
    """A checksum of the record or of the gzip stream catches it."""
    path = whole(suffix)
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 0x10
    path.write_bytes(content)
    assert f"{path} is corrupt" in refused(path)


@pytest.mark.parametrize("missing", [1, 8, 9, 40, 500])
def test_a_gzip_file_without_its_end(missing: int, whole: Callable[..., Path], refused: Callable[..., str]) -> None:
    """Wherever it was cut, also where TensorFlow's reader would take what is left for the whole."""
    path = whole()
    path.write_bytes(path.read_bytes()[:-missing])
    assert str(path) in refused(path)


def test_a_gzip_file_of_which_only_the_head_is_left(whole: Callable[..., Path], refused: Callable[..., str]) -> None:
    """No record, but not for want of one."""
    path = whole()
    path.write_bytes(path.read_bytes()[:12])
    assert f"{path} is corrupt" in refused(path)


def test_a_plain_file_cut_within_a_record(whole: Callable[..., Path], refused: Callable[..., str]) -> None:
    """A plain TFRecord has no end of its own, so only a cut inside a record shows."""
    path = whole("")
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path} is corrupt" in refused(path)


def test_a_compression_that_the_name_does_not_say(whole: Callable[..., Path], refused: Callable[..., str]) -> None:
    """Gzip without `.gz`, and `.gz` without gzip: the message says what the name means."""
    path = whole()
    plain = path.with_suffix("")
    plain.write_bytes(path.read_bytes())
    path.write_bytes(gzip.decompress(path.read_bytes()))
    for wrong in (plain, path):
        message = refused(wrong)
        assert str(wrong) in message
        assert ".gz is gzip" in message


def test_several_bad_files_are_counted(whole: Callable[..., Path], refused: Callable[..., str]) -> None:
    """The first is named, a good one among them does not help."""
    path = whole()
    for name in ("a.gz", "b.gz", "c.gz"):
        path.with_name(name).write_bytes(b"neither gzip nor TFRecord")
    message = refused(path.parent / "*")
    assert f"{path.with_name('a.gz')} is corrupt" in message
    assert "2 more" in message


def test_files_without_a_record(tmp_path: Path) -> None:
    """Nothing to build requests of; the message names the first file."""
    paths = [tmp_path / "a.gz", tmp_path / "b"]
    for path, content in zip(paths, (gzip.compress(b""), b""), strict=True):
        path.write_bytes(content)
    with pytest.raises(errors.ExamplesError, match=rf"no records \(files: 2, the first {paths[0]}\)"):
        list(shards.peek([str(path) for path in paths]))


@pytest.mark.parametrize(
    "content", [b"", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08", b"abc", gzip.compress(b"", mtime=0) + b"\x1f\x8b"]
)
def test_a_file_of_a_few_bytes(content: bytes, tmp_path: Path, refused: Callable[..., str]) -> None:
    """Shorter than the end of a gzip file: no gzip file, and no crash of what looks at the end."""
    path = tmp_path / "short.gz"
    path.write_bytes(content)
    assert str(path) in refused(path)


def test_a_member_after_the_first_that_is_damaged(tmp_path: Path, refused: Callable[..., str]) -> None:
    """Python's decompressor has an error of its own for it."""
    path = tmp_path / "joined.gz"
    path.write_bytes(gzip.compress(b"") + gzip.compress(b"")[:10] + b"\xff" * 8)
    assert str(path) in refused(path)


def test_an_empty_file_among_others_does_no_harm(whole: Callable[..., Path], prepare: Prepare) -> None:
    """Beam writes such shards when a split is small."""
    path = whole()
    path.with_name("empty.gz").write_bytes(gzip.compress(b""))
    assert prepare(str(path.parent / "*")).records_read == 20


def test_gzip_files_that_were_joined_are_whole(whole: Callable[..., Path], prepare: Prepare) -> None:
    """`cat a.gz b.gz` is a gzip file."""
    path = whole()
    path.write_bytes(path.read_bytes() * 2)
    assert prepare(str(path)).records_read == 40


def test_no_file_at_all(tmp_path: Path, refused: Callable[..., str]) -> None:
    """Missing, or a directory by that name."""
    (tmp_path / "folder.gz").mkdir()
    for name in ("missing-*.gz", "folder.gz"):
        assert f"No file matches {tmp_path / name}" in refused(tmp_path / name)


def test_each_pattern_has_to_match(whole: Callable[..., Path], tmp_path: Path) -> None:
    """A slip in the second of two patterns is no smaller one."""
    with pytest.raises(errors.ExamplesError, match=r"No file matches .*missing"):
        shards.find([str(whole()), str(tmp_path / "missing")])


def test_a_file_that_cannot_be_opened(
    whole: Callable[..., Path], tmp_path: Path, make_plan: Callable[..., making.Plan]
) -> None:
    """Gone, or a directory by the time that a worker gets to it, which no permission of root's can help."""

    def gone() -> beam.Pipeline:
        path.unlink()
        return beam_transform.in_memory_pipeline()

    def replaced() -> beam.Pipeline:
        path.unlink()
        path.mkdir()
        return beam_transform.in_memory_pipeline()

    plan, path = make_plan(), whole()
    content = path.read_bytes()
    for make_pipeline in (gone, replaced):
        path.write_bytes(content)
        harvest = beam_transform.collect(plan, [str(path)], tmp_path, make_pipeline)
        with pytest.raises(errors.ExamplesError, match=f"{path} cannot be read"):
            making.make(plan, harvest, tmp_path / "requests")
