"""Stands in for `tensorflow_model_server`; the model's name says how it behaves, as its environment is scrubbed.

Every behaviour first writes one line of JSON to the log: what this process was given.

  serve          answers on its socket
  boot           never opens its socket
  stubborn       serves, and ignores every signal that can be ignored
  daemon         serves, and has a child in its group and a daemon in a session of its own, both ignoring signals
  tcp            serves, and listens on a TCP port as well
  babble         serves, after 3 MiB of log that is no UTF-8
  flood          never opens its socket, and never stops to write
  exit-N, signal-N   ends at once with that exit code, or by that signal
"""

import json
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

MIB = 1 << 20

# As TensorFlow Serving 2.16.1 prints it (tests/golden/startup.json).
USAGE = (
    "usage: tensorflow_model_server\nFlags:\n"
    "\t--enable_batching=false          \tbool\tenable batching\n"
    '\t--tensorflow_session_config_file=""\tstring\tIf non-empty, read an ascii TensorFlow Session ConfigProto\n'
    "\t--num_load_threads=0             \tint32\tThe number of threads in the thread-pool used to load\n"
)


def ignore_signals() -> None:
    """Ignores what can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def block() -> None:
    """Never returns, nor ends by a signal that is ignored."""
    while True:
        time.sleep(60)


def start_daemon() -> None:
    """Leaves the process group and the parent, as a daemon does."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        ignore_signals()
        block()
    os.wait()


def start_child() -> None:
    """Starts a child in the same process group."""
    if os.fork() == 0:
        ignore_signals()
        block()


def files(flags: dict[str, str]) -> dict[str, str]:
    """Content of the files that flags name."""
    return {name: Path(path).read_text() for name, path in flags.items() if Path(path).is_file()}


def report(flags: dict[str, str]) -> None:
    """Writes what this process was given."""
    umask = os.umask(0o077)
    facts = {
        "flags": sys.argv[1:],
        "files": files(flags),
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "umask": umask,
        "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
        "no_new_privileges": "NoNewPrivs:\t1\n" in Path("/proc/self/status").read_text(),
    }
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def serve(path: str) -> None:
    """Answers every connection with a greeting."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"serving")


def answer_questions() -> None:
    """Ends after --help or --version."""
    if sys.argv[1:] == ["--help"]:
        sys.stdout.write(USAGE)
        sys.exit(255)
    if sys.argv[-1:] == ["--version"]:
        if "--num_load_threads=many" in sys.argv:
            sys.stderr.write("Couldn't interpret value many for flag num_load_threads.\n")
            sys.exit(255)
        sys.stdout.write("TensorFlow ModelServer: 2.16.1-rc0+dev.sha.1234567\nTensorFlow Library: 2.16.2\n")
        sys.exit()


def main() -> None:
    """Behaves as the model's name says."""
    answer_questions()
    flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in sys.argv[1:])
    report(flags)
    # A model config file, which the tests write for the behaviour "boot" only, takes the place of the name.
    behaviour, _, number = flags.get("model_name", "boot").partition("-")
    if behaviour == "exit":
        sys.stderr.write("the last words\n")
        sys.exit(int(number))
    if behaviour == "signal":
        os.kill(os.getpid(), int(number))
    if behaviour == "boot":
        block()
    if behaviour == "babble":
        os.write(2, b"\xff" * 3 * MIB + b"the end\n")
    if behaviour == "flood":
        while True:
            os.write(2, b"chatter\n" * MIB)
    if behaviour == "stubborn":
        ignore_signals()
    if behaviour == "daemon":
        start_daemon()
        start_child()
    if behaviour == "tcp":
        with socket.create_server(("127.0.0.1", 0)):
            serve(flags["grpc_socket_path"])
    serve(flags["grpc_socket_path"])


if __name__ == "__main__":
    main()
