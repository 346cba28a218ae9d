"""Edits of a config: what is asked for changes, and nothing else does."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import hypothesis
import pytest
from google.protobuf import text_format
from hypothesis import strategies

from infraval import cli, errors
from infraval.kit import labels, spans
from infraval.tensorflow_protos import model_server_config_pb2

COMMENTED = """\
# Two models.
model_config_list: {
  config < name: 'a' base_path: "/models/a" > # one line, }
  config {  # the one that counts: {
    name: "b" 'c'
    base_path: "/models/bc"
    model_version_policy {
      specific {
        versions: [1, 2]  # both
      }
    }
    # The one that is called.
    version_labels: [{ key: "stable", value: 1 }, { key: "canary"; value: 2 }]
  }
}
"""


def _parse(text: str) -> Any:
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def _edit(text: str, model: str, label: str, version: int, on_disk: tuple[int, ...] = (1, 2, 3)) -> str:
    return labels.set_label(labels.add_version(text, model, version, on_disk), model, label, version)


def test_a_label_moves_in_a_file_that_a_person_wrote() -> None:
    """One number changes and one field is added; each comment, quote and bracket stays."""
    moved = _edit(COMMENTED, "bc", "stable", 3)

    expected = COMMENTED.replace('"stable", value: 1', '"stable", value: 3').replace(
        "both\n", "both\n        versions: 3\n"
    )
    assert moved == expected
    assert _edit(moved, "bc", "stable", 3) == moved


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [1, 3]),
        ("model_version_policy { }", [1, 3]),
        ("model_version_policy { latest { } }", [1, 3]),
        ("model_version_policy { latest { num_versions: 2 } }", [1, 2, 3]),
        ("model_version_policy { specific { } }", [1]),
        ("model_version_policy { specific { versions: 1 versions: 3 } }", [1, 3]),
        ("model_version_policy { all { } }", None),
    ],
)
def test_the_version_is_served_and_what_was_served_stays(policy: str, expected: list[int] | None) -> None:
    """`latest` would unload the version once there are newer ones, so it becomes `specific`; `all` stays."""
    text = f'model_config_list {{ config {{ name: "a" {policy} }} }}'

    (entry,) = _parse(_edit(text, "a", "stable", 1)).model_config_list.config

    assert entry.version_labels == {"stable": 1}
    found = entry.model_version_policy
    assert found.HasField("all") if expected is None else list(found.specific.versions) == expected, entry


def test_versions_with_a_label_stay_when_the_policy_becomes_specific() -> None:
    """Else the label would name nothing."""
    text = 'model_config_list { config { name: "a" version_labels { key: "old" value: 1 } } }'
    (entry,) = _parse(_edit(text, "a", "stable", 2)).model_config_list.config
    assert list(entry.model_version_policy.specific.versions) == [1, 2, 3]


NAMES = strategies.text(strategies.characters(blacklist_categories=("Cs",)), max_size=8)
VERSIONS = strategies.integers(1, 2**63 - 1)
LABELS = strategies.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,8}", fullmatch=True)


@strategies.composite
def configs(draw: strategies.DrawFn) -> Any:
    """Any ModelServerConfig."""
    config = model_server_config_pb2.ModelServerConfig()
    for name in draw(strategies.lists(NAMES, min_size=1, max_size=4, unique=True)):
        entry = config.model_config_list.config.add(name=name, base_path=draw(NAMES), model_platform="tensorflow")
        for label, version in draw(strategies.dictionaries(LABELS | NAMES, VERSIONS, max_size=3)).items():
            entry.version_labels[label] = version
        policy = entry.model_version_policy
        kind = draw(strategies.sampled_from(["", "all", "latest", "specific"]))
        if kind == "all":
            policy.all.SetInParent()
        elif kind == "latest":
            policy.latest.num_versions = draw(strategies.integers(0, 3))
        elif kind == "specific":
            policy.specific.versions.extend(draw(strategies.lists(VERSIONS, max_size=3)))
    return config


@hypothesis.given(config=configs(), label=LABELS, version=VERSIONS, data=strategies.data())
def test_only_what_is_asked_for_changes(config: Any, label: str, version: int, data: strategies.DataObject) -> None:
    """In each notation that protobuf prints: other models are the same, and so is all but one label and the policy."""
    text = text_format.MessageToString(
        config,
        as_utf8=data.draw(strategies.booleans()),
        as_one_line=data.draw(strategies.booleans()),
        use_short_repeated_primitives=data.draw(strategies.booleans()),
        pointy_brackets=data.draw(strategies.booleans()),
        indent=data.draw(strategies.sampled_from([0, 4])),
    )
    entries = config.model_config_list.config
    index = data.draw(strategies.integers(0, len(entries) - 1))
    name = entries[index].name

    edited = _parse(_edit(text, name, label, version))

    found = edited.model_config_list.config[index]
    assert found.version_labels[label] == version
    policy = found.model_version_policy
    assert policy.HasField("all") or version in policy.specific.versions
    assert {*policy.specific.versions} >= {*entries[index].model_version_policy.specific.versions}
    # With label and policy as they were, everything is as it was.
    found.model_version_policy.CopyFrom(entries[index].model_version_policy)
    if not entries[index].HasField("model_version_policy"):
        found.ClearField("model_version_policy")
    found.version_labels.clear()
    found.version_labels.update(entries[index].version_labels)
    assert edited == config


@hypothesis.given(strategies.text(alphabet="ab1 {}<>[]:,;#\"'\\\n."))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """The parser ends, with spans in the text or with its one error."""
    try:
        whole = spans.parse(text)
    except spans.UnknownSyntaxError:
        return
    assert all(0 <= field.start <= field.value < field.end <= len(text) for field in whole.fields)


@pytest.mark.parametrize(
    "given", ["stable", "stable=", "=1", "stable=0", "stable=-1", "stable=\u0661", "1=1", 'a"=1', "a b=1"]
)
def test_what_is_not_a_label_and_a_version_is_refused(given: str) -> None:
    """Before anything is read."""
    with pytest.raises(errors.OptionError):
        labels.parse_label(given, "--label")


@pytest.mark.parametrize(
    "text", ["{", "models { }", "custom_model_config { }", 'model_config_list { config { name: "b" } }']
)
def test_a_config_without_the_model_is_refused(text: str) -> None:
    """Also what is not a config at all."""
    with pytest.raises(errors.InputError):
        labels.entry(text, "a")


@pytest.fixture
def base_path(write_version: Callable[..., Path], tmp_path: Path) -> Path:
    """Versions 1 and 2 of a model."""
    for version in (1, 2):
        write_version(tmp_path / "base" / str(version), warmup=None)
    return tmp_path / "base"


@pytest.fixture
def config(base_path: Path, tmp_path: Path) -> Path:
    """A config that serves version 1 as stable."""
    path = tmp_path / "models.config"
    path.write_text(
        f'model_config_list {{\n  config {{\n    name: "a"\n    base_path: "{base_path}"\n'
        "    model_version_policy { specific { versions: 1 } }\n"
        '    version_labels { key: "stable" value: 1 }\n  }\n}\n'
    )
    return path


def _run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli.commands, ["label", *map(str, arguments)], prog_name="infraval")


def test_the_command_edits_the_file_by_a_rename(config: Path) -> None:
    """Who has the old file open still reads a whole one; permissions stay, and nothing is left beside it."""
    config.chmod(0o640)
    before = config.read_text()
    with config.open() as old:
        assert _run(config, "a", "stable=2").exit_code == 0
        assert old.read() == before

    (entry,) = _parse(config.read_text()).model_config_list.config
    assert entry.version_labels == {"stable": 2}
    assert list(entry.model_version_policy.specific.versions) == [1, 2]
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert {path.name for path in config.parent.iterdir()} == {"base", "models.config"}


def test_a_link_stays_a_link(config: Path, tmp_path: Path) -> None:
    """What it points at is edited."""
    link = tmp_path / "link"
    link.symlink_to(config)
    assert _run(link, "a", "stable=2").exit_code == 0
    assert link.is_symlink()
    assert "value: 2" in config.read_text()


@pytest.mark.parametrize("given", ["stable=3", "stable=x"])
def test_a_version_that_does_not_exist_is_refused(config: Path, given: str) -> None:
    """And the file stays."""
    before = config.read_text()
    assert _run(config, "a", given).exit_code == 2
    assert config.read_text() == before


def test_the_base_path_of_a_container_is_given_by_hand(config: Path, base_path: Path) -> None:
    """Else nobody knows which versions exist."""
    config.write_text(config.read_text().replace(str(base_path), "/models/a"))
    refused = _run(config, "a", "stable=2")
    assert refused.exit_code == 2
    assert "--base-path" in refused.stderr
    assert _run(config, "a", "stable=2", "--base-path", base_path).exit_code == 0


def test_an_edit_by_somebody_else_is_not_lost(config: Path) -> None:
    """A file that is not what it was is left alone."""
    before = config.read_text()
    config.write_text(f"# mine\n{before}")
    with pytest.raises(errors.InputError):
        labels.write(config, before, "")
    assert config.read_text() == f"# mine\n{before}"
