"""Results appear whole, or not at all, whatever ends the run."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import pytest

from infraval import errors, evidence, publish, verdict
from infraval.staging import model as staging


def judgement(*, blessed: bool) -> verdict.Verdict:
    """A verdict of one server."""
    server = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
    shown = evidence.Evidence(evidence.Boot(server), tries=1, requests=0, warmup=evidence.Warmup())
    status = verdict.Status.PASSED if blessed else verdict.Status.FAILED
    reasons = () if blessed else ("No.",)
    judged = verdict.ServerVerdict(shown, (verdict.Finding("load", status, reasons),))
    return verdict.Verdict((judged,), "ab" * 32, evidence.Warmup())


BLESSED = judgement(blessed=True)
NOT_BLESSED = judgement(blessed=False)
REPORTS = {"report.json", "report.html", "report.md"}
WHOLE = {"INFRA_BLESSED", "stamped_model", *REPORTS}


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """A staged model of a few files."""
    directory = tmp_path / "staged"
    for name in ("saved_model.pb", "variables/variables.index", "assets/vocabulary", "assets/saved_model.pb"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(name.encode())
    return directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where outputs go, and nothing else."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def names(directory: Path) -> set[str]:
    """What is directly in a directory."""
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("there", [False, True])
def test_a_blessed_model_is_published_as_it_was_staged(there: bool, staged: Path, folder: Path) -> None:
    """In a new directory, whose parents are made, and in an empty one, which keeps its permissions."""
    output = folder / "new" / "output"
    if there:
        output.mkdir(parents=True)
        output.chmod(0o750)
    publish.publish(BLESSED, staged, output)
    assert names(output) == WHOLE
    assert staging.digest(output / "stamped_model") == staging.digest(staged)
    assert (output / "INFRA_BLESSED").read_bytes() == b""
    assert names(folder / "new") == {"output"}
    if there:
        assert output.stat().st_mode & 0o777 == 0o750


def test_a_model_that_is_not_blessed_is_not_published(staged: Path, folder: Path) -> None:
    """The report says why."""
    publish.publish(NOT_BLESSED, staged, folder / "output")
    assert names(folder / "output") == {"INFRA_NOT_BLESSED", *REPORTS}


def test_an_output_behind_a_link_is_filled_where_it_is(staged: Path, folder: Path) -> None:
    """The link stays one."""
    (folder / "disk").mkdir()
    (folder / "output").symlink_to("disk")
    publish.publish(BLESSED, staged, folder / "output")
    assert (folder / "output").is_symlink()
    assert names(folder / "disk") == WHOLE


@pytest.mark.parametrize("there", [False, True])
def test_a_model_that_cannot_be_copied_leaves_nothing(there: bool, staged: Path, folder: Path) -> None:
    """Neither in a new directory nor in an empty one, which stays."""
    os.mkfifo(staged / "assets" / "pipe")
    if there:
        (folder / "output").mkdir()
    with pytest.raises(errors.OutputError):
        publish.publish(BLESSED, staged, folder / "output")
    assert names(folder) == ({"output"} if there else set())
    assert not there or not names(folder / "output")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, errors.AbortedError, ValueError])
def test_an_end_under_way_leaves_nothing(
    error: type[BaseException], staged: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal or a bug: the error is passed on as it is."""

    def fail(_: object) -> None:
        raise error("ended")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        publish.publish(BLESSED, staged, folder / "output")
    assert names(folder) == set()


def test_what_came_there_in_the_meantime_is_not_touched(staged: Path, folder: Path) -> None:
    """The place was free when the run began."""
    publish.publish(BLESSED, staged, folder / "output")
    before = staging.digest(folder)
    with pytest.raises(errors.OutputError):
        publish.publish(NOT_BLESSED, staged, folder / "output")
    assert staging.digest(folder) == before


def test_of_runs_that_overlap_one_wins_whole(staged: Path, folder: Path) -> None:
    """The others are told that the place is taken, and nothing of theirs is left."""

    def run(number: int) -> bool:
        try:
            publish.publish(BLESSED if number % 2 else NOT_BLESSED, staged, folder / "output")
        except errors.OutputError:
            return False
        return True

    with futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(16))) == 1
    assert names(folder) == {"output"}
    assert names(folder / "output") in (WHOLE, {"INFRA_NOT_BLESSED", *REPORTS})


