"""Goes through a sandbox's life as a validation does, a line for each phase reached, and blocks where it is told to.

  python sandbox_client.py MODELS IMAGE DOCKER_SPEC_JSON PHASE

PHASE is check, load or replay. In load it waits for the server as long as that takes; in replay it blocks with the
server serving. An error or a signal ends it with one line that says which.
"""

import sys
import time
from pathlib import Path

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, options, signals, workspace
from infraval.sandbox import base
from infraval.sandbox.docker import sandbox as docker
from infraval.trial import client


def tell(line: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(models: str, image: str, server: str, phase: str) -> None:
    """Lives until the phase, and stays there."""
    given = options.DockerServer.from_json(server).given()
    asked = options.DockerServer(**{**given, "model_name": "m", "images": image})
    tell("check")
    docker.check(asked, tell)
    if phase == "checked":
        return
    launch = base.Launch(model_name="m", model_base_path=Path(models))
    with workspace.workspace() as directory, docker.create(asked, launch, directory / "r") as sandbox:
        tell("load")
        with client.Client(sandbox.target, "m") as connection:
            ended = base.wait_until(connection.available, sandbox, time.monotonic() + 120)
            tell(f"replay {ended}")
            while phase == "replay":
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.model_spec.name = "m"
                connection.send(log, timeout_s=120)


if __name__ == "__main__":
    with signals.abort_on_signal():
        try:
            main(*sys.argv[1:])
        except errors.InfravalError as error:
            tell(f"{type(error).__name__}: {error}")
            sys.exit(2)
