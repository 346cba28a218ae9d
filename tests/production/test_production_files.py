"""Production's files as a job gets them: read once, checked, and applied to its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval import errors, options
from infraval.production import files

MODELS = """
model_config_list {
  config { name: "a b" base_path: "/m" model_platform: "tensorflow" version_labels { key: "stable" value: 9 } }
}
"""


def job(
    directory: Path, server: Callable[..., options.ServerOptions] = options.ProcessServer, **texts: bytes
) -> options.Job:
    """A job whose server gets files with these contents, by option."""
    for name, content in texts.items():
        (directory / name).write_bytes(content)
    return options.Job(model="m", server=server(**{name: directory / name for name in texts}))


def test_nothing_changes_without_files() -> None:
    """Neither the job, nor what the server gets."""
    given = options.Job(model="m")
    assert files.read(given) == files.Production(given, {})


def test_the_server_gets_the_files_as_they_are(tmp_path: Path) -> None:
    """Byte by byte, as they were when they were checked."""
    contents = {
        "monitoring_config_file": b"prometheus_config { enable: true } # ours",
        "platform_config_file": b'platform_configs { key: "tensorflow" }',
    }
    given = job(tmp_path, **contents)
    found = files.read(given)
    (tmp_path / "monitoring_config_file").write_bytes(b"changed since")
    assert (found.job, dict(found.files)) == (given, contents)
    (note,) = found.notes
    assert "enable_model_warmup" in note


def test_the_model_config_file_names_model_and_version(tmp_path: Path) -> None:
    """From then on the job has them; the rest of its options is as it was."""
    given = job(tmp_path, model_config_file=MODELS.encode())
    found = files.read(given)
    assert (found.job.server.model_name, found.job.server.model_version) == ("a b", 9)
    assert (found.labels, dict(found.files)) == (("stable",), {})
    assert "base_path" not in found.model_config
    assert found.job.server.model_config_file == given.server.model_config_file


def test_a_name_must_suit_the_platform(tmp_path: Path) -> None:
    """A container has a directory of that name."""
    with pytest.raises(errors.OptionError, match=r"server\.model_name names a directory .*'a b'"):
        files.read(
            job(tmp_path, lambda **given: options.DockerServer(images="i", **given), model_config_file=MODELS.encode())
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model_config_file", b""),
        ("monitoring_config_file", b""),
        ("platform_config_file", b""),
        ("monitoring_config_file", b"prometheus { }"),
        ("monitoring_config_file", b"prometheus_config {\nenable: "),
        ("monitoring_config_file", b"\xff"),
        ("platform_config_file", b"platform_configs {"),
        ("platform_config_file", b"\xff"),
    ],
)
def test_a_file_that_the_server_does_not_read_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    """TF Serving would end, or serve without its REST API; the message has the option and the file."""
    with pytest.raises(errors.OptionError) as caught:
        files.read(job(tmp_path, **{name: content}))
    assert f"--{name.replace('_', '-')} (server.{name}) {tmp_path / name}" in str(caught.value)


@pytest.mark.parametrize("name", options.FILES)
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    """Missing, or a directory."""
    for path in (tmp_path / "missing", tmp_path):
        given: dict[str, Any] = {name: path}
        with pytest.raises(errors.OptionError, match="cannot be read") as caught:
            files.read(options.Job(model="m", server=options.ProcessServer(**given)))
        assert str(path) in str(caught.value)
