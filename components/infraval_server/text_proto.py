"""Files that hold a proto as text, read as TensorFlow Serving reads them (source: util/proto_util.cc)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from infraval_server import log, status


def read(path: str, into: Any, of_empty: str = "") -> None:
    """Parses a text proto.

    Args:
      path: of the file.
      into: an empty message, to be filled.
      of_empty: what to say of an empty file; by default what C++ says that maps the file into memory.

    Raises:
      StatusError: the file cannot be read, is empty, or is not the text of such a message.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise status.from_os_error(error, path) from error
    if not content:
        raise status.invalid_argument(of_empty or f"{path}; Invalid argument")
    try:
        text_format.Parse(content, into)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        log.error(f"Error parsing text-format {into.DESCRIPTOR.full_name}: {error}")
        raise status.invalid_argument(f"Invalid protobuf file: '{path}'") from None
