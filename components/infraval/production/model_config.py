"""Production's model config file -> the entry of the model that is judged, with the staged copy as its only version."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from infraval import errors, escape, options
from infraval.production import text_files
from infraval.tensorflow_protos import model_server_config_pb2

_OPTION = "--model-config-file (server.model_config_file)"
_PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The entry of one model.

    Attributes:
      text: a text-format ModelServerConfig of that entry without its base path; `with_base_path` completes it.
      model_name: of the entry.
      model_version: that the staged model is served as; None if neither the options nor the entry name one.
      labels: that name that version.
      notes: what the file says and the server under test does not get, as sentences.
    """

    text: str
    model_name: str
    model_version: int | None
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def read(content: bytes, server: options.ServerOptions) -> ModelConfig:
    """Finds the entry of the model that is judged, and rewrites it for the staged model.

    Raises:
      OptionError: TF Serving would not start with the file, or it does not have the model or label that the options
        name.
    """
    path = Path(server.model_config_file)
    entries = _entries(content, path)
    entry = _choose(entries, server, path)
    _check(entry, path)
    notes = []
    if others := [each.name for each in entries if each is not entry]:
        notes.append(f"Other models of {path} are left out: {escape.names(others)}.")
    if entry.HasField("logging_config"):
        entry.ClearField("logging_config")
        notes.append(f"logging_config of {path} is left out, so that the requests of the trial are not logged.")
    version = _version(entry, server, path)
    labels = _labels(entry, server, version)
    if gone := sorted(entry.version_labels.keys() - labels):
        notes.append(f"Labels of {path} for versions other than {version} are left out: {escape.names(gone)}.")
    entry.version_labels.clear()
    for label in labels:
        entry.version_labels[label] = version
    entry.ClearField("model_version_policy")  # the staged copy is the only version
    entry.ClearField("base_path")
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.append(entry)
    return ModelConfig(
        text_format.MessageToString(config, as_utf8=True), entry.name, version, tuple(sorted(labels)), tuple(notes)
    )


def with_base_path(text: str, base_path: str) -> str:
    """The text of a model config file for a server that sees the model at that base path."""
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    config.model_config_list.config[0].base_path = base_path
    return str(text_format.MessageToString(config, as_utf8=True))


def _entries(content: bytes, path: Path) -> Sequence[Any]:
    config = model_server_config_pb2.ModelServerConfig()
    text_files.parse(content, config, path, _OPTION, errors.OptionError)
    entries = config.model_config_list.config
    if not entries:
        raise errors.OptionError(
            f"{_OPTION} {path} has no model_config_list with a config in it, so the server would serve nothing."
        )
    twice = [name for name, count in Counter(each.name for each in entries).items() if count > 1]
    if twice:
        raise errors.OptionError(
            f"{_OPTION} {path} lists {escape.names(twice)} more than once, and TF Serving refuses that; list each "
            "model once."
        )
    return list(entries)


def _choose(entries: Sequence[Any], server: options.ServerOptions, path: Path) -> Any:
    """The entry of the model's name, or the only one if the options name no model."""
    if len(entries) == 1 and "model_name" not in server.model_fields_set:
        return entries[0]
    for entry in entries:
        if entry.name == server.model_name:
            return entry
    known = escape.names([each.name for each in entries])
    raise errors.OptionError(
        f"{_OPTION} {path} has no model {server.model_name!r}; it has {known}. Set --model-name (server.model_name) to "
        "the one that is judged."
    )


def _check(entry: Any, path: Path) -> None:
    """Refuses what TF Serving refuses about an entry, as far as the staged copy does not replace it."""
    name = escape.name(entry.name)
    if entry.model_platform and entry.model_type:
        raise errors.OptionError(
            f"{name} in {_OPTION} {path} has both model_platform and model_type, and TF Serving refuses that; drop "
            "model_type."
        )
    known = model_server_config_pb2.ModelType.Value("TENSORFLOW")
    if entry.model_platform != _PLATFORM and entry.model_type != known:
        raise errors.OptionError(
            f'{name} in {_OPTION} {path} needs model_platform: "{_PLATFORM}"; it has '
            f"{entry.model_platform or 'none'!r}."
        )
    if not entry.base_path.startswith("/") and "://" not in entry.base_path:
        raise errors.OptionError(
            f"{name} in {_OPTION} {path} needs a base_path that is absolute or a URI, or TF Serving does not start; it "
            f"has {entry.base_path!r}."
        )


def _version(entry: Any, server: options.ServerOptions, path: Path) -> int | None:
    """What the options say, else the version of the label that they name, else the latest that the entry names."""
    if server.version_label and server.version_label not in entry.version_labels and server.model_version is None:
        known = escape.names(sorted(entry.version_labels)) if entry.version_labels else "none"
        raise errors.OptionError(
            f"--version-label (server.version_label) {server.version_label!r} is not a label of "
            f"{escape.name(entry.name)} in {path}, which has {known}. Name one of these, or say with "
            "--model-version (server.model_version) which version the label is to move to."
        )
    if server.model_version is not None:
        return server.model_version
    if server.version_label:
        return _positive(entry.version_labels[server.version_label], path)
    named = [*entry.model_version_policy.specific.versions, *entry.version_labels.values()]
    return _positive(max(named), path) if named else None


def _positive(version: int, path: Path) -> int:
    if version < 1:
        raise errors.OptionError(
            f"{_OPTION} {path} names the version {version}; set --model-version (server.model_version) to the number "
            "that the model will have."
        )
    return version


def _labels(entry: Any, server: options.ServerOptions, version: int | None) -> set[str]:
    """The labels that name the staged version, and the one that the requests ask for, which moves to it."""
    found = {label for label, number in entry.version_labels.items() if number == version}
    return found | ({server.version_label} if server.version_label else set())
