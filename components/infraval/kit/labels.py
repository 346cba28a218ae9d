"""Labels in a ModelServerConfig: one is set, and the rest of the file stays as it is, comments included."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from infraval import errors, escape, signals
from infraval.kit import source, spans
from infraval.tensorflow_protos import model_server_config_pb2

_LABEL = re.compile("[A-Za-z][A-Za-z0-9._-]{0,62}")
"""What a label may be called. TF Serving takes anything, but not in URLs, and a number reads like a version."""

_MAX_BYTES = 16 << 20

_INDENT = "  "


def parse_label(given: str, option: str) -> tuple[str, int]:
    """The label and the version in `LABEL=VERSION`.

    Raises:
      OptionError: they are not in it.
    """
    label, _, version = given.partition("=")
    if not _LABEL.fullmatch(label):
        raise errors.OptionError(
            f"{option} {escape.name(given)}: a label begins with a letter and goes on with letters, digits and . _ -, "
            "63 characters at most, as in stable=2."
        )
    # Unicode has other digits, which int() takes.
    if not re.fullmatch("[0-9]{1,19}", version) or not 0 < int(version) <= source.MAX_VERSION:
        raise errors.OptionError(
            f"{option} {escape.name(given)}: what follows the = must be the number of a version, as in stable=2."
        )
    return label, int(version)


def read(path: Path) -> str:
    """The text of a config.

    Raises:
      InputError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: no file can have this name
        raise errors.InputError(f"{path} cannot be read: {getattr(error, 'strerror', error)}.") from error
    if len(content) > _MAX_BYTES:
        raise errors.InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB, too large for a ModelServerConfig.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise errors.InputError(f"{path} is not a ModelServerConfig: it is not UTF-8.") from None


def write(path: Path, before: str, text: str) -> None:
    """Replaces a config by one rename, unless it is not what it was before; its owner and permissions stay.

    Raises:
      InputError: somebody else has changed it meanwhile.
      OutputError: it cannot be written.
    """
    path = path.resolve()  # a link to it stays a link
    if read(path) != before:
        raise errors.InputError(f"{path} was changed by somebody else meanwhile, and was left so. Run this again.")
    try:
        with signals.deferred():
            _replace(path, text.encode())
    except OSError as error:
        raise errors.OutputError(f"{path} cannot be written: {error.strerror}. It is unchanged.") from error


def _replace(path: Path, content: bytes) -> None:
    status = path.stat()
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            with contextlib.suppress(PermissionError):  # only root may give a file away
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, status.st_mode & 0o7777)
            file.flush()
            os.fsync(descriptor)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def entry(text: str, model: str) -> Any:
    """The ModelConfig of a model.

    Raises:
      InputError: the text is not a ModelServerConfig, or does not have the model exactly once.
    """
    return _entries(_parsed(text))[_index(text, model)]


def add_version(text: str, model: str, version: int, on_disk: Sequence[int]) -> str:
    """A config whose policy for a model serves a version for good.

    A policy `latest`, which is also what a config without one means, becomes `specific`, with what it serves now and
    what has a label: else the version would be unloaded when newer ones appear.

    Args:
      text: the config.
      model: name of the model in it.
      version: what is to be served.
      on_disk: versions below the model's base path.

    Raises:
      InputError: the config cannot be edited.
    """
    index = _index(text, model)
    wanted = _parsed(text)
    config = _entries(wanted)[index]
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all" or (kind == "specific" and version in policy.specific.versions):
        return text
    field = _config_field(text, index)
    if kind == "specific":
        policy.specific.versions.append(version)
        specific = _last(_last(field.all("model_version_policy")).all("specific"))
        return _checked(_insert(text, specific, f"versions: {version}"), wanted)
    newest = sorted(on_disk)[-(policy.latest.num_versions or 1) :]
    versions = sorted({version, *newest, *config.version_labels.values()})
    policy.specific.versions.extend(versions)
    said = " ".join(f"versions: {number}" for number in versions)
    new = f"model_version_policy {{ specific {{ {said} }} }}"
    if found := field.all("model_version_policy"):
        return _checked(f"{text[: found[-1].start]}{new}{text[found[-1].end :]}", wanted)
    return _checked(_insert(text, field, new), wanted)


def set_label(text: str, model: str, label: str, version: int) -> str:
    """A config in which a label of a model names a version.

    Raises:
      InputError: the config cannot be edited.
    """
    index = _index(text, model)
    wanted = _parsed(text)
    labels = _entries(wanted)[index].version_labels
    if label in labels and labels[label] == version:
        return text
    known = label in labels
    labels[label] = version
    field = _config_field(text, index)
    if not known:
        # The label needs no escapes: `parse_label`.
        return _checked(_insert(text, field, f'version_labels {{ key: "{label}" value: {version} }}'), wanted)
    # Of a label that is there twice, the last one counts.
    moved = _last([each for each in field.all("version_labels") if _label_of(text, each) == label])
    if values := moved.all("value"):
        return _checked(f"{text[: values[-1].value]}{version}{text[values[-1].end :]}", wanted)
    return _checked(_insert(text, moved, f"value: {version}"), wanted)


def _parsed(text: str) -> Any:
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except (text_format.ParseError, RecursionError) as error:
        raise errors.InputError(f"The file is not a ModelServerConfig as a text proto: {error}.") from None
    return config


def _entries(config: Any) -> Any:
    return config.model_config_list.config


def _index(text: str, model: str) -> int:
    names = [each.name for each in _entries(_parsed(text))]
    if names.count(model) != 1:
        count = "several models" if model in names else "no model"
        raise errors.InputError(f"The file has {count} of the name {escape.name(model)}; it has {escape.names(names)}.")
    return names.index(model)


def _config_field(text: str, index: int) -> spans.Field:
    """Where an entry is, by its place among them."""
    try:
        whole = spans.parse(text)
    except spans.UnknownSyntaxError:
        raise _cannot_edit() from None
    fields = [field for entries in whole.all("model_config_list") for field in entries.all("config")]
    if index >= len(fields):
        raise _cannot_edit()
    return fields[index]


def _label_of(text: str, field: spans.Field) -> str:
    config = model_server_config_pb2.ModelConfig()
    text_format.Parse(f"version_labels {text[field.value : field.end]}", config)
    return str(next(iter(config.version_labels)))


def _last(fields: Sequence[spans.Field]) -> spans.Field:
    if not fields:
        raise _cannot_edit()
    return fields[-1]


def _insert(text: str, message: spans.Field, new: str) -> str:
    """Adds a field at the end of a message, on a line of its own if the message's bracket is on one."""
    closing = message.end - 1
    line = text.rfind("\n", 0, closing) + 1
    if text[line:closing].strip():
        # Not a comment: it would hide the bracket.
        gap = "" if text[closing - 1].isspace() else " "
        return f"{text[:closing]}{gap}{new} {text[closing:]}"
    end_of_line = "\r\n" if text[:line].endswith("\r\n") else "\n"
    return f"{text[:line]}{text[line:closing]}{_INDENT}{new}{end_of_line}{text[line:]}"


def _checked(text: str, wanted: Any) -> str:
    """The edited text, if it means what is wanted."""
    try:
        found = _parsed(text)
    except errors.InputError:
        raise _cannot_edit() from None
    if found != wanted:
        raise _cannot_edit()
    return text


def _cannot_edit() -> errors.InputError:
    return errors.InputError(
        "The file is a ModelServerConfig in a notation that infraval cannot edit; it is unchanged. Write the model's "
        "entry as models.config of `infraval kit` does."
    )
