"""Files come and go whole, or not at all, and in an order that nobody can misread."""

from __future__ import annotations

import errno
import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval import errors
from infraval.tfx import artifacts

Write = Callable[..., None]

URI = "remotetest://bucket/run/blessing"
MODEL_URI = "remotetest://bucket/run/blessed_model"
RESULTS = {
    "stamped_model/saved_model.pb": b"graph",
    "stamped_model/assets.extra/tf_serving_warmup_requests": b"records",
    "stamped_model/assets/saved_model.pb": b"an asset",
    "stamped_model/variables/variables.index": b"index",
    "report.html": b"<p>",
    "report.json": b"{}",
    "report.md": b"#",
    "INFRA_BLESSED": b"",
}
MODEL = {
    name.replace("stamped_model", "Format-Serving"): content
    for name, content in RESULTS.items()
    if name.startswith("stamped_model/")
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes results to a URI, as a validation does."""
    directories = (tmp_path / str(number) for number in itertools.count())

    def do(uri: str = URI, files: dict[str, bytes] = RESULTS, model_uri: str = "") -> None:
        with artifacts.results(uri, next(directories), model_uri) as output:
            for name, content in files.items():
                path = output / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    return do


def test_a_local_path_is_used_as_it_is(tmp_path: Path) -> None:
    """Nothing is copied, on the way in or out."""
    assert artifacts.fetch(str(tmp_path), tmp_path / "copy", errors.ModelError) == tmp_path
    with artifacts.results(str(tmp_path), tmp_path / "copy") as output:
        assert output == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_fetched_with_what_is_below_it(store: Any, tmp_path: Path) -> None:
    """Every file of every folder, also a large, an empty and a strangely named one; markers are no files."""
    large = os.urandom(20_000_000)
    store.makedirs(f"{URI}/empty")
    for name, content in (("a/b c/ä?.bin", large), ("a/none", b""), ("top", b"text")):
        store.objects[f"{URI}/{name}"] = content

    fetched = artifacts.fetch(f"{URI}/", tmp_path / "copy", errors.ModelError)

    assert fetched == tmp_path / "copy"
    assert {str(path.relative_to(fetched)): path.read_bytes() for path in fetched.rglob("*") if path.is_file()} == {
        "a/b c/ä?.bin": large,
        "a/none": b"",
        "top": b"text",
    }


def test_a_file_is_fetched(store: Any, tmp_path: Path) -> None:
    """As for a batching parameters file."""
    store.objects[f"{URI}/batching.txt"] = b"max_batch_size { value: 4 }"
    fetched = artifacts.fetch(f"{URI}/batching.txt", tmp_path / "file", errors.OptionError)
    assert fetched.read_bytes() == b"max_batch_size { value: 4 }"


@pytest.mark.parametrize("uri", [URI, f"{URI}/empty", "gcs2://bucket/model"])
@pytest.mark.parametrize("error", [errors.ModelError, errors.ExamplesError, errors.OptionError])
def test_what_is_not_there_is_an_error(store: Any, uri: str, error: type[errors.InputError], tmp_path: Path) -> None:
    """No object, a folder without a file, a scheme that no file system has; the message names the place."""
    store.makedirs("remotetest://bucket/run/blessing/empty")
    store.objects.pop(f"{URI}/") if uri == URI else None
    with pytest.raises(error, match=f"{uri}.*(nothing|no file|not implemented)|(nothing|no file).*{uri}"):
        artifacts.fetch(uri, tmp_path / "copy", error)


def test_a_file_that_cannot_be_read_is_an_error(store: Any, tmp_path: Path) -> None:
    """The message names the place, the cause and what to look at."""
    store.objects |= {f"{URI}/a": b"a", f"{URI}/b": b"b"}
    store.refuses = lambda operation, key: (operation, key) == ("read", f"{URI}/b")
    with pytest.raises(errors.ModelError, match=rf"{URI} cannot be fetched to .*refuses to read {URI}/b\. Check the"):
        artifacts.fetch(URI, tmp_path / "copy", errors.ModelError)


def test_a_full_disk_is_an_error_that_says_where(store: Any) -> None:
    """/dev/full is a disk without room."""
    store.objects[f"{URI}/a"] = b"a"
    with pytest.raises(errors.ModelError, match=r"/dev/full: .*TMPDIR"):
        artifacts.fetch(f"{URI}/a", Path("/dev/full"), errors.ModelError)


def test_a_name_that_leads_elsewhere_is_refused(store: Any, tmp_path: Path) -> None:
    """`..` is a name like any other to an object store; nothing is written outside of the copy."""
    store.objects |= {f"{URI}/model/x": b"x", f"{URI}/model/../../outside": b"evil"}
    with pytest.raises(errors.ModelError, match=r"no file here can be called \.\./\.\./outside"):
        artifacts.fetch(f"{URI}/model", tmp_path / "deep" / "er" / "copy", errors.ModelError)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("needs_directories", [False, True])
def test_results_arrive_graph_and_marker_last(store: Any, write: Write, needs_directories: bool) -> None:
    """A model server takes a directory for a model once it holds the graph; the marker says that all is there.

    A store without directories gets no markers of any: Kubeflow Pipelines' launcher takes them for files.
    """
    store.needs_directories = needs_directories
    write()
    assert store.below(URI) == RESULTS
    assert [key.removeprefix(f"{URI}/") for key in store.written[-2:]] == [
        "stamped_model/saved_model.pb",
        "INFRA_BLESSED",
    ]
    assert any(key.endswith("/") for key in store.objects) == needs_directories


@pytest.mark.parametrize("failing", sorted(RESULTS))
@pytest.mark.parametrize("needs_directories", [False, True])
def test_a_failed_write_leaves_nothing(store: Any, write: Write, failing: str, needs_directories: bool) -> None:
    """Wherever it fails, what was written is removed, the half-written file included."""
    store.needs_directories = needs_directories
    store.refuses = lambda operation, key: (operation, key) == ("write", f"{URI}/{failing}")
    with pytest.raises(errors.OutputError, match=rf"{URI}: .*refuses to write.*{failing}\. Nothing was left there"):
        write()
    assert store.below(URI) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, errors.AbortedError])
def test_a_signal_under_way_leaves_nothing(store: Any, write: Write, error: type[BaseException]) -> None:
    """It is passed on as it is."""

    def refuse(operation: str, key: str) -> bool:
        if operation == "write" and key.endswith("saved_model.pb"):
            raise error("stopped")
        return False

    store.refuses = refuse
    with pytest.raises(error):
        write()
    assert store.below(URI) == {}


def test_a_failing_block_writes_nothing(store: Any, tmp_path: Path) -> None:
    """A model that could not be judged has no results."""

    @artifacts.results(URI, tmp_path / "results")
    def fail() -> None:
        (tmp_path / "results" / "report.json").write_bytes(b"{}")
        raise errors.SandboxError("no engine")

    with pytest.raises(errors.SandboxError):
        fail()
    assert store.objects == {}


def test_what_cannot_be_removed_is_named_and_the_next_try_removes_it(store: Any, write: Write) -> None:
    """The store is gone in the middle; whoever reads the error knows what is there, and a retry needs no help."""
    stuck = f"{URI}/stamped_model/variables/variables.index"
    store.refuses = lambda operation, key: key == stuck if operation == "remove" else key.endswith("INFRA_BLESSED")
    with pytest.raises(errors.OutputError, match=f"could not be removed again: {stuck}"):
        write()
    assert list(store.below(URI)) == ["stamped_model/variables/variables.index"]

    store.refuses = lambda _operation, _key: False
    write()
    assert store.below(URI) == RESULTS


@pytest.mark.parametrize("kind", ["remote", "local"])
def test_leftovers_of_a_killed_try_are_removed(
    store: Any, write: Write, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kubeflow Pipelines tries a task again with the same URI; nothing of the former try is in the results."""
    uri = URI if kind == "remote" else str(tmp_path / "blessing")
    leftover = {"stamped_model/variables/old": b"old", "stamped_model/saved_model.pb": b"old", "report.json": b"old"}
    write(uri, leftover)

    write(uri)

    if kind == "local":
        store.upload(Path(uri), URI)
    assert store.below(URI) == RESULTS
    assert "holds what an earlier try left (report.json, stamped_model)" in caplog.text


def test_a_sample_of_a_killed_try_is_removed(store: Any, write: Write) -> None:
    """It is in a folder that only infraval names so."""
    store.objects[f"{URI}/infraval-sample-1/harvest"] = b"left"
    write()
    assert not [name for name in store.below(URI) if "infraval-sample-" in name]
    assert "report.json" in store.below(URI)


def test_somebody_elses_files_are_not_touched(store: Any, write: Write) -> None:
    """A URI that holds anything else is not the blessing's own."""
    before = {f"{URI}/stamped_model/saved_model.pb": b"graph", f"{URI}/notes.txt": b"mine"}
    store.objects |= before
    with pytest.raises(errors.OutputError, match=r"did not write \(notes.txt\); nothing in it was touched"):
        write()
    assert store.objects == before


def test_another_run_that_was_faster_keeps_its_results(store: Any, write: Write, tmp_path: Path) -> None:
    """A retry of a task that is still running must not take its results away, nor mix them with its own."""

    @artifacts.results(URI, tmp_path / "slower")
    def be_slower() -> None:
        (tmp_path / "slower" / "INFRA_NOT_BLESSED").touch()
        write()

    with pytest.raises(errors.OutputError) as raised:
        be_slower()
    assert raised.value.code == "output/not-empty"
    assert store.below(URI) == RESULTS


def test_leftovers_that_cannot_be_removed_are_an_error(store: Any, write: Write) -> None:
    """Before anything is validated."""
    store.objects[f"{URI}/report.json"] = b"old"
    store.refuses = lambda operation, _key: operation == "remove"
    with pytest.raises(errors.OutputError, match=f"{URI} cannot be written: the store refuses to remove"):
        write()


def test_a_long_transfer_says_how_far_it_is(store: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line now and then, and one at the end with the size and the time it took."""
    caplog.set_level(logging.INFO)
    store.objects |= {f"{URI}/{name}": b"." * 500_000 for name in "abc"}
    artifacts.fetch(URI, tmp_path / "copy", errors.ModelError, clock=map(float, itertools.count(step=6)).__next__)
    assert [record.getMessage().removeprefix(f"Fetching {URI} to {tmp_path}/copy: ") for record in caplog.records] == [
        "1 files and 1 MB so far",
        "3 files, 1.5 MB in 24.0 s",
    ]


def test_a_short_transfer_says_one_thing(store: Any, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """How much, and where to."""
    caplog.set_level(logging.INFO)
    write()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Writing the results to {URI}: {len(RESULTS)} files, 0.0 MB in ")
    assert store.below(URI) == RESULTS


def _content(uri: str, store: Any) -> dict[str, bytes]:
    if "://" in uri:
        return dict(store.below(uri))
    return {str(path.relative_to(uri)): path.read_bytes() for path in Path(uri).rglob("*") if path.is_file()}


@pytest.fixture(params=["remote", "local"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a blessing goes."""
    return URI if request.param == "remote" else str(tmp_path / "blessing")


@pytest.fixture(params=["remote", "local"])
def model_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the same model goes as a Model."""
    return MODEL_URI if request.param == "remote" else str(tmp_path / "blessed_model")


def test_a_blessed_model_is_also_a_model(store: Any, write: Write, uri: str, model_uri: str) -> None:
    """Byte for byte, wherever the two are, graph last; what an earlier try left of it is not in it."""
    write(uri, RESULTS | {"stamped_model/variables/old": b"old"}, model_uri)
    write(uri, RESULTS, model_uri)
    assert _content(uri, store) == RESULTS
    assert _content(model_uri, store) == MODEL
    if model_uri == MODEL_URI:
        assert store.written[-1] == f"{MODEL_URI}/Format-Serving/saved_model.pb"


def test_a_local_model_takes_no_space_of_its_own(write: Write, tmp_path: Path) -> None:
    """Its files are those of the blessing."""
    write(str(tmp_path / "blessing"), RESULTS, str(tmp_path / "blessed_model"))
    for name in MODEL:
        blessed = tmp_path / "blessing" / name.replace("Format-Serving", "stamped_model")
        assert (tmp_path / "blessed_model" / name).samefile(blessed)


def test_a_model_on_another_file_system_is_a_copy(
    write: Write, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no hard links between file systems, and none at all on some."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    write(str(tmp_path / "blessing"), RESULTS, str(tmp_path / "blessed_model"))
    assert _content(str(tmp_path / "blessed_model"), store) == MODEL


def test_a_model_that_is_not_blessed_leaves_the_model_empty(store: Any, write: Write, uri: str, model_uri: str) -> None:
    """Also if an earlier try had blessed it."""
    refused = {"report.json": b"{}", "INFRA_NOT_BLESSED": b""}
    write(uri, RESULTS, model_uri)
    write(uri, refused, model_uri)
    assert _content(uri, store) == refused
    assert _content(model_uri, store) == {}


@pytest.mark.parametrize("failing", sorted(MODEL))
def test_without_the_model_there_is_no_blessing(store: Any, write: Write, uri: str, failing: str) -> None:
    """If it cannot be written, neither is there."""
    store.refuses = lambda operation, key: (operation, key) == ("write", f"{MODEL_URI}/{failing}")
    with pytest.raises(errors.OutputError, match=rf"blessed model cannot be written to {MODEL_URI}/Format-Serving: "):
        write(uri, RESULTS, MODEL_URI)
    assert _content(uri, store) == {}
    assert _content(MODEL_URI, store) == {}


def test_somebody_elses_files_beside_the_model_are_not_touched(store: Any, write: Write) -> None:
    """Nor is anything written."""
    before = {f"{MODEL_URI}/Format-Serving/saved_model.pb": b"graph", f"{MODEL_URI}/Format-TFMA/eval": b"theirs"}
    store.objects |= before
    with pytest.raises(errors.OutputError, match=r"did not write \(Format-TFMA\)"):
        write(URI, RESULTS, MODEL_URI)
    assert store.objects == before


def _model_error(uri: str, *, old: bool = False) -> str:
    with pytest.raises(errors.ModelError) as caught:
        artifacts.serving_model(uri, old=old)
    assert caught.value.code == "model/missing"
    return str(caught.value)


def test_a_model_of_another_layout_is_told_what_tfx_expects(store: Any, tmp_path: Path) -> None:
    """A directory that no Trainer wrote, for example one that an Importer names."""
    (tmp_path / "saved_model.pb").touch()
    store.objects[f"{URI}/model/other/saved_model.pb"] = b""

    assert f"{tmp_path}/Format-Serving/saved_model.pb" in _model_error(str(tmp_path))
    assert "at the top" in _model_error(str(tmp_path))
    assert f"{URI}/model/Format-Serving/saved_model.pb" in _model_error(f"{URI}/model")
    assert "serving_model_dir/saved_model.pb" in _model_error(str(tmp_path), old=True)


def test_the_layout_that_tfx_writes_is_found(store: Any, tmp_path: Path) -> None:
    """The directory itself, or the only export of an Estimator in it; here and in a store."""
    (tmp_path / "Format-Serving").mkdir()
    store.objects[f"{URI}/model/Format-Serving/export/name/17/saved_model.pb"] = b""

    assert artifacts.serving_model(str(tmp_path), old=False) == f"{tmp_path}/Format-Serving"
    assert artifacts.serving_model(f"{URI}/model", old=False) == f"{URI}/model/Format-Serving/export/name/17"
