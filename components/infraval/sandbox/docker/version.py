"""Asks the model server in a container for its version while it boots, so that it takes no extra time."""

from __future__ import annotations

import threading

from infraval.sandbox import model_server
from infraval.sandbox.docker import engine as docker_engine

_TIMEOUT_S = 20.0
"""How long `--version` may take."""

_JOIN_TIMEOUT_S = 1.0

_known: dict[str, str] = {}
"""Versions by image id."""


class VersionQuery:
    """Asks in a thread of its own, once for each image."""

    def __init__(self, engine: docker_engine.Engine, container: str, image_id: str) -> None:
        self._engine = engine
        self._container = container
        self._image_id = image_id
        self._thread = threading.Thread(target=self._ask, daemon=True, name=f"version of {container}")

    def start(self) -> None:
        """Asks; call it once the container runs."""
        if self._image_id not in _known:
            self._thread.start()

    def answer(self) -> str | None:
        """The version; None if the server did not say, or ended first."""
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)
        return _known.get(self._image_id)

    def join(self) -> None:
        """Waits for the thread; call it after the container was removed."""
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _ask(self) -> None:
        try:
            query = self._engine.api.exec_create(self._container, [model_server.TF_SERVING, "--version"])
            answer: bytes = self._engine.api.exec_start(query["Id"])
        except (*docker_engine.API_ERRORS, OSError):
            return  # the container or the engine has ended; docker-py reads this answer from the bare socket
        version = model_server.version(answer.decode(errors="replace"))
        if version is not None:
            _known[self._image_id] = version
