"""A model server in a pod: a platform that is known and not built yet."""

from __future__ import annotations

from typing import Literal

from infraval.options import server


class KubernetesServer(server.ServerOptions):
    """A model server in a pod; validating with it raises PlatformNotBuiltError."""

    platform: Literal["kubernetes"] = "kubernetes"
