"""Makes one sandbox after the other until a signal ends it; says when it begins.

python sandbox_loop.py MODELS IMAGE SERVER_JSON
"""

import sys
from pathlib import Path

from infraval import options, signals, workspace
from infraval.sandbox import base
from infraval.sandbox.docker import sandbox as docker


def main(models: str, image: str, server: str) -> None:
    """Goes on for ever."""
    launch = base.Launch(model_name="m", model_base_path=Path(models))
    asked = options.DockerServer.from_json(server)
    while True:
        with workspace.workspace() as directory, docker.DockerSandbox(launch, asked, image, directory / "r"):
            pass


if __name__ == "__main__":
    with signals.abort_on_signal():
        sys.stdout.write("begin\n")
        sys.stdout.flush()
        main(*sys.argv[1:])
