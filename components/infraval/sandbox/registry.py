"""Which sandbox runs which platform.

A new platform is a folder here with a module that has `Platform`'s functions, its variant of `options.ServerOptions`,
and a line in each of `PLATFORMS` and `options.VARIANTS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from infraval import errors, options
from infraval.sandbox import base


class Platform(Protocol):
    """What a platform can do; `server` is always its own variant of `ServerOptions`."""

    def check(self, server: Any, progress: Callable[[str], None]) -> None:
        """Checks that a sandbox can be made, before any work is put into what it is to serve.

        `progress` is called with a line about whatever takes time, such as pulling an image.

        Raises:
          SandboxError: the platform lacks something it needs: a Docker engine, an image.
        """

    def each(self, server: Any) -> Mapping[str, options.ServerOptions]:
        """The options of each server that these options ask for, such as one per image, by a name for it."""

    def side_by_side(self, server: Any) -> int:
        """How many of several servers may run at the same time."""

    def create(self, server: Any, launch: base.Launch, run_directory: Path) -> base.Sandbox:
        """The sandbox of one server, not entered yet.

        `run_directory` is absolute and short, in a directory that only this user can enter. The sandbox makes it on
        entering, mode 0700, and removes it on leaving.
        """

    def start_ahead(self, server: Any, launch: base.Launch, run_directory: Path) -> base.Sandbox | None:
        """The same, with a server that already starts, although there is no model yet; None if that saves no time.

        The server loads nothing until the sandbox is entered. The sandbox must be left, even if it never is entered.
        """


PLATFORMS: dict[str, str | Platform] = {
    "process": "infraval.sandbox.process.sandbox",
    "docker": "infraval.sandbox.docker.sandbox",
}
"""By `ServerOptions.platform`: the platform, or the name of a module that is imported when it is first used."""


def check_built(server: options.ServerOptions) -> None:
    """Checks that infraval has a platform; what that needs on this machine is not looked at.

    Raises:
      PlatformNotBuiltError: infraval does not support that platform yet.
    """
    if server.platform not in PLATFORMS:
        raise errors.PlatformNotBuiltError(
            f"infraval does not support the {server.platform} platform yet. Leave --platform (server.platform, or "
            f"serving_spec.{server.platform}) out to serve the model in a process on this machine, or name another one."
        )


def platform(server: options.ServerOptions) -> Platform:
    """The platform that runs a server.

    Raises:
      PlatformNotBuiltError: infraval does not support that platform yet.
      SandboxError: a Python package that it needs is missing.
    """
    check_built(server)
    found = PLATFORMS[server.platform]
    if not isinstance(found, str):
        return found
    try:
        return importlib.import_module(found)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "infraval":
            raise
        raise errors.SandboxError(
            f"The {server.platform} platform needs the Python package {missing}. Install it, for example with "
            f"`pip install '.[{server.platform}]'` in a clone of infraval."
        ) from error
