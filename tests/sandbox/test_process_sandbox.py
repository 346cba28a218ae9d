"""The process sandbox in front of a stand-in server: what it starts, shows and leaves."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from infraval import errors, evidence, options
from infraval.sandbox import base
from infraval.sandbox.process import sandbox as process
from infraval.trial import counters

MakeSandbox = Callable[..., process.ProcessSandbox]
Eventually = Callable[..., bool]
ProcessesOf = Callable[[Path], set[int]]
Answers = Callable[[str], bool]

EVERY_KIND = ["serve", "boot", "stubborn", "daemon"]


def parent_of(pid: int) -> int:
    """The pid of a process' parent."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


def has_supervisor(pid: int) -> bool:
    """Whether a process is the child of a child of this one."""
    return parent_of(parent_of(pid)) == os.getpid()


def facts(sandbox: process.ProcessSandbox) -> dict[str, Any]:
    """What the stand-in says it was given."""
    line = next(line for line in sandbox.log().splitlines() if line.startswith("{"))
    return dict(json.loads(line))


def ended(sandbox: process.ProcessSandbox, eventually: Eventually) -> base.ServerExit | None:
    """How the server ended; None if that is not noticed."""
    eventually(lambda: sandbox.poll() is not None)
    return sandbox.poll()


def test_the_server_answers_on_a_socket_in_a_private_directory(
    make_sandbox: MakeSandbox, private_directory: Path, eventually: Eventually, answers: Answers
) -> None:
    """A sandbox that was entered comes to serve, and only its user can reach the socket."""
    with make_sandbox("serve") as sandbox:
        assert eventually(lambda: answers(sandbox.target))
        assert sandbox.poll() is None
        assert (private_directory / "r").stat().st_mode & 0o777 == 0o700
        assert sandbox.target == f"unix:{private_directory}/r/s"


@pytest.mark.usefixtures("stand_in")
def test_flags_are_those_of_tensorflow_model_server(private_directory: Path, eventually: Eventually) -> None:
    """TCP is off, a load is not retried, and batching comes with its parameters."""
    launch = base.Launch(
        model_name="serve",
        model_base_path=Path("/models"),
        files={"batching_parameters_file": b"num_batch_threads {}", "monitoring_config_file": b"# none"},
        grpc_max_threads=7,
    )
    server = options.ProcessServer(
        import_ops=("only_for_the_embedded_server",), server_arguments=("--num_load_threads=2", "--enable_batching=0")
    )
    with process.ProcessSandbox(launch, server, private_directory / "r") as sandbox:
        assert eventually(sandbox.log)
    assert facts(sandbox)["flags"] == [
        "--port=0",
        f"--grpc_socket_path={private_directory}/r/s",
        "--model_name=serve",
        "--model_base_path=/models",
        "--max_num_load_retries=0",
        "--grpc_max_threads=7",
        "--enable_batching",
        f"--batching_parameters_file={private_directory}/r/.batching_parameters",
        f"--monitoring_config_file={private_directory}/r/.monitoring_config",
        "--num_load_threads=2",
        "--enable_batching=0",
    ]
    assert facts(sandbox)["files"] == {
        "batching_parameters_file": "num_batch_threads {}",
        "monitoring_config_file": "# none",
    }


