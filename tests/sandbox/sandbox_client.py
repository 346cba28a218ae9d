"""Enters a process sandbox, prints its run directory, and blocks until it is killed.

  python sandbox_client.py MODEL_NAME [fork | exec]

fork   a process forked from it stays behind, whose pid is printed too
exec   it becomes another program, which knows nothing of a sandbox
"""

import os
import signal
import sys

from infraval import options, workspace
from infraval.sandbox import base
from infraval.sandbox.process import sandbox as process


def main() -> None:
    """Blocks in the sandbox."""
    # What runs the tests, such as nohup, may have had these ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with workspace.workspace() as directory:
        launch = base.Launch(model_name=sys.argv[1], model_base_path=directory)
        run_directory = directory / "r"
        with process.ProcessSandbox(launch, options.ProcessServer(), run_directory):
            forked = os.fork() if sys.argv[2:] == ["fork"] else None
            if forked != 0:
                sys.stdout.write(f"{run_directory} {forked or ''}\n")
                sys.stdout.flush()
            if sys.argv[2:] == ["exec"]:
                command = [sys.executable, "-c", "import signal; signal.pause()"]
                os.execv(command[0], command)  # noqa: S606  # to become another program is the point
            while True:
                signal.pause()


if __name__ == "__main__":
    main()
