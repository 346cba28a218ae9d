"""Which sandbox stands for which platform.

A new platform is a folder here with a module that has `Platform`'s functions, its variant of `options.ServerOptions`,
and a line in each of `PLATFORMS` and `options.VARIANTS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from infraval import errors, options
from infraval.sandbox import base


class Platform(Protocol):
    """What a platform can do; `server` is always its own variant of `ServerOptions`."""

    def check(self, server: Any, progress: Callable[[str], None]) -> None:
        """Sees that a sandbox can be made, before any work is put into what it is to serve.

        Args:
          server: what is to serve.
          progress: is told what takes time, such as the pull of an image.

        Raises:
          SandboxError: the platform lacks what is needed: a Docker engine, an image.
        """

    def each(self, server: Any) -> Sequence[options.ServerOptions]:
        """The options of each server that these options ask for, such as one per image."""

    def label(self, server: Any) -> str:
        """What tells one of several servers from the others."""

    def side_by_side(self, server: Any) -> int:
        """How many of several servers may run at the same time."""

    def create(self, server: Any, launch: base.Launch, run_directory: Path) -> base.Sandbox:
        """The sandbox of one server, not entered yet.

        Args:
          server: what is to serve.
          launch: what to boot.
          run_directory: the sandbox's own directory, absolute and short; the sandbox makes it and removes it.
        """


PLATFORMS: dict[str, str | Platform] = {
    "process": "infraval.sandbox.process.sandbox",
    "docker": "infraval.sandbox.docker.sandbox",
}
"""By `ServerOptions.platform`: the platform, or the name of a module that is imported when it is first used."""


def platform(server: options.ServerOptions) -> Platform:
    """The platform that runs a server.

    Raises:
      PlatformNotBuiltError: infraval does not run that platform yet.
      SandboxError: a Python package that it needs is missing.
    """
    found = PLATFORMS.get(server.platform)
    if found is None:
        raise errors.PlatformNotBuiltError(
            f"The serving platform {server.platform} is not built yet; leave the platform unset to serve in a process "
            "of this machine."
        )
    if not isinstance(found, str):
        return found
    try:
        return importlib.import_module(found)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "infraval":
            raise
        raise errors.SandboxError(
            f"The {server.platform} platform needs the Python package {missing}: "
            f"pip install 'tfx-infraval[{server.platform}]'."
        ) from error
