"""Makes one sandbox after the other until a signal ends it; says when it begins.

python sandbox_loop.py MODELS IMAGE DOCKER_SPEC_JSON
"""

import sys
from pathlib import Path

from infraval import errors, signals, spec, workspace
from infraval.sandbox import base, docker


def main(models: str, image: str, docker_spec: str) -> None:
    """Goes on for ever."""
    options = base.ServerOptions(model_name="m", model_base_path=Path(models))
    asked = spec.DockerSpec.from_json(docker_spec)
    while True:
        with workspace.workspace() as directory, docker.DockerSandbox(options, asked, image, directory / "r"):
            pass


if __name__ == "__main__":
    with signals.abort_on_signal():
        try:
            sys.stdout.write("begin\n")
            sys.stdout.flush()
            main(*sys.argv[1:])
        except errors.InfravalError as error:
            sys.stdout.write(f"{type(error).__name__}: {error}\n")
