"""Reading the text protos that a server gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from infraval import errors


def read(path: Path, what: str) -> bytes:
    """The content of a file.

    Args:
      path: of the file.
      what: what the file is, with the option that names it.

    Raises:
      OptionError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can have this name
        cause = getattr(error, "strerror", error)
        raise errors.OptionError(f"{what} {path} cannot be read: {cause}.") from error


def parse(content: bytes, into: Any, path: Path, what: str, error_class: type[errors.InputError]) -> None:
    """Parses a text proto into an empty message; messages say the line and the field.

    Raises:
      InputError: of the given class; it is not such a text proto.
    """
    try:
        text_format.Parse(content.decode(), into)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise error_class(f"{what} {path} is not a text-format {into.DESCRIPTOR.name}: {error}") from None
