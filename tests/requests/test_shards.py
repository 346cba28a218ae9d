"""Reading shards in chunks: every record once and in order, whatever the sizes; finding them; a first look."""

from __future__ import annotations

import contextlib
import gzip
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from infraval import errors
from infraval.requests import shards

SIZES = st.lists(st.integers(0, 300) | st.integers(0, 2_000_000), max_size=12)
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the shards of many runs, which overwrite each other's."""
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def write(folder: Path) -> Callable[..., str]:
    """Writes records to a shard with TensorFlow's writer."""

    def to(name: str, records: list[bytes]) -> str:
        path = folder / name
        options = tf.io.TFRecordOptions(compression_type="GZIP" if name.endswith(".gz") else "")
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for record in records:
                writer.write(record)
        return str(path)

    return to


def records_of(sizes: list[int]) -> Iterator[bytes]:
    """Records of these sizes, no two alike unless they are tiny."""
    for number, size in enumerate(sizes):
        yield (struct.pack("<Q", number) * (size // 8 + 1))[:size]


@settings(max_examples=40)
@given(sizes=SIZES, repeat=st.integers(1, 50), suffix=st.sampled_from(["", ".gz"]))
def test_chunks_are_exactly_the_records(sizes: list[int], repeat: int, suffix: str, write: Callable[..., str]) -> None:
    """Tiny and large ones in any mix, none lost, none twice; no chunk is empty or far over a MiB."""
    sizes = sizes * (repeat if sum(sizes) * repeat < 8 * MIB else 1)
    path = write(f"mixed{suffix}", list(records_of(sizes)))
    chunks = list(shards.read(path))
    assert all(chunks)
    assert all(sum(map(len, chunk[:-1])) < MIB for chunk in chunks)
    assert [record for chunk in chunks for record in chunk] == list(records_of(sizes))


def test_many_tiny_records_come_many_at_once(write: Callable[..., str]) -> None:
    """This is what makes checks by the chunk quick."""
    chunks = list(shards.read(write("tiny", list(records_of([16] * 30_000)))))
    assert len(chunks) < 30
    assert max(map(len, chunks)) >= 1024


def test_gzip_members_that_follow_each_other_are_one_file(write: Callable[..., str], folder: Path) -> None:
    """Members of any size, also empty ones."""
    first, empty, second = (
        Path(write("member.gz", list(records_of(sizes)))).read_bytes() for sizes in ([5] * 9, [], [70_000])
    )
    joined = folder / "joined.gz"
    for members in ((first, second), (first, empty, second), (empty, first, second, empty)):
        joined.write_bytes(b"".join(members))
        records = [record for chunk in shards.read(str(joined)) for record in chunk]
        assert records == [*records_of([5] * 9), *records_of([70_000])]


def test_no_cut_of_a_gzip_file_goes_unseen(write: Callable[..., str], folder: Path) -> None:
    """At any byte: an error, never fewer records."""
    content = Path(write("whole.gz", list(records_of([40, 3, 0, 200])))).read_bytes()
    cut = folder / "cut.gz"
    for end in range(len(content)):
        cut.write_bytes(content[:end])
        with pytest.raises(errors.ExamplesError, match=str(cut)):
            list(shards.read(str(cut)))
    cut.write_bytes(content)
    assert sum(map(len, shards.read(str(cut)))) == 4


def test_no_cut_of_a_plain_file_goes_unseen_within_a_record(write: Callable[..., str], folder: Path) -> None:
    """It has no end of its own: cut where a record ends, it is a shorter file and as good as any."""
    content = Path(write("whole", list(records_of([40, 3, 0])))).read_bytes()
    ends = {0: 0, 56: 1, 75: 2, 91: 3}
    cut = folder / "cut"
    for end in range(len(content) + 1):
        cut.write_bytes(content[:end])
        if end in ends:
            assert sum(map(len, shards.read(str(cut)))) == ends[end]
        else:
            with pytest.raises(errors.ExamplesError, match=str(cut)):
                list(shards.read(str(cut)))


def test_a_cut_that_was_compressed_afterwards_is_seen(write: Callable[..., str], folder: Path) -> None:
    """A whole gzip file of a TFRecord file that is none."""
    content = Path(write("whole", list(records_of([40, 3])))).read_bytes()
    path = folder / "compressed.gz"
    for end in (5, 20, 60, 70):
        path.write_bytes(gzip.compress(content[:end]))
        with pytest.raises(errors.ExamplesError, match=str(path)):
            list(shards.read(str(path)))


@given(content=st.binary(max_size=60), gzipped=st.booleans(), suffix=st.sampled_from(["", ".gz"]))
def test_no_bytes_raise_anything_but_an_examples_error(
    content: bytes, gzipped: bool, suffix: str, folder: Path
) -> None:
    """Random bytes, compressed or not, under either name."""
    path = folder / f"random{suffix}"
    path.write_bytes(gzip.compress(content) if gzipped else content)
    with contextlib.suppress(errors.ExamplesError):
        assert sum(map(len, shards.read(str(path)))) == 0


def test_a_first_look_is_spread_over_the_shards(write: Callable[..., str]) -> None:
    """Some records of each of ten shards that have any; of one shard, as many as of ten."""
    one = write("one", list(records_of([9] * 3000)))
    assert list(shards.peek([one])) == list(records_of([9] * 1000))
    paths = [write(f"{number}.gz", [b"%d" % number] * 300 if number % 3 else []) for number in range(30)]
    looked_at = Counter(shards.peek(paths))
    assert len(looked_at) == 10
    assert set(looked_at.values()) == {100}
    assert {record[:1] for record in looked_at if len(record) > 1} == {b"1", b"2"}


def test_a_first_look_at_large_records_is_short(write: Callable[..., str]) -> None:
    """It costs time, not memory, but time enough."""
    path = write("large.gz", [bytes(20 << 20)] * 8)
    assert len(list(shards.peek([path]))) == 4


def test_a_first_look_at_nothing(write: Callable[..., str]) -> None:
    """Every shard is looked at before that is said."""
    paths = [write("0.gz", []), write("1", [])]
    with pytest.raises(errors.ExamplesError, match=rf"have no records \(files: 2, the first {paths[0]}\)"):
        list(shards.peek(paths))
    assert list(shards.peek([*paths, write("2", [b"x"])])) == [b"x"]


@pytest.mark.parametrize("name", ["large", "large.gz"])
def test_a_record_over_the_limit_is_not_read(name: str, write: Callable[..., str]) -> None:
    """It has a code of its own, because such a file is not damaged."""
    path = write(name, [b"small", bytes((64 << 20) + 1)])
    with pytest.raises(errors.ExamplesError, match=r"more than 64 MiB.* after record 1") as caught:
        list(shards.read(path))
    assert caught.value.code == "examples/too-large"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_shards_at_a_uri_are_read_there(suffix: str, write: Callable[..., str], folder_store: Any) -> None:
    """In chunks, compressed or not; what is wrong with one is said as of a path, with the URI."""
    split = folder_store.root / "bucket" / "examples[1]" / "Split-eval"
    split.mkdir(parents=True)
    records = list(records_of([9, 70_000, 2_000_000, 3]))
    content = Path(write(f"whole{suffix}", records)).read_bytes()
    uri = f"folder://bucket/examples[1]/Split-eval/data{suffix}"
    folder_store.path(uri).write_bytes(content)
    (found,) = shards.find(["folder://bucket/examples[[]1]/Split-*/*"])
    assert found == uri
    assert [record for chunk in shards.read(found) for record in chunk] == records == list(shards.peek([found]))

    folder_store.path(uri).write_bytes(content[:-3])
    with pytest.raises(errors.ExamplesError, match=r"folder://bucket/examples\[1\]/.* is corrupt") as caught:
        list(shards.read(uri))
    assert caught.value.code == "examples/corrupt"

    folder_store.refuses = staticmethod(lambda operation, _: operation in {"read", "list"})
    for use in (shards.read, lambda uri: shards.find([f"{uri}*"])):
        with pytest.raises(errors.ExamplesError, match="the store refuses to") as caught:
            list(use(uri))
        assert caught.value.code == "examples/unreadable"


def test_a_uri_that_matches_nothing(folder_store: Any) -> None:
    """As a path that matches nothing; a scheme that nothing knows is a wrong option."""
    del folder_store  # it is empty
    with pytest.raises(errors.ExamplesError, match=r"No file matches folder://bucket/\*") as missing:
        shards.find(["folder://bucket/*"])
    assert missing.value.code == "examples/missing"
    with pytest.raises(errors.OptionError, match=r"nowhere://x cannot be read: there is no file system"):
        shards.find(["nowhere://x"])
