"""A model server in a container of a Docker engine, isolated from everything but its requests.

Where the engine's containers share this machine's kernel and files, the container has no network: gRPC goes over a unix
socket in a directory that is mounted into it, and the model is mounted read-only. Elsewhere its gRPC port is published
on the loopback address, and the model copied into a volume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from infraval import errors, evidence, options
from infraval.sandbox import base, model_server, unix_socket
from infraval.sandbox.docker import container as docker_container
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import images as docker_images
from infraval.sandbox.docker import listening as docker_listening
from infraval.sandbox.docker import model as docker_model
from infraval.sandbox.docker import owner as docker_owner
from infraval.sandbox.docker import version as docker_version
from infraval.sandbox.docker import watch as docker_watch

if TYPE_CHECKING:
    from typing_extensions import Self

_SOCKET_DIRECTORY = "grpc"
_BATCHING_PARAMETERS = "batching_parameters"


def check(server: options.DockerServer, progress: Callable[[str], None]) -> None:
    """Sees that there are an engine and the images, before any work is put into what they are to serve.

    Args:
      server: which images, on which engine.
      progress: is told what is pulled and what is removed.

    Raises:
      SandboxError: no engine answers, or an image is missing and cannot be pulled.
    """
    with docker_engine.connect(server) as engine:
        if engine.info.get("OSType") != "linux":
            raise errors.SandboxError(
                f"The Docker engine at {engine.url} runs {engine.info.get('OSType')} containers, and model servers are "
                "for Linux; switch it, or name another engine."
            )
        removed = docker_owner.reap(engine)
        if removed:
            progress(f"Removed containers and volumes that killed runs had left: {removed}")
        for image in server.images:
            docker_images.provide(engine, image, server, progress)


def each(server: options.DockerServer) -> tuple[options.DockerServer, ...]:
    """The options once for every image, with that image only."""
    return tuple(server.model_copy(update={"images": (image,)}) for image in server.images)


def label(server: options.DockerServer) -> str:
    """What tells this server apart from others of the same job: its image."""
    return server.images[0]


def side_by_side(server: options.DockerServer) -> int:
    """How many servers may run at the same time."""
    return server.parallel_images


def create(server: options.DockerServer, launch: base.Launch, run_directory: Path) -> DockerSandbox:
    """The sandbox of this server, of its first image if there are several; not entered yet."""
    return DockerSandbox(launch, server, server.images[0], run_directory)


class DockerSandbox:
    """The `Sandbox` of a server that runs in a container.

    Args:
      launch: what to boot.
      docker: which engine, and the container's limits.
      image: reference of an image that the engine has.
      run_directory: absolute and short, in a directory that is this user's alone. It is made on entering, mode 0700,
        and removed on leaving.
    """

    def __init__(self, launch: base.Launch, docker: options.DockerServer, image: str, run_directory: Path) -> None:
        self._launch = launch
        self._docker = docker
        self._reference = image
        self._run_directory = run_directory
        self._name = f"infraval-{uuid.uuid4().hex[:16]}"
        self._labels = docker_owner.labels()
        self._engine: docker_engine.Engine
        self._image: docker_images.Image
        self._watch: docker_watch.ContainerWatch
        self._endpoint: base.Endpoint
        self._listening: docker_listening.ListeningCheck
        self._version: docker_version.VersionQuery
        self._made: list[tuple[Callable[[str], None], str]] = []
        self._on_leaving = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Starts the container.

        Raises:
          SandboxError: the engine does not answer, or not for this container.
          OptionError: the model is to be mounted, and the engine does not see it.
        """
        # A signal's exception may come just before `with` knows that it has to leave: then this does.
        weakref.finalize(self, self._on_leaving.close)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._leave)
            self._engine = self._on_leaving.enter_context(docker_engine.connect(self._docker))
            self._image = self._find_image()
            self._make_directory()
            self._watch = docker_watch.ContainerWatch(self._engine, self._name)
            self._on_leaving.callback(self._watch.join)
            self._version = docker_version.VersionQuery(self._engine, self._name, self._image.id)
            self._on_leaving.callback(self._version.join)
            self._on_leaving.callback(_remove, self._engine, self._made)
            on_socket = self._create()
            with docker_engine.failing_as(
                errors.ServerStartError, f"A container of {self._reference} cannot be started"
            ):
                self._engine.api.start(self._name)
            self._watch.start()
            self._on_leaving.callback(self._watch.close)
            self._version.start()
            self._endpoint = self._share() if on_socket else self._publish()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    @property
    def endpoint(self) -> base.Endpoint:
        """The unix socket or the published port that the server listens on, once it does."""
        return self._endpoint

    @property
    def identity(self) -> evidence.Server:
        """Which server this is; the first time for an image, waits until the server has told its version."""
        return evidence.Server(
            name=model_server.EMBEDDED if self._image.embedded else model_server.TF_SERVING,
            version=self._version.answer() or f"of {self._reference}",
            platform="docker",
            embedded=self._image.embedded,
            image=self._reference,
            image_id=self._image.id,
            image_digest=self._image.digest,
        )

    def poll(self) -> base.ServerExit | None:
        """How the server ended, or None while it runs.

        Raises:
          SandboxError: the engine was lost, or the server cannot be reached.
        """
        ended = self._watch.poll()
        if ended is None:
            self._listening.check()
        elif ended.out_of_memory:
            return self._explain(ended)
        return ended

    def log(self) -> str:
        """The end of what the server wrote, at most `base.LOG_TAIL_BYTES`; still there after leaving.

        Raises:
          ServerLostError: the engine does not tell.
        """
        return self._watch.log()

    def _explain(self, ended: base.ServerExit) -> base.ServerExit:
        """Whose memory ran out."""
        if self._docker.memory_bytes:
            return dataclasses.replace(
                ended, limit=f"its memory limit of {self._docker.memory_bytes} bytes (server.memory_bytes)"
            )
        return dataclasses.replace(
            ended,
            outside="was killed for using up the memory of the engine's machine. Free some, or validate on a larger "
            "one; --memory (server.memory_bytes) makes a limit part of what is judged.",
        )

    def _leave(self) -> None:
        docker_engine.finish(self._on_leaving.close)

    def _find_image(self) -> docker_images.Image:
        image = docker_images.find(self._engine, self._reference)
        if image is None:
            raise errors.ServerStartError(
                f"The engine at {self._engine.url} has no image {self._reference}; load, build or pull it there."
            )
        return image

    def _make_directory(self) -> None:
        unix_socket.check_path(self._socket)
        try:
            self._run_directory.mkdir(mode=0o700)
            self._on_leaving.callback(shutil.rmtree, self._run_directory, ignore_errors=True)
            self._socket.parent.mkdir(mode=0o700)
            if self._launch.batching_parameters_file is not None:
                copy = self._run_directory / _BATCHING_PARAMETERS
                copy.write_bytes(self._launch.batching_parameters_file.read_bytes())
                copy.chmod(0o444)
        except OSError as error:
            raise errors.ServerStartError(f"The sandbox's directory cannot be made: {error}") from error

    @property
    def _socket(self) -> Path:
        return self._run_directory / _SOCKET_DIRECTORY / docker_container.SOCKET

    def _create(self) -> bool:
        """Makes the container, in the first way that the engine allows.

        Returns:
          Whether the server is to listen on the socket, so that the container has no network.
        """
        user = docker_container.user(self._docker, self._engine)
        here = docker_container.user_here(user, self._engine) if self._engine.shares_kernel() else None
        on_socket = here is not None and os.geteuid() in (0, int(here.partition(":")[0]))
        transfer = self._docker.model_transfer
        readable = here is not None and docker_model.may_read(self._launch.model_base_path, here)
        mounted = transfer is options.ModelTransfer.MOUNT or (transfer is options.ModelTransfer.AUTO and readable)
        if mounted and here is not None and not readable:
            raise errors.OptionError(
                f"server.model_transfer is mount, and the container's user {user} may not read every file of the "
                "model. Use auto or copy, or let that user read them."
            )
        if on_socket and os.geteuid() == 0 and here is not None:
            uid, _, gid = here.partition(":")
            try:
                os.chown(self._socket.parent, int(uid), int(gid or -1))
            except OSError as error:
                raise errors.ServerStartError(
                    f"The socket's directory cannot be given to the container's user {here}: {error.strerror}. Name "
                    "another one in server.user, or run infraval as a user who is not root."
                ) from error
        try:
            self._make_container(user, mounted=mounted, on_socket=on_socket)
        except docker_container.UnseenPathError as error:
            if transfer is options.ModelTransfer.MOUNT:
                raise errors.OptionError(
                    f"server.model_transfer is mount, and the engine at {self._engine.url} does not see this machine's "
                    f"files ({error}) Use auto or copy."
                ) from error
            self._make_container(user, mounted=False, on_socket=False)
            return False
        return on_socket

    def _make_container(self, user: str, *, mounted: bool, on_socket: bool) -> None:
        launch, docker, engine = self._launch, self._docker, self._engine
        files = {launch.model_name: launch.model_base_path}
        if launch.batching_parameters_file is not None:
            files[docker_model.BATCHING_PARAMETERS] = self._run_directory / _BATCHING_PARAMETERS
        binds = []
        if on_socket:
            binds.append(docker_container.Bind(self._socket.parent, docker_container.SOCKET_DIRECTORY, read_only=False))
        if mounted:
            binds += [docker_container.Bind(path, f"{base.CONTAINER_BASE_PATH}/{name}") for name, path in files.items()]
        arguments = {
            "image": self._image.id,
            "name": self._name,
            "labels": self._labels,
            "user": user,
            "command": docker_container.command(launch, docker, on_socket=on_socket),
            "environment": docker_container.environment(launch, docker, os.environ),
            "ports": [] if on_socket else [docker_container.GRPC_PORT],
            "healthcheck": {"test": ["NONE"]},
            "stop_signal": "SIGKILL",  # an engine that is restarted would wait for a shell that hands on no signal
            "use_config_proxy": False,  # the client's proxies are none of the model's business
        }
        volumes = [] if mounted else [docker_model.mount(self._name, read_only=True)]
        targets = {*(bind.target for bind in binds), *(volume["Target"] for volume in volumes)}
        scratch = [path for path in self._image.volumes if path not in targets]
        host = docker_container.host_config(engine, docker, on_socket=on_socket, scratch=scratch)
        remove_container = functools.partial(engine.api.remove_container, v=True, force=True)
        # What is to be removed is named before it is made: a signal may come before the engine's answer does.
        if mounted:
            self._made.append((remove_container, self._name))
            docker_container.create(engine, arguments, host, binds, volumes)
            return
        self._made.append((engine.api.remove_volume, self._name))
        docker_model.make_volume(engine, self._name, self._labels)
        self._made.append((remove_container, self._name))
        docker_container.create(engine, arguments, host, binds, volumes)
        helper = f"{self._name}-copy"
        self._made.append((remove_container, helper))
        docker_model.copy(engine, self._name, helper, self._image.id, self._labels, files)
        self._made.pop()

    def _share(self) -> base.Endpoint:
        """The socket that the server is told to listen on."""
        self._listening = docker_listening.ListeningCheck(
            # That it is there says that the flag was handed on; a server that has died since leaves it, too.
            self._socket.exists,
            self.log,
            f"The server in {self._reference} runs, and not on the socket of --grpc_socket_path, so the image does not "
            f"hand on that flag. {docker_engine.IMAGE_CONTRACT}",
        )
        return base.Endpoint(f"unix:{self._socket}")

    def _publish(self) -> base.Endpoint:
        """Where the engine publishes the container's port."""
        with docker_engine.failing_as(errors.ServerStartError, "The model server's port cannot be found out"):
            container = self._engine.api.inspect_container(self._name)
        published = (container["NetworkSettings"]["Ports"] or {}).get(f"{docker_container.GRPC_PORT}/tcp")
        if not published and container["State"]["Running"]:
            raise errors.ServerStartError(
                f"The Docker engine at {self._engine.url} publishes no port; does it have no bridge network? Without "
                "one, the model server is reached by a socket only, so infraval has to run on the engine's machine, as "
                "the engine's user or root, with a TMPDIR that the engine sees."
            )
        # A server that has ended at once has no port any more; that it has ended is for `poll` to say.
        port = int(published[0]["HostPort"]) if published else 0
        host = docker_container.host_ip_address(self._docker)
        self._listening = docker_listening.ListeningCheck(
            functools.partial(docker_listening.connects, (host, port)),
            self.log,
            f"The model server runs, and {host}:{port}, where the engine at {self._engine.url} publishes its port, "
            "does not answer here: the engine is on another machine, or in another container. Name the address of its "
            "machine, in a network that you trust, with host_ip_address; or use an engine of this machine.",
        )
        return base.Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _remove(engine: docker_engine.Engine, made: list[tuple[Callable[[str], None], str]]) -> None:
    """Removes what was made, the last first: by what, and its name."""
    while made:
        removal, name = made.pop()
        docker_engine.remove(engine, removal, name)
