"""Results appear whole, in an order that no model server can misread, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval import errors, publish
from infraval.staging import model as staging

MakeTree = Callable[[Path, Any], Path]


@pytest.fixture
def unpublishable(make_tree: MakeTree, tmp_path: Path) -> Path:
    """A staged model that can be copied but for its saved_model.pb, which is a directory."""
    return make_tree(
        tmp_path / "unpublishable",
        {"saved_model.pb": {}, "variables": {"variables.index": b"index"}, "assets": {"saved_model.pb": b"asset"}},
    )


def listing(directory: Path) -> set[str]:
    """All that is in a directory, as relative paths."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_what_is_published_is_what_was_staged(sink_model: Path, tmp_path: Path) -> None:
    """All of it, under the name that Pusher looks for."""
    publish.copy_model(sink_model, tmp_path / "new" / "output")
    assert staging.digest(tmp_path / "new" / "output" / "stamped_model") == staging.digest(sink_model)


def test_a_text_proto_is_published_too(make_tree: MakeTree, tmp_path: Path) -> None:
    """`saved_model.pbtxt` is a SavedModel as well."""
    staged = make_tree(tmp_path / "staged", {"saved_model.pbtxt": b"text", "assets": {}})
    publish.copy_model(staged, tmp_path / "output")
    assert staging.digest(tmp_path / "output" / "stamped_model") == staging.digest(staged)


def test_the_graph_comes_last(unpublishable: Path, tmp_path: Path) -> None:
    """Where saved_model.pb cannot be copied, everything else is there already, an asset of that name included."""
    with pytest.raises(OSError, match="saved_model"):
        publish.copy_model(unpublishable, tmp_path / "output")
    assert listing(tmp_path / "output" / "stamped_model") == {
        "variables",
        "variables/variables.index",
        "assets",
        "assets/saved_model.pb",
    }


def test_a_failed_publication_leaves_nothing(unpublishable: Path, tmp_path: Path) -> None:
    """Neither in a new directory nor in an empty one that was there; the latter stays."""
    existing = tmp_path / "existing"
    existing.mkdir()
    for output in (tmp_path / "new", existing):
        with (
            pytest.raises(errors.OutputError, match=f"{output}.* Nothing was left there"),
            publish.whole_or_nothing(output),
        ):
            publish.copy_model(unpublishable, output)
    assert not (tmp_path / "new").exists()
    assert listing(existing) == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, errors.AbortedError, ValueError])
def test_an_end_under_way_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    """A signal or a bug: everything written before is taken back, and the error is passed on as it is."""

    @publish.whole_or_nothing(tmp_path / "output")
    def write() -> None:
        publish.mark(tmp_path / "output", blessed=True)
        (tmp_path / "output" / "stamped_model" / "assets").mkdir(parents=True)
        raise error

    with pytest.raises(error):
        write()
    assert listing(tmp_path) == set()


def test_an_output_error_says_what_the_system_said(make_tree: MakeTree, tmp_path: Path) -> None:
    """No traceback is needed to see that, say, the disk is full."""
    output = make_tree(tmp_path / "output", {})

    @publish.whole_or_nothing(output)
    def write() -> None:
        (output / "folder").mkdir()
        (output / "folder").write_bytes(b"")

    with pytest.raises(errors.OutputError, match="Is a directory"):
        write()
    assert listing(output) == set()


def test_what_succeeds_stays(tmp_path: Path) -> None:
    """The context manager itself writes and removes nothing."""
    with publish.whole_or_nothing(tmp_path / "output"):
        publish.mark(tmp_path / "output", blessed=True)
    assert listing(tmp_path / "output") == {"INFRA_BLESSED"}


@pytest.mark.parametrize(("blessed", "name"), [(True, "INFRA_BLESSED"), (False, "INFRA_NOT_BLESSED")])
def test_the_marker_has_infra_validators_name(blessed: bool, name: str, tmp_path: Path) -> None:
    """One empty file, in a directory that is made if need be."""
    publish.mark(tmp_path / "new" / "output", blessed=blessed)
    assert listing(tmp_path / "new" / "output") == {name}
    assert (tmp_path / "new" / "output" / name).read_bytes() == b""


def test_a_new_or_empty_place_is_good(make_tree: MakeTree, tmp_path: Path) -> None:
    """And the check makes nothing, parents included."""
    make_tree(tmp_path / "empty", {})
    publish.check_output(tmp_path / "empty")
    publish.check_output(tmp_path / "new" / "output")
    assert listing(tmp_path) == {"empty"}


def test_a_place_that_holds_something_is_left_as_it_is(make_tree: MakeTree, tmp_path: Path) -> None:
    """Someone's results are never touched."""
    output = make_tree(tmp_path / "output", {"report.json": b"{}", "stamped_model": {"saved_model.pb": b"graph"}})
    before = staging.digest(tmp_path)
    with pytest.raises(errors.OutputError, match="is not empty; nothing in it was touched"):
        publish.check_output(output)
    assert staging.digest(tmp_path) == before


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    """A file, a link to nothing, and a place below a file; none is touched."""
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("nowhere")
    before = staging.digest(tmp_path)
    for output in (tmp_path / "file", tmp_path / "link", tmp_path / "file" / "output"):
        with pytest.raises(errors.OutputError, match=f"{output} (is no directory|cannot be written)"):
            publish.check_output(output)
    assert staging.digest(tmp_path) == before