KILLED = """
import os, signal, sys
from pathlib import Path
from infraval import publish
from infraval.report import data, page
sys.path.insert(0, {here!r})
import test_publish

staged, output = map(Path, sys.argv[1:3])
page.render(data.report(test_publish.BLESSED))  # compiles the template once, and not in each child
for number in range(1, 1000):
    child = os.fork()
    if child == 0:
        steps = iter(range(number))
        def step(event, arguments):
            if event in ("open", "os.mkdir", "os.rename", "os.chmod", "os.utime") and next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(step)
        publish.publish(test_publish.BLESSED, staged, output)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = test_publish.names(output) if output.exists() else set()
    print(status, *sorted(found))
    if found:
        break
"""


def test_a_run_that_is_killed_at_any_step_leaves_nothing_or_everything(staged: Path, folder: Path) -> None:
    """Killed at each file that it opens, makes or renames; what it had written beside goes with the next run."""
    script = KILLED.format(here=str(Path(__file__).parent))
    output = folder / "output"
    finished = subprocess.run(
        [sys.executable, "-c", script, staged, output], capture_output=True, text=True, check=True
    )
    *killed, last = finished.stdout.splitlines()
    assert len(killed) > 20
    assert set(killed) == {"-9"}
    assert last.split()[1:] == sorted(WHOLE)
    assert staging.digest(output / "stamped_model") == staging.digest(staged)
    publish.publish(BLESSED, staged, folder / "another")
    assert names(folder) == {"another", "output"}


def test_a_mount_point_is_filled_from_within(staged: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be replaced; the marker comes last, and a failure takes back what was moved."""
    output = folder / "output"
    output.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == output)
    renamed: list[str] = []
    rename = Path.rename

    def record(path: Path, target: Path) -> Path:
        renamed.append(Path(target).name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", record)
    publish.publish(BLESSED, staged, output)
    assert names(output) == WHOLE
    assert {*renamed[-5:-1]} == WHOLE - {"INFRA_BLESSED"}
    assert renamed[-1] == "INFRA_BLESSED"


def test_a_mount_point_that_cannot_take_everything_takes_nothing(
    staged: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was moved goes back."""
    output = folder / "output"
    output.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == output)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "INFRA_BLESSED":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(errors.OutputError, match="No space left on device"):
        publish.publish(BLESSED, staged, output)
    assert names(folder) == {"output"}
    assert names(output) == set()


def test_a_new_or_empty_place_is_good(folder: Path) -> None:
    """And the check makes nothing, parents included."""
    (folder / "empty").mkdir()
    publish.check_output(folder / "empty")
    publish.check_output(folder / "new" / "output")
    assert names(folder) == {"empty"}


def test_a_place_that_holds_something_is_left_as_it_is(staged: Path, folder: Path) -> None:
    """Someone's results are never touched."""
    publish.publish(BLESSED, staged, folder / "output")
    before = staging.digest(folder)
    with pytest.raises(errors.OutputError):
        publish.check_output(folder / "output")
    assert staging.digest(folder) == before


@pytest.mark.parametrize("name", ["file", "link", "file/output"])
def test_a_place_that_is_not_a_directory_is_refused(name: str, folder: Path) -> None:
    """A file, a link to nothing, and a place below a file; none is touched."""
    (folder / "file").write_bytes(b"mine")
    (folder / "link").symlink_to("nowhere")
    before = staging.digest(folder)
    with pytest.raises(errors.OutputError):
        publish.check_output(folder / name)
    assert staging.digest(folder) == before


def test_names_that_are_not_utf_8(staged: Path, folder: Path) -> None:
    """Of the output, and of files in the model."""
    odd = os.fsdecode(b"\xff")
    (staged / "assets" / odd).write_bytes(b"")
    output = folder / odd
    publish.publish(BLESSED, staged, output)
    assert names(output) == WHOLE
    assert staging.digest(output / "stamped_model") == staging.digest(staged)


def test_a_uri_is_not_a_directory(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Else the results would be in a new local directory of that name."""
    monkeypatch.chdir(folder)
    with pytest.raises(errors.OutputError, match="WarmupInfraValidator takes URIs"):
        publish.check_output(Path("gs://bucket/output"))
    publish.check_output(Path("gs"))
