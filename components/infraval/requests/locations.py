"""URIs where only a path of this machine will do."""

from __future__ import annotations

import os
import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""With one slash, because a Path has made one of two."""


def advice(location: str | os.PathLike[str]) -> str:
    """What to do about a location that is a URI; empty if it is not one."""
    if not _SCHEME.match(os.fspath(location)):
        return ""
    return (
        "infraval.validate takes paths of this machine for the model and the output, and URIs only for examples. The "
        "component WarmupInfraValidator takes URIs, and so does the command line; or copy it from or to there with the "
        "store's own tool, such as gcloud storage or aws s3, or mount it."
    )
