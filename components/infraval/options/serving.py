"""What serves the model, where, and within which limits."""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import TYPE_CHECKING

from infraval.options import docker, json_spec

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_MODEL_NAME = "infra-validation-model"
"""The model name TFX's InfraValidator serves under when its ServingSpec names none."""


_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Platform(str, enum.Enum):
    """Where the server under test runs."""

    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


@dataclasses.dataclass(frozen=True)
class ProcessSpec(json_spec.JsonSpec):
    """The process sandbox.

    Attributes:
      server: "auto" takes `tensorflow_model_server` from PATH if it is there, else the embedded server;
        "embedded" insists on the latter; anything else is the path of a `tensorflow_model_server` binary.
      import_ops: Python modules that the embedded server imports first, for the custom ops they register.
    """

    server: str = "auto"
    import_ops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        json_spec.require(
            isinstance(self.server, str) and bool(self.server),
            f"The server has to be auto, embedded or the path of a tensorflow_model_server, not {self.server!r}.",
        )
        json_spec.require(
            isinstance(self.import_ops, tuple) and all(isinstance(name, str) and name for name in self.import_ops),
            f"import_ops has to be a list of module names, not {self.import_ops!r}.",
        )
        json_spec.require(
            not self.import_ops or self.server in ("auto", "embedded"),
            f"--import-ops (ProcessSpec.import_ops) is for the embedded server, and {self.server} is another one; drop "
            "the one or the other.",
        )


@dataclasses.dataclass(frozen=True)
class ServingSpec:
    """What serves the model, and where (mirrors TFX's ServingSpec proto).

    Attributes:
      platform: the kind of sandbox.
      model_name: the name the model is served under.
      process: options of the process sandbox.
      images: references of the images to judge with, such as tensorflow/serving:2.16.1 or NAME@sha256:DIGEST; for the
        Docker sandbox only, which needs one at least.
      docker: options of the Docker sandbox.
    """

    platform: Platform = Platform.PROCESS
    model_name: str = DEFAULT_MODEL_NAME
    process: ProcessSpec = ProcessSpec()
    images: tuple[str, ...] = ()
    docker: docker.DockerSpec = docker.DockerSpec()

    def __post_init__(self) -> None:
        json_spec.require(
            self.platform is Platform.PROCESS or self.process == ProcessSpec(),
            f"--server and --import-ops (ProcessSpec) are of the process sandbox, and the platform is "
            f"{self.platform.value}; drop the one or the other.",
        )
        json_spec.require(
            self.platform is Platform.DOCKER or (not self.images and self.docker == docker.DockerSpec()),
            f"Images and the options of the Docker sandbox (DockerSpec) are given, and the platform is "
            f"{self.platform.value}; drop the one or the other.",
        )
        if self.platform is Platform.DOCKER:
            self._check_images()

    def each(self) -> tuple[Self, ...]:
        """This spec once for every image, with that image only; itself where there are no images."""
        return tuple(dataclasses.replace(self, images=(image,)) for image in self.images) or (self,)

    def _check_images(self) -> None:
        json_spec.require(
            bool(self.images),
            "The Docker sandbox needs an image of a model server; name one, such as tensorflow/serving:2.16.1.",
        )
        json_spec.require(
            all(isinstance(image, str) and image.strip() == image != "" for image in self.images),
            f"An image has to be named by a reference such as tensorflow/serving:2.16.1, not {self.images!r}.",
        )
        json_spec.require(
            len(set(self.images)) == len(self.images),
            f"An image is named twice in {', '.join(self.images)}; name each once.",
        )
        json_spec.require(
            _FILE_NAME.fullmatch(self.model_name) is not None,
            f"In a container the model is served from a directory of its name, and {self.model_name!r} is no name for "
            "one; use letters, digits, and . _ - within.",
        )


@dataclasses.dataclass(frozen=True)
class ValidationSpec:
    """How long and how often to try (mirrors TFX's ValidationSpec proto).

    Attributes:
      max_loading_time_s: seconds from the start of the server until the model has to be AVAILABLE.
      num_tries: boots to try at most; a definite refusal is not tried again.
      request_timeout_s: seconds that one request may take.
      concurrency: requests under way at once.
    """

    max_loading_time_s: float = 300.0
    num_tries: int = 5
    request_timeout_s: float = 60.0
    concurrency: int = 4

    def __post_init__(self) -> None:
        json_spec.require(
            self.max_loading_time_s > 0, f"max_loading_time_s has to be over 0, not {self.max_loading_time_s}."
        )
        json_spec.require(json_spec.whole(self.num_tries, 1), f"num_tries has to be 1 or more, not {self.num_tries}.")
        json_spec.require(
            self.request_timeout_s > 0, f"request_timeout_s has to be over 0, not {self.request_timeout_s}."
        )
        json_spec.require(
            json_spec.whole(self.concurrency, 1), f"concurrency has to be 1 or more, not {self.concurrency}."
        )
