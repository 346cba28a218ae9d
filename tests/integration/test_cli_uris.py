"""URIs on the command line, through TensorFlow's file systems: `file://` here, as no object store is at hand."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from infraval import errors, options, remote, validation
from infraval.cli import uris
from infraval.staging import model as staging

Invoke = Callable[..., click.testing.Result]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process makes its temporary folders; nothing may be left in it."""
    del tmp_path  # pytest's own are elsewhere
    with tempfile.TemporaryDirectory(prefix="uris-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[options.Job]:
    """The jobs that get to the validation, which writes a file and finds that it could not judge."""
    jobs: list[options.Job] = []

    def validate(job: options.Job, *_: Any, **__: Any) -> None:
        jobs.append(job)
        assert job.model.joinpath("saved_model.pb").exists()
        if job.output is not None:
            (job.output / "report.json").write_text("{}")
        raise errors.SandboxError("No server.")

    monkeypatch.setattr(validation, "validate", validate)
    return jobs


@pytest.mark.slow
def test_a_model_and_examples_at_uris_are_judged_and_the_results_are_at_theirs(
    run: Callable[..., Any], report_of: Callable[..., Any], taxi_model: Path, taxi_examples: Path, tmp_path: Path
) -> None:
    """The blessed copy is the same as from paths."""
    uris = {
        "--model": f"file://{taxi_model}",
        "--examples": f"file://{taxi_examples}/Split-eval/*",
        "--output": f"file://{tmp_path}/at-uri",
    }
    paths = {option: uri.removeprefix("file://") for option, uri in uris.items()} | {"--output": tmp_path / "at-path"}
    reports = [
        report_of(
            run("validate", *[part for each in given.items() for part in each], "--signature", "predict", "--json")
        )
        for given in (uris, paths)
    ]

    assert [report["verdict"] for report in reports] == ["BLESSED", "BLESSED"]
    assert reports[0]["model_digest"] == reports[1]["model_digest"]
    assert json.loads((tmp_path / "at-uri/report.json").read_text()) == reports[0]
    written, expected = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "at-uri", tmp_path / "at-path")
    )
    assert written.keys() == expected.keys()
    differing = {name for name in written if written[name] != expected[name]}
    # Latencies differ; Markdown has few digits of them.
    assert differing - {Path("report.md")} == {Path("report.html"), Path("report.json")}


def test_without_a_verdict_nothing_is_written(
    invoke: Invoke, validated: list[options.Job], sink_model: Path, tmp_path: Path
) -> None:
    """Results go to their URI once there is a verdict."""
    result = invoke("validate", "--model", sink_model, "--output", f"file://{tmp_path}/out")
    assert result.exit_code == 2
    assert len(validated) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--model", "nowhere://model"), "option/invalid", "no file system for nowhere://"),
        (("--output", "nowhere://x"), "option/invalid", "no file system for nowhere://"),
        (("--model", "file:///nowhere"), "model/unreadable", "nothing at file:///nowhere"),
        (("--beam-arg=--runner=X",), "option/invalid", "there are no --examples"),
        (("--examples", "x", "--beam-arg=--no-such=1"), "option/invalid", "Beam does not know --no-such=1"),
        (("--examples", "x", "--beam-arg=--direct_num_workers=x"), "option/invalid", "invalid int value"),
        (("--output", "file:///etc"), "output/not-empty", "file:///etc is not empty"),
    ],
)
def test_what_cannot_be_used_ends_before_the_validation(
    invoke: Invoke, validated: list[options.Job], sink_model: Path, given: tuple[str, str], code: str, says: str
) -> None:
    """The URI is in the message as it was written."""
    result = invoke("validate", *(("--model", sink_model) if "--model" not in given else ()), *given, "--json")
    found = json.loads(result.stdout)["error"]
    assert (result.exit_code, found["code"]) == (2, code)
    assert says in found["message"]
    assert validated == []


def test_a_model_at_a_uri_is_inspected(invoke: Invoke, sink_model: Path) -> None:
    """As one on this machine is."""
    result = invoke("inspect", f"file://{sink_model}", "--json")
    assert result.exit_code == 0, result.output
    of_path = json.loads(invoke("inspect", sink_model, "--json").stdout)
    assert json.loads(result.stdout) == of_path | {"model": f"file://{sink_model}"}
    missing = invoke("inspect", "file:///nowhere")
    assert missing.exit_code == 2
    assert "nothing at file:///nowhere" in missing.stderr


def test_beam_arguments_and_bounds_reach_the_validation(
    invoke: Invoke, sink_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a runner Beam runs in this process, and the sample comes back where the pipeline has temporary files."""
    seen: list[Any] = []

    def validate(job: options.Job, make_pipeline: Any, _: Any, *, sample_in: str, **__: Any) -> None:
        pipeline = make_pipeline and make_pipeline()
        if pipeline:
            Path(pipeline.local_tempdir).rmdir()
        seen.extend((job.requests, pipeline and type(pipeline.runner).__name__, sample_in))
        raise errors.SandboxError("No server.")

    monkeypatch.setattr(validation, "validate", validate)
    given = ("validate", "--model", sink_model, "--examples", "x", "--max-shards", "2", "--max-records", "30")
    for arguments in ((), ("--beam-arg=--temp_location=/elsewhere", "--beam-arg=--direct_num_workers=2")):
        assert invoke(*given, *arguments).exit_code == 2
    bounds = options.RequestOptions(max_shards=2, max_records=30)
    assert seen == [bounds, None, "", bounds, "FnApiRunner", "/elsewhere"]


def test_a_model_and_an_output_that_only_beam_can_reach(
    invoke: Invoke, folder_store: Any, sink_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is fetched as it is there, and what is written arrives."""
    shutil.copytree(sink_model, folder_store.root / "bucket" / "model")

    def validate(job: options.Job, *_: Any, **__: Any) -> None:
        assert staging.digest(job.model) == staging.digest(sink_model)
        assert job.output is not None
        (job.output / "report.json").write_text("{}")
        raise ZeroDivisionError

    monkeypatch.setattr(validation, "validate", validate)
    files = uris._file_system("folder://bucket/out")  # noqa: SLF001 - without a verdict, nothing is written
    with tempfile.TemporaryDirectory() as folder:
        with remote.results(files, "folder://bucket/out", Path(folder) / "results") as output:
            (output / "report.json").write_text("{}")
        assert "bucket/out/report.json" in folder_store.files()
    result = invoke("validate", "--model", "folder://bucket/model", "--output", "folder://bucket/new", "--json")
    assert "ZeroDivisionError" in json.loads(result.stdout)["error"]["message"]
    taken = invoke("validate", "--model", "folder://bucket/model", "--output", "folder://bucket/out", "--json")
    assert json.loads(taken.stdout)["error"]["code"] == "output/not-empty"


def test_an_output_that_cannot_be_listed(invoke: Invoke, folder_store: Any, sink_model: Path) -> None:
    """Whatever a store raises, for lack of credentials for example, is the output's problem, not infraval's."""
    (folder_store.root / "bucket" / "out").mkdir(parents=True)
    folder_store.refuses = staticmethod(lambda operation, _uri: operation == "list")
    result = invoke("validate", "--model", sink_model, "--output", "folder://bucket/out", "--json")
    error = json.loads(result.stdout)["error"]
    assert (error["kind"], result.exit_code) == ("OutputError", 2)
    assert "folder://bucket/out" in error["message"]
