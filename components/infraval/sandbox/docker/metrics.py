"""The page for Prometheus of a server in a container, which a shell in there reads: no port of it is published."""

from __future__ import annotations

import threading

from infraval import options
from infraval.sandbox import base, metrics_page
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import watch as docker_watch

REST_PORT = 8501
"""The port of tensorflow/serving's entrypoint, which opens it in the container's own network in any case."""

_TIMEOUT_S = 10.0
"""How long a page may take; the shell waits for the port for a part of that."""

_SCRIPT = f"""
for _ in {{1..60}}; do
  if exec 3<>/dev/tcp/127.0.0.1/{REST_PORT}; then
    printf %s "$1" >&3
    exec cat <&3
  fi
  sleep 0.05
done
"""
"""For bash: the images of TensorFlow Serving have no program for HTTP."""


def page_path(launch: base.Launch, docker: options.DockerServer) -> str | None:
    """Where the server is to serve its page; None if it is not to, or if the options say otherwise where it is."""
    given = {argument.partition("=")[0] for argument in docker.server_arguments}
    given |= {f"--{flag}" for flag in launch.files}
    if launch.metrics is False or given & {"--rest_api_port", "--monitoring_config_file"}:
        return None
    return metrics_page.new_path()


def read(engine: docker_engine.Engine, container: str, path: str) -> bytes | None:
    """The page at the path; None if it cannot be read, for example because the image has no bash."""
    command = ("bash", "-c", _SCRIPT, "bash", metrics_page.request(path))
    received: list[bytes] = []

    def ask() -> None:
        received.append(docker_watch.output_bytes(engine, container, command, metrics_page.MAX_BYTES, errors_too=False))

    # Docker's API has no deadline for this, and the model may stop the shell: then the container's end ends the thread.
    thread = threading.Thread(target=ask, daemon=True, name=f"metrics of {container}")
    thread.start()
    thread.join(_TIMEOUT_S)
    return metrics_page.content(received[0]) if received else None