@pytest.mark.usefixtures("stand_in")
def test_a_model_config_file_takes_the_place_of_name_and_base_path(
    private_directory: Path, eventually: Eventually
) -> None:
    """It is in the private directory, and leads to the staged model; labels come with the flag that lets them start."""
    config = 'model_config_list { config { name: "boot" model_platform: "tensorflow" %s } }'
    label = 'version_labels { key: "stable" value: 42 }'
    for labels in ("", label):
        launch = base.Launch("boot", Path("/models"), model_config=config % labels, labels=bool(labels))
        with process.ProcessSandbox(launch, options.ProcessServer(), private_directory / "r") as sandbox:
            assert eventually(sandbox.log)
        given = facts(sandbox)
        assert [flag for flag in given["flags"] if flag.startswith(("--model", "--allow"))] == [
            *(["--allow_version_labels_for_unavailable_models"] if labels else []),
            f"--model_config_file={private_directory}/r/.model_config",
        ]
        served = model_server_config_pb2.ModelServerConfig()
        text_format.Parse(given["files"]["model_config_file"], served)
        (entry,) = served.model_config_list.config
        assert (entry.name, entry.base_path, dict(entry.version_labels)) == (
            "boot",
            "/models",
            {"stable": 42} if labels else {},
        )


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("asked", "files", "served"),
    [
        (False, {}, False),
        (None, {}, False),  # TF Serving listens on every address
        (True, {}, True),
        (True, {"monitoring_config_file": b""}, False),  # production's own
    ],
)
def test_a_binary_opens_a_rest_port_only_if_asked_to(
    asked: bool | None,
    files: dict[str, bytes],
    served: bool,
    private_directory: Path,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its page has a path in a file that only this user can read; if no page comes, the counters say so."""
    monkeypatch.setattr(process, "_METRICS_TIMEOUT_S", 0.1)
    launch = base.Launch(model_name="serve", model_base_path=Path("/models"), files=files, metrics=asked)
    with process.ProcessSandbox(launch, options.ProcessServer(), private_directory / "r") as sandbox:
        assert eventually(sandbox.log)
        config = private_directory / "r" / "monitoring"
        flags = dict(flag.partition("=")[::2] for flag in facts(sandbox)["flags"])
        assert ("--rest_api_port" in flags) == config.exists() == served
        if served:
            assert 0 < int(flags["--rest_api_port"]) < 65536
            assert flags["--monitoring_config_file"] == str(config)
        known = counters.read(sandbox)
        assert bool(known and known.unknown) == served
        assert counters.read(sandbox) is None


GOOD_ARGUMENTS = [("--enable_batching",), ("--num_load_threads=2", "--tensorflow_session_config_file=/a=b")]
BAD_ARGUMENTS = [
    ("--no_such_flag",),
    ("--num_load_threads=2", "--no_such_flag=1"),
    ("-num_load_threads=2",),
    ("--num_load_threads",),
    ("--num_load_threads=many",),
]


def no_progress(line: str) -> None:
    """Nothing takes time."""
    raise AssertionError(line)


@pytest.mark.parametrize("arguments", GOOD_ARGUMENTS)
def test_arguments_that_the_server_knows_pass(arguments: tuple[str, ...], stand_in: Path) -> None:
    """By name, type and value."""
    process.check(options.ProcessServer(server=str(stand_in), server_arguments=arguments), no_progress)


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS)
def test_arguments_that_the_server_does_not_know_are_refused(arguments: tuple[str, ...], stand_in: Path) -> None:
    """Before any work; TensorFlow Serving itself would go on without them."""
    with pytest.raises(errors.OptionError, match="--server-argument") as caught:
        process.check(options.ProcessServer(server=str(stand_in), server_arguments=arguments), no_progress)
    assert arguments[-1].partition("=")[0] in str(caught.value)


@pytest.mark.usefixtures("no_tf_serving")
@pytest.mark.parametrize("arguments", [("--xla_cpu_compilation_enabled",), *GOOD_ARGUMENTS])
def test_arguments_that_the_embedded_server_knows_pass(arguments: tuple[str, ...]) -> None:
    """Also those that it ignores."""
    process.check(options.ProcessServer(server_arguments=arguments), no_progress)


@pytest.mark.usefixtures("no_tf_serving")
@pytest.mark.parametrize("arguments", [*BAD_ARGUMENTS[:3], ("--grpc_max_threads",), ("--enable_model_warmup=maybe",)])
def test_arguments_that_the_embedded_server_does_not_know_are_refused(arguments: tuple[str, ...]) -> None:
    """The same before any work."""
    with pytest.raises(errors.OptionError, match="--server-argument"):
        process.check(options.ProcessServer(server_arguments=arguments), no_progress)


def test_arguments_are_checked_by_a_model_server_only(tmp_path: Path) -> None:
    """A program that does not list its flags is not one."""
    binary = tmp_path / "server"
    binary.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "TensorFlow ModelServer: 2.16.1" || echo bash 5.2\n')
    binary.chmod(0o755)
    with pytest.raises(errors.ServerStartError, match="--help"):
        process.check(options.ProcessServer(server=str(binary), server_arguments="--enable_batching"), no_progress)


def test_an_endless_log_does_not_fill_the_disk(
    make_sandbox: MakeSandbox, private_directory: Path, eventually: Eventually
) -> None:
    """The space of all but its end is freed again and again, and the end can be read all the time."""
    log = private_directory / "r" / "log"
    taken = [0]

    def was_freed() -> bool:
        taken.append(log.stat().st_blocks)
        return taken[-1] < taken[-2]

    with make_sandbox("flood") as sandbox:
        assert eventually(was_freed)
        assert eventually(was_freed)
        assert len(sandbox.log()) == base.LOG_TAIL_BYTES
        assert not set(sandbox.log()) - set("chatter\n")


@pytest.mark.parametrize("behaviour", EVERY_KIND)
def test_leaving_leaves_nothing(
    behaviour: str,
    make_sandbox: MakeSandbox,
    private_directory: Path,
    eventually: Eventually,
    processes_of: ProcessesOf,
) -> None:
    """After leaving there is no process, socket or file, daemons and processes that ignore signals included."""
    run_directory = private_directory / "r"
    with make_sandbox(behaviour) as sandbox:
        assert behaviour == "boot" or eventually((run_directory / "s").exists)
        assert processes_of(run_directory)
    assert processes_of(run_directory) == set()
    assert list(private_directory.iterdir()) == []
    assert facts(sandbox)["flags"]


def test_an_exception_leaves_nothing_and_passes(
    make_sandbox: MakeSandbox, private_directory: Path, processes_of: ProcessesOf
) -> None:
    """An exception inside the sandbox comes out as it is, with everything removed."""
    with pytest.raises(ZeroDivisionError), make_sandbox("daemon"):
        raise ZeroDivisionError
    assert processes_of(private_directory) == set()
    assert list(private_directory.iterdir()) == []


@pytest.mark.parametrize("code", [0, 1, 126, 255])
def test_an_exit_code_is_noticed_at_once(code: int, make_sandbox: MakeSandbox, eventually: Eventually) -> None:
    """A server that exits is seen within a second, with its code and its last words."""
    with make_sandbox(f"exit-{code}") as sandbox:
        assert ended(sandbox, eventually) == base.ServerExit(code=code, signal=None)
        assert sandbox.log().endswith("the last words\n")
    assert sandbox.poll() == base.ServerExit(code=code, signal=None)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV])
def test_a_deadly_signal_is_noticed(number: signal.Signals, make_sandbox: MakeSandbox, eventually: Eventually) -> None:
    """A server that crashes is seen, with the signal, which is not taken for an exit code."""
    with make_sandbox(f"signal-{number.value}") as sandbox:
        assert ended(sandbox, eventually) == base.ServerExit(code=None, signal=number)


def test_a_server_that_ends_takes_its_daemons_along(
    make_sandbox: MakeSandbox, private_directory: Path, eventually: Eventually, processes_of: ProcessesOf
) -> None:
    """What a dead server started is gone by the time its end is told, without leaving the sandbox."""
    run_directory = private_directory / "r"
    with make_sandbox("daemon") as sandbox:
        assert eventually((run_directory / "s").exists)
        server = next(pid for pid in processes_of(run_directory) if pid == os.getpgid(pid) and has_supervisor(pid))
        os.kill(server, signal.SIGSEGV)
        assert ended(sandbox, eventually) == base.ServerExit(code=None, signal=signal.SIGSEGV)
        assert processes_of(run_directory) == set()


def test_a_killed_supervisor_takes_the_server_along(
    make_sandbox: MakeSandbox, private_directory: Path, eventually: Eventually, processes_of: ProcessesOf
) -> None:
    """Even without its supervisor the server does not survive, and its end is noticed."""
    run_directory = private_directory / "r"
    with make_sandbox("stubborn") as sandbox:
        assert eventually((run_directory / "s").exists)
        supervisor = next(pid for pid in processes_of(run_directory) if parent_of(pid) == os.getpid())
        os.kill(supervisor, signal.SIGKILL)
        assert ended(sandbox, eventually) == base.ServerExit(code=None, signal=signal.SIGKILL)
        assert eventually(lambda: not processes_of(run_directory))
    assert list(private_directory.iterdir()) == []


def test_nothing_listens_on_tcp(
    make_sandbox: MakeSandbox,
    private_directory: Path,
    eventually: Eventually,
    processes_of: ProcessesOf,
    listening_tcp_sockets: Callable[[Collection[int]], list[str]],
) -> None:
    """No process of the sandbox has a listening TCP socket; a server that opens one is caught by the same check."""
    for behaviour, count in (("serve", 0), ("tcp", 1)):
        with make_sandbox(behaviour):
            assert eventually((private_directory / "r" / "s").exists)
            assert len(listening_tcp_sockets(processes_of(private_directory / "r"))) == count


def test_two_sandboxes_at_once(
    make_sandbox: MakeSandbox, private_directory: Path, eventually: Eventually, answers: Answers
) -> None:
    """Two servers run side by side, and leaving one does not touch the other."""
    with make_sandbox("serve", name="a") as first:
        with make_sandbox("serve", name="b") as second:
            assert eventually(lambda: answers(first.target) and answers(second.target))
        assert not answers(second.target)
        assert answers(first.target)
        assert [path.name for path in private_directory.iterdir()] == ["a"]


def test_the_server_outlives_the_thread_that_started_it(
    make_sandbox: MakeSandbox, eventually: Eventually, answers: Answers
) -> None:
    """A sandbox entered by a worker thread goes on when that thread has ended, and can be left from another."""
    sandbox = make_sandbox("serve")
    worker = threading.Thread(target=sandbox.__enter__)
    worker.start()
    worker.join()
    try:
        assert eventually(lambda: not Path(f"/proc/self/task/{worker.native_id}").exists())
        assert eventually(lambda: answers(sandbox.target))
        assert sandbox.poll() is None
    finally:
        sandbox.__exit__(None, None, None)
    assert sandbox.poll() == base.ServerExit(code=None, signal=signal.SIGKILL)


def test_the_environment_is_scrubbed(
    make_sandbox: MakeSandbox, private_directory: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """No secret reaches the server, nor a log level that would hide the lines that are read; the rest is private."""
    kept = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "0", "TF_NUM_INTEROP_THREADS": "2"}
    dropped = {
        "AWS_SECRET_ACCESS_KEY": "secret",
        "GOOGLE_APPLICATION_CREDENTIALS": "secret",
        "NVIDIA_API_KEY": "secret",
        "TF_TOKEN_app_terraform_io": "secret",
        "TF_VAR_database": "secret",
        "PYTHONPATH": "/secret",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "LD_PRELOAD": "",
    }
    for name, value in (kept | dropped).items():
        monkeypatch.setenv(name, value)
    with make_sandbox("serve") as sandbox:
        assert eventually(sandbox.log)
    environment = facts(sandbox)["environment"]
    assert environment.items() >= kept.items()
    assert not environment.keys() & dropped.keys()
    assert "secret" not in sandbox.log()
    home = str(private_directory / "r" / "home")
    assert environment["HOME"] == environment["TMPDIR"] == facts(sandbox)["directory"] == home


def test_the_server_is_restricted(make_sandbox: MakeSandbox, eventually: Eventually) -> None:
    """It writes no core file, gains no privilege, and what it creates is its user's alone."""
    with make_sandbox("serve") as sandbox:
        assert eventually(sandbox.log)
    assert facts(sandbox)["core_limit"] == [0, 0]
    assert facts(sandbox)["no_new_privileges"]
    assert facts(sandbox)["umask"] == 0o077


def test_a_log_is_cut_at_its_start(make_sandbox: MakeSandbox, private_directory: Path, eventually: Eventually) -> None:
    """Of a long log the end is kept, and bytes that are no UTF-8 do not stop it from being read."""
    with make_sandbox("babble") as sandbox:
        assert eventually((private_directory / "r" / "s").exists)
        assert len(sandbox.log()) == base.LOG_TAIL_BYTES
    assert sandbox.log().startswith("\N{REPLACEMENT CHARACTER}")
    assert sandbox.log().endswith("\N{REPLACEMENT CHARACTER}the end\n")


def test_the_start_is_that_of_the_server(make_sandbox: MakeSandbox) -> None:
    """Neither what comes before it nor the question for the version counts."""
    before_s = time.monotonic()
    with make_sandbox("serve") as sandbox:
        assert before_s < sandbox.started_s < time.monotonic()


def test_the_identity_is_what_the_binary_says(make_sandbox: MakeSandbox) -> None:
    """The record names the server on PATH and the versions it prints."""
    with make_sandbox("serve", server="auto") as sandbox:
        assert sandbox.identity == evidence.Server(
            platform="process",
            name="tensorflow_model_server",
            version="2.16.1-rc0+dev.sha.1234567, TensorFlow 2.16.2",
            embedded=False,
        )


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0, "is not an executable file. Set --server"),
        ("#!/bin/sh\n", 0o644, "is not an executable file. Set --server"),
        ("\x7fELF of another machine", 0o755, "could not be executed: .*Exec format error"),
        ("#!/nonexistent/interpreter\n", 0o755, "could not be executed: .*No such file"),
        ("#!/bin/sh\necho bash 5.2\n", 0o755, "does not answer as a tensorflow_model_server does"),
    ],
)
def test_a_server_that_cannot_be_one_is_an_error(
    *,
    content: str | None,
    mode: int,
    message: str,
    make_sandbox: MakeSandbox,
    private_directory: Path,
    tmp_path: Path,
    processes_of: ProcessesOf,
) -> None:
    """A missing, broken or foreign binary fails on entering, says what to do, and leaves nothing."""
    binary = tmp_path / "server"
    if content is not None:
        binary.write_text(content)
        binary.chmod(mode)
    with pytest.raises(errors.ServerStartError, match=message), make_sandbox("serve", server=str(binary)):
        pass
    assert processes_of(private_directory) == set()
    assert list(private_directory.iterdir()) == []


