"""Who judged, with what, and how long each stage took."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Server:
    """Which server it was.

    Attributes:
      name: `tensorflow_model_server` or `infraval embedded server`.
      version: what it says its version is.
      platform: name of the kind of sandbox it ran in.
      embedded: whether it is infraval's own stand-in.
      image: reference of its image, as in the options; empty for a process.
      image_id: the engine's id of that image, `sha256:…`.
      image_digest: the registry's `NAME@sha256:…`; empty for an image that came from no registry.
      ignored_flags: flags that it was given, and that have no effect on the embedded server.
    """

    name: str
    version: str
    platform: str
    embedded: bool
    image: str = ""
    image_id: str = ""
    image_digest: str = ""
    ignored_flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a validation: seconds from its beginning to that of the stage, and how many it took."""

    name: str
    start_s: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Run:
    """When and where a validation ran, and what asked for it.

    Attributes:
      started: time of day in UTC, as ISO 8601.
      seconds: how long it took until the verdict.
      asked: the command line, or the call of Python, without what is secret.
      system: the operating system, its version and the kind of processor.
      cpus: processors that it could use.
      versions: of infraval, Python and packages, by name.
      stages: in their order.
    """

    started: str
    seconds: float
    asked: str
    system: str
    cpus: int
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
