"""The staged model: a copy of all that the model is, and a digest that nothing escapes."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors
from infraval.staging import copying
from infraval.staging import model as staging

MakeTree = Callable[[Path, Any], Path]

NAMES = st.text(alphabet="ab", min_size=1, max_size=2)
TREES = st.dictionaries(
    NAMES,
    st.recursive(st.binary(max_size=2), lambda inner: st.dictionaries(NAMES, inner, max_size=2), max_leaves=3),
    max_size=2,
)

MODEL = {
    "saved_model.pb": b"graph",
    "variables": {"variables.index": b"index", "variables.data-00000-of-00001": b"data"},
    "assets": {"vocabulary": b"words"},
    "assets.extra": {},
}


def bind(path: Path) -> None:
    """Makes a socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def test_a_real_model_is_copied_whole(taxi_model: Path, tmp_path: Path) -> None:
    """Every file and folder, with its content."""
    copying.copy(taxi_model, tmp_path / "1")
    assert staging.digest(tmp_path / "1") == staging.digest(taxi_model)
    assert (tmp_path / "1" / "saved_model.pb").read_bytes() == (taxi_model / "saved_model.pb").read_bytes()


def test_links_within_the_model_are_resolved_once(make_tree: MakeTree, tmp_path: Path) -> None:
    """To a file, to a directory, and through another link."""
    model = make_tree(tmp_path / "model", {"assets": {"one": b"1"}, "shared": {"two": b"2"}})
    (model / "assets" / "file").symlink_to("one")
    (model / "assets" / "folder").symlink_to(model / "shared")
    (model / "again").symlink_to("assets/file")
    copying.copy(model, tmp_path / "copy")
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.is_symlink()]
    assert (tmp_path / "copy" / "assets" / "file").read_bytes() == b"1"
    assert (tmp_path / "copy" / "assets" / "folder" / "two").read_bytes() == b"2"
    assert (tmp_path / "copy" / "again").read_bytes() == b"1"


def test_a_model_that_is_itself_behind_a_link_is_copied(make_tree: MakeTree, tmp_path: Path) -> None:
    """The user named it."""
    make_tree(tmp_path / "store" / "model", MODEL)
    (tmp_path / "link").symlink_to("store/model")
    copying.copy(tmp_path / "link", tmp_path / "copy")
    assert staging.digest(tmp_path / "copy") == staging.digest(tmp_path / "store" / "model")


def test_a_model_of_links_into_a_store_needs_leave(make_tree: MakeTree, tmp_path: Path) -> None:
    """As DVC and hub caches keep one; the copy stands on its own."""
    store = make_tree(tmp_path / "store", {"ab": b"graph", "cd": {"variables.index": b"index"}})
    model = make_tree(tmp_path / "model", {})
    (model / "saved_model.pb").symlink_to(store / "ab")
    (model / "variables").symlink_to(store / "cd")
    with pytest.raises(errors.ModelError) as refused:
        copying.copy(model, tmp_path / "refused")
    assert refused.value.code == "model/file"
    copying.copy(model, tmp_path / "copy", [str(store)])
    shutil.rmtree(store)
    assert (tmp_path / "copy" / "saved_model.pb").read_bytes() == b"graph"
    assert (tmp_path / "copy" / "variables" / "variables.index").read_bytes() == b"index"


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda path: path.symlink_to("/etc/hostname"), id="a private file"),
        pytest.param(lambda path: path.symlink_to("/etc"), id="a directory outside"),
        pytest.param(lambda path: path.symlink_to("../../../outside"), id="a relative way out"),
        pytest.param(lambda path: path.symlink_to("/proc/self/environ"), id="this process' environment"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="a file without an end"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="a link to nothing"),
        pytest.param(lambda path: path.symlink_to("."), id="a circle"),
        pytest.param(lambda path: path.symlink_to(".."), id="a larger circle"),
        pytest.param(lambda path: path.symlink_to(path.name), id="a link to itself"),
        pytest.param(os.mkfifo, id="a pipe"),
        pytest.param(bind, id="a socket"),
    ],
)
def test_what_is_not_a_part_of_a_model_is_refused_by_name(
    break_it: Callable[[Path], object], make_tree: MakeTree, tmp_path: Path
) -> None:
    """At once, and nothing of it is copied."""
    (tmp_path / "outside").write_bytes(b"private")
    model = make_tree(tmp_path / "model", {"assets": {"a": b"a"}, "saved_model.pb": b"graph"})
    break_it(model / "assets" / "odd\x1b[31m")
    with pytest.raises(errors.ModelError) as refused:
        copying.copy(model, tmp_path / "copy")
    assert refused.value.code == "model/file"
    assert "odd\\x1b[31m" in str(refused.value)
    assert not (tmp_path / "copy" / "assets" / "odd\x1b[31m").exists()


