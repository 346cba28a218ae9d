"""The staged model: a copy of all that the model is, and a digest that nothing escapes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors
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


def test_a_real_model_is_copied_whole(taxi_model: Path, tmp_path: Path) -> None:
    """Every file and folder, with its content."""
    staging.copy(taxi_model, tmp_path / "1")
    assert staging.digest(tmp_path / "1") == staging.digest(taxi_model)
    assert (tmp_path / "1" / "saved_model.pb").read_bytes() == (taxi_model / "saved_model.pb").read_bytes()


def test_what_links_point_to_is_copied(make_tree: MakeTree, tmp_path: Path) -> None:
    """A link out of the model would not reach anything where the copy goes."""
    outside = make_tree(tmp_path / "outside", {"shared": b"words", "folder": {"more": b"more words"}})
    linked = make_tree(tmp_path / "linked", {"saved_model.pb": b"graph"})
    (linked / "assets").symlink_to(outside)
    (linked / "vocabulary").symlink_to(outside / "shared")
    staging.copy(linked, tmp_path / "staged")
    shutil.rmtree(outside)
    assert not [path for path in (tmp_path / "staged").rglob("*") if path.is_symlink()]
    assert (tmp_path / "staged" / "assets" / "folder" / "more").read_bytes() == b"more words"
    assert (tmp_path / "staged" / "vocabulary").read_bytes() == b"words"


def test_the_copy_of_a_model_that_nobody_may_write_can_be_written(make_tree: MakeTree, tmp_path: Path) -> None:
    """Stores of artifacts take that right away; the copy gets a warmup file, in place of its own or in a new folder."""
    model = make_tree(tmp_path / "model", MODEL)
    everything = [model, *model.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    staging.copy(model, tmp_path / "staged")
    assert all(path.stat().st_mode & 0o200 for path in (tmp_path / "staged", *(tmp_path / "staged").rglob("*")))
    assert not any(path.stat().st_mode & 0o222 for path in everything)


def test_what_cannot_be_copied_is_named(make_tree: MakeTree, tmp_path: Path) -> None:
    """A link to nothing, a link round in a circle and a pipe are no parts of a model."""
    for number, break_it in enumerate(
        (
            lambda path: path.symlink_to("nowhere"),
            lambda path: path.symlink_to("."),
            os.mkfifo,
        )
    ):
        model = make_tree(tmp_path / f"model{number}", MODEL)
        break_it(model / "assets" / "odd")
        with pytest.raises(errors.ModelError, match=f"{model}/assets/odd.* a part of the model, could not be copied"):
            staging.copy(model, tmp_path / f"staged{number}")


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
