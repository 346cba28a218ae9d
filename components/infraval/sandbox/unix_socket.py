"""The unix socket that a server under test listens on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infraval import errors

MAX_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""sockaddr_un.sun_path without its final zero byte; gRPC refuses a longer path."""


_MISREAD = frozenset("%#?,")
"""What gRPC takes for a part of an address other than its path."""


def check_path(path: Path) -> None:
    """Sees that a socket can have that path.

    Raises:
      ServerStartError: it is too long, or gRPC would read another one.
    """
    misread = sorted(_MISREAD.intersection(str(path)))
    if misread:
        raise errors.ServerStartError(
            f"The path of the server's socket, {path}, may not hold {' '.join(misread)}; set TMPDIR to a folder with a "
            "simpler path, such as /tmp."
        )
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise errors.ServerStartError(
            f"The path of the server's socket, {path}, has {length} bytes and may have {MAX_PATH_BYTES}; set TMPDIR to "
            "a folder with a shorter path, such as /tmp."
        )
