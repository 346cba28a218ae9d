"""From what was asked for to the sandbox that does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from infraval import errors, options
from infraval.sandbox import base


def check(serving: options.ServingSpec, progress: Callable[[str], None]) -> None:
    """Sees that a sandbox can be made, before any work is put into what it is to serve.

    Args:
      serving: which platform, and its options.
      progress: is told what takes time, such as the pull of an image.

    Raises:
      PlatformNotBuiltError: infraval does not run that platform yet.
      SandboxError: the platform lacks what is needed: a Docker engine, an image.
    """
    if serving.platform is options.Platform.DOCKER:
        _docker().check(serving, progress)
    elif serving.platform is not options.Platform.PROCESS:
        raise errors.PlatformNotBuiltError(
            f"The serving platform {serving.platform.value} is not built yet; leave the platform unset to serve in a "
            "process of this machine."
        )


def create(serving: options.ServingSpec, launch: base.Launch, run_directory: Path) -> base.Sandbox:
    """The sandbox of a serving platform, not entered yet.

    Args:
      serving: which platform, and its options; of several images, the first.
      launch: what to boot.
      run_directory: the sandbox's own directory, absolute and short; the sandbox makes it and removes it.
    """
    if serving.platform is options.Platform.DOCKER:
        sandbox: base.Sandbox = _docker().DockerSandbox(launch, serving.docker, serving.images[0], run_directory)
        return sandbox
    from infraval.sandbox.process import sandbox as process  # noqa: PLC0415 - a backend loads only when it is used

    return process.ProcessSandbox(launch, serving.process, run_directory)


def _docker() -> ModuleType:
    try:
        from infraval.sandbox.docker import sandbox as docker  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "docker":
            raise
        raise errors.SandboxError(
            "The Docker sandbox needs the Python package docker: pip install 'tfx-infraval[docker]'."
        ) from error
    return docker