@pytest.mark.parametrize("program", ["sleep 3600", "yes"])
def test_a_server_that_never_says_its_version_is_an_error(
    program: str,
    make_sandbox: MakeSandbox,
    private_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes_of: ProcessesOf,
) -> None:
    """It is waited for as long as that takes at most, and leaves nothing."""
    monkeypatch.setattr(process, "VERSION_TIMEOUT_S", 0.3)
    binary = tmp_path / "server"
    binary.write_text(f"#!/bin/sh\nexec {program}\n")
    binary.chmod(0o755)
    with pytest.raises(errors.ServerStartError, match="did not end within"), make_sandbox("serve", server=str(binary)):
        pass
    assert processes_of(private_directory) == set()
    assert list(private_directory.iterdir()) == []


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("name", ["50%25", "issue#5", "why?", "a,b"])
def test_a_socket_path_that_grpc_reads_otherwise_is_an_error(name: str, private_directory: Path) -> None:
    """The server would be waited for where it does not listen, and the model be called late."""
    launch = base.Launch(model_name="serve", model_base_path=private_directory)
    misread = process.ProcessSandbox(launch, options.ProcessServer(), private_directory / name)
    with pytest.raises(errors.ServerStartError, match=r"must not contain .\. Set TMPDIR"), misread:
        pass
    assert list(private_directory.iterdir()) == []


