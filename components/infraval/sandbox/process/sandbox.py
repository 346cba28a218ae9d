"""A model server in a process on this machine.

It ends with this process, has a scrubbed environment and listens on a unix socket in a private directory. It is not a
security boundary: a served graph can read and write whatever this user can.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from typing_extensions import Self

import infraval
from infraval import errors, evidence, options, workspace
from infraval.sandbox import base, metrics_page, model_server
from infraval.sandbox.process import custom_ops, memory_limit, supervised

VERSION_TIMEOUT_S = 20.0
"""How long `--version` may take."""

_METRICS_TIMEOUT_S = 5.0
"""How long the page for Prometheus may take to appear once the model is AVAILABLE."""

_KEPT_VARIABLES = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "TF_", "XLA_", "OMP_", "KMP_", "MKL_", "ONEDNN_")
_DROPPED_PREFIXES = (
    "TF_CPP_",  # log levels: infraval reads the log for what was loaded, and verbose logging costs 80 ms a request
    "TF_VAR_",  # Terraform's, often secret
)
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "KEY")

_TENSORFLOW_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm", "tensorflow-macos", "tf-nightly")


def check(server: options.ProcessServer, progress: Callable[[str], None]) -> None:
    """Checks that there is such a server, that it knows its arguments, and that the embedded one can import its ops.

    Raises:
      OptionError: it does not know an argument, or not with that value, or a module cannot be imported.
      ServerStartError: there is no such server, it cannot be executed, or it is a different program.
    """
    program = _program(server)
    with workspace.workspace() as directory:
        _identity(program, directory / "identity")
        if server.server_arguments:
            _check_arguments(program, server.server_arguments, directory)
        if program.embedded and server.import_ops:
            progress(f"Importing {', '.join(server.import_ops)}")
            custom_ops.check(server.import_ops, directory / "ops", program.environment)


def _check_arguments(program: _Program, arguments: Sequence[str], directory: Path) -> None:
    _, usage = _ask(program, ["--help"], directory / "help")
    types = model_server.flag_types(usage)
    if not types:
        raise _not_tf_serving(program, "--help")
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        kind = types.get(flag)
        if kind is None:
            raise errors.OptionError(f"{program.name} has no flag {flag}. {_correct(program)}")
        if not equals and kind not in {"bool", ""}:
            raise errors.OptionError(f"{flag} needs a value, {flag}=VALUE. {_correct(program)}")
    code, answer = _ask(program, [*arguments, "--version"], directory / "version")
    if code != 0:
        said = re.search("Couldn't interpret value .*", answer)
        raise errors.OptionError(
            f"{program.name} refuses {shlex.join(arguments)}{f': {said[0]}' if said else '.'} {_correct(program)}"
        )


def _correct(program: _Program) -> str:
    return (
        "Correct or drop this --server-argument (server.server_arguments); "
        f"`{_asking(program, '--help')}` lists the flags and their types."
    )


def each(server: options.ServerOptions) -> dict[str, options.ServerOptions]:
    """One server, by its platform."""
    return {server.platform: server}


def side_by_side(_: options.ServerOptions) -> int:
    """One server."""
    return 1


def create(server: options.ProcessServer, launch: base.Launch, run_directory: Path) -> ProcessSandbox:
    """The server's sandbox, not entered yet."""
    return ProcessSandbox(launch, server, run_directory)


def start_ahead(server: options.ProcessServer, launch: base.Launch, run_directory: Path) -> ProcessSandbox | None:
    """The embedded server takes seconds to import TensorFlow; a binary starts at once, and its start is timed."""
    if not _program(server).embedded:
        return None
    sandbox = ProcessSandbox(launch, server, run_directory)
    sandbox.start(ahead=True)
    return sandbox