def test_directories_without_an_end_are_refused(tmp_path: Path) -> None:
    """A recursion has a bound."""
    deep = tmp_path / "model" / Path(*["a"] * 300)
    deep.mkdir(parents=True)
    with pytest.raises(errors.ModelError):
        copying.copy(tmp_path / "model", tmp_path / "copy")


def test_the_copy_of_a_model_that_nobody_may_write_can_be_written(make_tree: MakeTree, tmp_path: Path) -> None:
    """Stores of artifacts take that right away; the copy gets a warmup file, in place of its own or in a new folder."""
    model = make_tree(tmp_path / "model", MODEL)
    everything = [model, *model.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    copying.copy(model, tmp_path / "staged")
    assert all(path.stat().st_mode & 0o200 for path in (tmp_path / "staged", *(tmp_path / "staged").rglob("*")))
    assert not any(path.stat().st_mode & 0o222 for path in everything)


@given(one=TREES, other=TREES)
def test_two_directories_have_the_same_digest_if_they_are_the_same(
    one: dict[str, Any], other: dict[str, Any], make_tree: MakeTree, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Only then: names, contents, folders and empty folders all count, the order they were made in does not."""
    folder = tmp_path_factory.mktemp("digest")
    digest = staging.digest(make_tree(folder / "one", one))
    assert staging.digest(make_tree(folder / "again", dict(reversed(one.items())))) == digest
    assert (staging.digest(make_tree(folder / "other", other)) == digest) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / "assets" / "vocabulary").write_bytes(b"wordz"),
        lambda model: (model / "assets" / "vocabulary").write_bytes(b""),
        lambda model: (model / "assets" / "vocabulary").unlink(),
        lambda model: (model / "assets" / "vocabulary").rename(model / "assets" / "vocabularz"),
        lambda model: (model / "assets" / "vocabulary").rename(model / "vocabulary"),
        lambda model: (model / "assets" / "new").touch(),
        lambda model: (model / "assets" / ".hidden").touch(),
        lambda model: (model / "variables" / "empty").mkdir(),
        lambda model: (model / "assets.extra").rmdir(),
        lambda model: ((model / "assets.extra").rmdir(), (model / "assets.extra").touch()),
        lambda model: (model / "assets" / "link").symlink_to("vocabulary"),
    ],
)
def test_any_change_changes_the_digest(change: Callable[[Path], object], make_tree: MakeTree, tmp_path: Path) -> None:
    """Contents, names, what is new and what is gone."""
    model = make_tree(tmp_path / "model", MODEL)
    before = staging.digest(model)
    change(model)
    assert staging.digest(model) != before


def test_a_link_counts_with_its_target(make_tree: MakeTree, tmp_path: Path) -> None:
    """A served model could turn a file into a link to one of the same content."""
    model = make_tree(tmp_path / "model", {"a": b"same", "b": b"same"})
    before = staging.digest(model)
    (model / "b").unlink()
    (model / "b").symlink_to("a")
    linked = staging.digest(model)
    (model / "b").unlink()
    (model / "b").symlink_to(model / "a")
    assert len({before, linked, staging.digest(model)}) == 3


def test_times_and_permissions_are_no_content(make_tree: MakeTree, tmp_path: Path) -> None:
    """A file that was read, touched or made executable is the same model."""
    model = make_tree(tmp_path / "model", MODEL)
    before = staging.digest(model)
    for path in (model, *model.rglob("*")):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    assert staging.digest(model) == before
    assert len(before) == 64


def test_names_that_are_not_utf_8(make_tree: MakeTree, tmp_path: Path) -> None:
    """Linux allows them; they are copied and fingerprinted as any other, and named if they cannot be copied."""
    odd = os.fsdecode(b"\xff")
    model = make_tree(tmp_path / odd, {odd: b"x", "assets": {odd: b"y"}})
    copying.copy(model, tmp_path / "1")
    assert staging.digest(tmp_path / "1") == staging.digest(model)
    assert (tmp_path / "1" / "assets" / odd).read_bytes() == b"y"
    os.mkfifo(model / "assets" / os.fsdecode(b"pipe\xff"))
    with pytest.raises(errors.ModelError, match=r"pipe\\udcff") as caught:
        copying.copy(model, tmp_path / "2")
    assert str(caught.value).isprintable()