@pytest.mark.usefixtures("stand_in")
def test_a_socket_path_of_other_characters_serves(
    private_directory: Path, eventually: Eventually, answers: Answers
) -> None:
    """Spaces, letters of any language and brackets are what gRPC takes them for."""
    launch = base.Launch(model_name="serve", model_base_path=private_directory)
    with process.ProcessSandbox(launch, options.ProcessServer(), private_directory / "\u00fcb er:[1]&=+@") as sandbox:
        assert eventually(lambda: answers(sandbox.target))


@pytest.mark.usefixtures("stand_in")
def test_a_socket_path_that_is_too_long_is_an_error(
    private_directory: Path, eventually: Eventually, answers: Answers
) -> None:
    """A path of 107 bytes serves; one more is refused before anything is started, with the way out."""
    launch = base.Launch(model_name="serve", model_base_path=private_directory)
    longest = private_directory / ("r" * (107 - len(f"{private_directory}//s")))
    with process.ProcessSandbox(launch, options.ProcessServer(), longest) as sandbox:
        assert eventually(lambda: answers(sandbox.target))
    too_long = process.ProcessSandbox(launch, options.ProcessServer(), longest.with_name(f"{longest.name}r"))
    with pytest.raises(errors.ServerStartError, match=r"108 bytes long; the limit is 107\. Set TMPDIR"), too_long:
        pass
    assert list(private_directory.iterdir()) == []


def test_a_run_directory_that_exists_is_left_alone(make_sandbox: MakeSandbox, private_directory: Path) -> None:
    """A directory that the sandbox did not make is an error, and is not removed."""
    kept = private_directory / "r" / "kept"
    kept.parent.mkdir()
    kept.touch()
    with pytest.raises(errors.ServerStartError, match="File exists"), make_sandbox("serve"):
        pass
    assert kept.exists()