class ProcessSandbox:
    """The `Sandbox` of a server that runs as a process."""

    def __init__(self, launch: base.Launch, process: options.ProcessServer, run_directory: Path) -> None:
        self._launch = launch
        self._process = process
        self._run_directory = run_directory
        self._socket = run_directory / "s"
        self._go = run_directory / "go"
        self.target = f"unix:{self._socket}"
        self.identity: evidence.Server
        self.started_s: float
        self._server: supervised.SupervisedCommand
        self._ahead = False
        self._page: tuple[str | tuple[str, int], str] | None = None
        self._on_leaving = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._ahead:
            self.started_s = time.monotonic()
            with contextlib.suppress(FileNotFoundError):  # the server has already ended, which `poll` says
                self._go.touch()
        else:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on_leaving.close()

    def start(self, *, ahead: bool = False) -> None:
        """Starts the server; the embedded one loads nothing until the sandbox is entered if it starts `ahead`.

        Raises:
          ServerStartError: it cannot be executed, or is a different program.
        """
        base.check_socket_path(self._socket)
        program = _program(self._process)
        launch = self._launch
        model = [f"--model_name={launch.model_name}", f"--model_base_path={launch.model_base_path}"]
        flags = [
            "--port=0",  # no TCP; tensorflow_model_server listens on every address otherwise
            f"--grpc_socket_path={self._socket}",
            *([] if launch.model_config else model),
            *model_server.flags(launch, str(self._run_directory)),
            *self._process.server_arguments,
        ]
        if program.embedded:
            flags += [f"--import-ops={module}" for module in self._process.import_ops]
            flags += [f"--hold-until={self._go}"] if ahead else []
        files = model_server.files(launch, str(launch.model_base_path))
        if _offers_metrics(launch, self._process, program):
            address = str(self._run_directory / "h") if program.embedded else _free_port()
            self._page = address, metrics_page.new_path()
            files["monitoring"] = metrics_page.config(self._page[1]).encode()
            flags += [
                f"--rest_api_socket_path={address}" if program.embedded else f"--rest_api_port={address[1]}",
                f"--monitoring_config_file={self._run_directory / 'monitoring'}",
            ]
        with contextlib.ExitStack() as on_failure:
            self._server = on_failure.enter_context(
                supervised.SupervisedCommand(
                    [*program.command, *flags], self._run_directory, program.environment, files
                )
            )
            self.started_s = time.monotonic()
            # While the server boots, so that it takes no extra time.
            self.identity = _identity(program, self._run_directory.with_name(f"{self._run_directory.name}-version"))
            self._on_leaving = on_failure.pop_all()
        self._ahead = ahead

    def poll(self) -> base.ServerExit | None:
        """How the server ended, or None while it runs."""
        ended = self._server.poll()
        if ended is None or ended.signal != signal.SIGKILL or (limit := memory_limit.memory_limit()) is None:
            return ended
        outside = (
            "was killed from outside (SIGKILL), most likely because it and infraval together reached the memory limit "
            f"of {limit / (1 << 30):.1f} GiB that is set here. Raise that limit: resources.limits.memory in "
            "Kubernetes, --memory of `docker run`, otherwise memory.max of the control group."
        )
        return dataclasses.replace(ended, outside=outside)

    def memory(self) -> evidence.Memory | None:
        """What the server's processes take together."""
        return self._server.memory()

    def metrics(self) -> bytes | None:
        """The page; a server serves it a moment after it answers over gRPC."""
        if self._page is None:
            return None
        page = None
        deadline_s = time.monotonic() + _METRICS_TIMEOUT_S
        while time.monotonic() < deadline_s and self.poll() is None:
            try:
                page = metrics_page.read(*self._page)
                break
            except OSError:
                time.sleep(base.POLL_INTERVAL_S)
        if page is None:
            self._page = None  # nobody waits for it again
            raise metrics_page.NoPageError("The server's counters are not known: its page of them did not answer.")
        return page

    def log(self) -> str:
        """The end of what the server wrote."""
        return self._server.log()


def _offers_metrics(launch: base.Launch, server: options.ProcessServer, program: _Program) -> bool:
    """Whether the page for Prometheus is served: only the embedded server can without a port on every address."""
    given = {argument.partition("=")[0] for argument in server.server_arguments}
    given |= {f"--{flag}" for flag in launch.files}
    if given & {"--rest_api_port", "--monitoring_config_file"}:
        return False
    return program.embedded if launch.metrics is None else launch.metrics


def _free_port() -> tuple[str, int]:
    """A port of the kernel's choice. Another program may take it first; the page's path tells them apart."""
    with socket.socket() as chosen:
        chosen.bind(("", 0))
        return "127.0.0.1", chosen.getsockname()[1]


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


@dataclasses.dataclass(frozen=True)
class _Program:
    """What to run as the server, what messages call it, all that it may see, and whether it is infraval's own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    embedded: bool


def _program(server: options.ProcessServer) -> _Program:
    environment = scrubbed_environment(os.environ)
    if server.server != "embedded":
        found = shutil.which(model_server.TF_SERVING if server.server == "auto" else server.server)
        if found is not None:
            binary = str(Path(found).absolute())
            return _Program(binary, [binary], environment, embedded=False)
        if server.server != "auto":
            raise errors.ServerStartError(
                f"{server.server} is not an executable file. Set --server (server.server) to the path of a "
                f"{model_server.TF_SERVING} binary, or to `embedded` for the embedded server."
            )
    # The other interpreter must find what this one finds, and write its log without delay. Modules in the working
    # directory are found as well: a console script has its own directory on the path instead.
    entries = dict.fromkeys(str(Path(entry).absolute()) for entry in (*sys.path, ""))
    environment |= {"PYTHONPATH": os.pathsep.join(entries), "PYTHONUNBUFFERED": "1"}
    return _Program("The embedded server", [sys.executable, "-m", "infraval_server"], environment, embedded=True)


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


def _identity(program: _Program, directory: Path) -> evidence.Server:
    if program.embedded:
        return _embedded_identity()
    _, answer = _ask(program, ["--version"], directory)
    version = model_server.version(answer)
    if version is None:
        raise _not_tf_serving(program, "--version")
    return evidence.Server(name=model_server.TF_SERVING, version=version, platform="process", embedded=False)


def _ask(program: _Program, arguments: Sequence[str], directory: Path) -> tuple[int | None, str]:
    """Runs the server with arguments that let it answer and end; the directory is made and removed.

    Returns:
      The exit code, None if a signal ended it, and the end of what it wrote.

    Raises:
      ServerStartError: it cannot be executed, or does not end.
    """
    with supervised.SupervisedCommand([*program.command, *arguments], directory, program.environment) as command:
        ended = command.wait(VERSION_TIMEOUT_S)
    if ended is None:
        raise errors.ServerStartError(
            f"`{_asking(program, arguments[-1])}` did not end within {VERSION_TIMEOUT_S:.0f} s. Set --server "
            f"(server.server) to the path of a {model_server.TF_SERVING}."
        )
    return ended.code, command.log()


def _not_tf_serving(program: _Program, argument: str) -> errors.ServerStartError:
    return errors.ServerStartError(
        f"`{_asking(program, argument)}` does not answer as a {model_server.TF_SERVING} does. Set --server "
        "(server.server) to the path of one."
    )


def _asking(program: _Program, argument: str) -> str:
    return shlex.join([*program.command, argument])
