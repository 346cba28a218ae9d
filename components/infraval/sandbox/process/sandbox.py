"""A model server in a process on this machine.

It ends with this process, has a scrubbed environment and listens on a unix socket in a private directory. It is not a
security boundary: a served graph can read and write whatever this user can.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import infraval
from infraval import errors, evidence, options, workspace
from infraval.sandbox import base, model_server
from infraval.sandbox.process import custom_ops, supervised

if TYPE_CHECKING:
    from typing_extensions import Self

VERSION_TIMEOUT_S = 20.0
"""How long `--version` may take."""

_KEPT_VARIABLES = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "TF_", "XLA_", "OMP_", "KMP_", "MKL_", "ONEDNN_")
_DROPPED_PREFIXES = (
    "TF_CPP_",  # log levels: infraval reads the log for what was loaded, and verbose logging costs 80 ms a request
    "TF_VAR_",  # Terraform's, often secret
)
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "KEY")

_TENSORFLOW_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm", "tensorflow-macos", "tf-nightly")


def check(server: options.ProcessServer, progress: Callable[[str], None]) -> None:
    """Checks that there is such a server, and that the embedded one can import its custom ops.

    Raises:
      ServerStartError: there is no such server, or it is a different program.
      OptionError: a module with custom ops cannot be imported.
    """
    binary = _binary(server.server)
    environment = scrubbed_environment(os.environ)
    with workspace.workspace() as directory:
        if binary is not None:
            _tf_serving_identity(binary, directory / "version", environment)
        elif _embedded_identity() and server.import_ops:
            progress(f"Importing {', '.join(server.import_ops)}")
            custom_ops.check(server.import_ops, directory / "ops", _with_python_path(environment))


def each(server: options.ServerOptions) -> tuple[options.ServerOptions, ...]:
    """One server."""
    return (server,)


def label(server: options.ServerOptions) -> str:
    """The platform, as a job has only one such server."""
    return server.platform


def side_by_side(server: options.ServerOptions) -> int:
    """How many servers may run at the same time."""
    del server
    return 1


def create(server: options.ProcessServer, launch: base.Launch, run_directory: Path) -> ProcessSandbox:
    """The server's sandbox, not entered yet."""
    return ProcessSandbox(launch, server, run_directory)


class ProcessSandbox:
    """The `Sandbox` of a server that runs as a process.

    The run directory's path is absolute and short, in a directory that only this user can enter. It is made on
    entering, mode 0700, and removed on leaving.
    """

    def __init__(self, launch: base.Launch, process: options.ProcessServer, run_directory: Path) -> None:
        self._launch = launch
        self._process = process
        self._run_directory = run_directory
        self._socket = run_directory / "s"
        self._server: supervised.SupervisedCommand
        self._identity: evidence.Server
        self._on_leaving = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Starts the server.

        Raises:
          ServerStartError: there is no such server, it cannot be executed, or it is a different program.
        """
        base.check_socket_path(self._socket)
        environment = scrubbed_environment(os.environ)
        binary = _binary(self._process.server)
        if binary is None:
            self._identity = _embedded_identity()
            command = [sys.executable, "-m", "infraval_server"]
            flags = [*self._flags(), *(f"--import-ops={module}" for module in self._process.import_ops)]
            environment = _with_python_path(environment)
        else:
            command = [binary]
            flags = self._flags()
        with contextlib.ExitStack() as on_failure:
            self._server = on_failure.enter_context(
                supervised.SupervisedCommand([*command, *flags], self._run_directory, environment)
            )
            if binary is not None:
                # While the server boots, so that it takes no extra time.
                directory = self._run_directory.with_name(f"{self._run_directory.name}-version")
                self._identity = _tf_serving_identity(binary, directory, environment)
            self._on_leaving = on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._on_leaving.close()

    @property
    def target(self) -> str:
        """The unix socket that the server listens on, once it does."""
        return f"unix:{self._socket}"

    @property
    def identity(self) -> evidence.Server:
        """Which server this is."""
        return self._identity

    def poll(self) -> base.ServerExit | None:
        """How the server ended, or None while it runs."""
        return self._server.poll()

    def log(self) -> str:
        """The end of what the server wrote, at most `base.LOG_TAIL_BYTES`; still available after leaving."""
        return self._server.log()

    def _flags(self) -> list[str]:
        launch = self._launch
        batching = launch.batching_parameters_file
        return [
            "--port=0",  # no TCP; tensorflow_model_server listens on every address otherwise
            f"--grpc_socket_path={self._socket}",
            f"--model_name={launch.model_name}",
            f"--model_base_path={launch.model_base_path}",
            *model_server.flags(launch, None if batching is None else str(batching)),
        ]


def scrubbed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a server under test may see: those that its libraries read, without secrets."""
    return {
        name: value
        for name, value in environment.items()
        if name in _KEPT_VARIABLES
        or (
            name.startswith(_KEPT_PREFIXES)
            and not name.startswith(_DROPPED_PREFIXES)
            and not any(word in name.upper() for word in _SECRET_WORDS)
        )
    }


def _with_python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """For another interpreter, which must find what this one finds, and write its log without delay.

    Modules in the working directory are found as well: a console script has its own directory on the path instead.
    """
    entries = dict.fromkeys(str(Path(entry).absolute()) for entry in (*sys.path, ""))
    return {**environment, "PYTHONPATH": os.pathsep.join(entries), "PYTHONUNBUFFERED": "1"}


def _binary(server: str) -> str | None:
    """The absolute path of the `tensorflow_model_server` to run, or None for the embedded server."""
    if server == "embedded":
        return None
    found = shutil.which(model_server.TF_SERVING if server == "auto" else server)
    if found is None and server != "auto":
        raise errors.ServerStartError(
            f"{server} is not an executable file. Set --server (server.server) to the path of a "
            f"{model_server.TF_SERVING} binary, or to `embedded` for the embedded server."
        )
    return None if found is None else str(Path(found).absolute())


def _embedded_identity() -> evidence.Server:
    for distribution in _TENSORFLOW_DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            tensorflow = importlib.metadata.version(distribution)
            return evidence.Server(
                name=model_server.EMBEDDED,
                version=(
                    f"infraval {infraval.__version__}, stands in for TF Serving "
                    f"{model_server.EMBEDDED_STANDS_IN_FOR}, runs TensorFlow {tensorflow}"
                ),
                platform="process",
                embedded=True,
            )
    raise errors.ServerStartError(
        f"The embedded server needs TensorFlow, which is not installed. Install it, or put {model_server.TF_SERVING} "
        "on PATH."
    )


def _tf_serving_identity(binary: str, directory: Path, environment: Mapping[str, str]) -> evidence.Server:
    with supervised.SupervisedCommand([binary, "--version"], directory, environment) as command:
        try:
            command.wait(VERSION_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise errors.ServerStartError(
                f"`{binary} --version` did not end within {VERSION_TIMEOUT_S:.0f} s. Set --server (server.server) to "
                f"the path of a {model_server.TF_SERVING}."
            ) from None
    version = model_server.version(command.log())
    if version is None:
        raise errors.ServerStartError(
            f"`{binary} --version` does not answer as a {model_server.TF_SERVING} does. Set --server (server.server) "
            "to the path of one."
        )
    return evidence.Server(name=model_server.TF_SERVING, version=version, platform="process", embedded=False)
