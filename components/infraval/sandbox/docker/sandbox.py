"""A model server in a container of a Docker engine, isolated from everything but its requests.

If the engine's containers share this machine's kernel and files, the container has no network: gRPC uses a unix socket
in a directory that is mounted into it, and the model is mounted read-only. Otherwise its gRPC port is published on the
loopback address, and the model is copied into a volume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import time
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path

from typing_extensions import Self

from infraval import errors, evidence, options, signals
from infraval.sandbox import base, metrics_page, model_server
from infraval.sandbox.docker import container as docker_container
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import images as docker_images
from infraval.sandbox.docker import listening as docker_listening
from infraval.sandbox.docker import memory as docker_memory
from infraval.sandbox.docker import metrics as docker_metrics
from infraval.sandbox.docker import model as docker_model
from infraval.sandbox.docker import owner as docker_owner
from infraval.sandbox.docker import watch as docker_watch


def check(server: options.DockerServer, progress: Callable[[str], None]) -> None:
    """Checks that the engine answers and has the images; pulls those that are missing.

    Raises:
      SandboxError: no engine answers, or an image is missing and cannot be pulled.
    """
    with docker_engine.connect(server) as engine:
        if engine.info.get("OSType") != "linux":
            raise errors.SandboxError(
                f"The Docker engine at {engine.url} runs {engine.info.get('OSType')} containers, but model servers "
                "need Linux. Switch it to Linux containers, or name another engine with --docker-host "
                "(server.base_url)."
            )
        removed = docker_owner.reap(engine)
        if removed:
            progress(f"Removed containers and volumes that killed runs had left behind: {removed}")
        for image in server.images:
            docker_images.provide(engine, image, server, progress)


def each(server: options.DockerServer) -> dict[str, options.DockerServer]:
    """The same options for each image alone, by the image."""
    return {image: server.model_copy(update={"images": (image,)}) for image in server.images}


def side_by_side(server: options.DockerServer) -> int:
    """How many servers may run at the same time."""
    return server.parallel_images


def create(server: options.DockerServer, launch: base.Launch, run_directory: Path) -> DockerSandbox:
    """The server's sandbox, for its first image; not entered yet."""
    return DockerSandbox(launch, server, server.images[0], run_directory)


def start_ahead(_server: options.DockerServer, _launch: base.Launch, _run_directory: Path) -> None:
    """A container needs the model when it is created."""


class DockerSandbox:
    """The `Sandbox` of a server that runs in a container, from an image that the engine has."""

    def __init__(self, launch: base.Launch, docker: options.DockerServer, image: str, run_directory: Path) -> None:
        self._page = docker_metrics.page_path(launch, docker)
        if self._page is not None:
            page = metrics_page.config(self._page).encode()
            launch = dataclasses.replace(launch, files={**launch.files, "monitoring_config_file": page})
        self._launch = launch
        self._docker = docker
        self._files = model_server.files(launch, f"{base.CONTAINER_BASE_PATH}/{launch.model_name}")
        self._reference = image
        self._run_directory = run_directory
        self._socket = run_directory / "grpc" / docker_container.SOCKET
        self.target: str
        self.started_s: float
        self._name = f"infraval-{uuid.uuid4().hex[:16]}"
        self._labels = docker_owner.labels()
        self._engine: docker_engine.Engine
        self._image: docker_images.Image
        self._watch: docker_watch.ContainerWatch
        self._listening: docker_listening.ListeningCheck
        self._version: docker_watch.VersionQuery
        self._on_leaving = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Starts the container.

        Raises:
          SandboxError: the engine does not answer, or does not start the container.
          OptionError: the model must be mounted, but the engine cannot see it.
        """
        # If a signal handler raises just before `with` takes over, this cleans up.
        weakref.finalize(self, self._on_leaving.close)
        with contextlib.ExitStack() as on_failure:
            on_failure.push(self)
            self._engine = self._on_leaving.enter_context(docker_engine.connect(self._docker))
            self._image = self._find_image()
            self._make_directory()
            self._watch = docker_watch.ContainerWatch(self._engine, self._name)
            self._on_leaving.callback(self._watch.join)
            self._version = docker_watch.VersionQuery(self._engine, self._name, self._image.id)
            self._on_leaving.callback(self._version.join)
            on_socket = self._create()
            failed = f"The container of {self._reference} could not be started"
            with docker_engine.failing_as(errors.ServerStartError, failed):
                self._engine.api.start(self._name)
            self.started_s = time.monotonic()
            self._watch.start()
            self._on_leaving.callback(self._watch.close)
            self._version.start()
            self.target = self._share() if on_socket else self._publish()
            self._on_leaving.callback(self._listening.close)
            self._listening.start()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with signals.deferred():
            self._on_leaving.close()

    @property
    def identity(self) -> evidence.Server:
        """Which server this is; waits for the server to tell its version if the image is new to this process."""
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
        elif ended.out_of_memory and self._docker.memory_bytes:
            limit = f"its memory limit of {self._docker.memory_bytes} bytes (server.memory_bytes)"
            return dataclasses.replace(ended, limit=limit)
        elif ended.out_of_memory:
            outside = (
                "was killed because it used up the memory of the engine's machine. Free some, or validate on a larger "
                "machine. With --memory (server.memory_bytes), the model is judged by a memory limit."
            )
            return dataclasses.replace(ended, outside=outside)
        return ended

    def memory(self) -> evidence.Memory | None:
        """What the container takes, as its control group counts it."""
        try:
            stats = self._engine.api.stats(self._name, stream=False, one_shot=True)
        except docker_engine.API_ERRORS:
            return None
        return docker_memory.parse(stats)

    def metrics(self) -> bytes | None:
        """The page, read in the container: its port is open in there only."""
        if self._page is None:
            return None
        page = docker_metrics.read(self._engine, self._name, self._page)
        if page is None:
            self._page = None  # nobody waits for it again
            raise metrics_page.NoPageError(
                "The server's counters are not known: bash in the container got no page of them at port "
                f"{docker_metrics.REST_PORT}."
            )
        return page

    def log(self) -> str:
        """The end of what the server wrote; raises ServerLostError if the engine does not answer."""
        return self._watch.log()

    def _find_image(self) -> docker_images.Image:
        image = docker_images.find(self._engine, self._reference)
        if image is None:
            raise errors.ServerStartError(
                f"The engine at {self._engine.url} has no image {self._reference}. Load, build or pull it there."
            )
        return image

    def _make_directory(self) -> None:
        base.check_socket_path(self._socket)
        try:
            self._run_directory.mkdir(mode=0o700)
            self._on_leaving.callback(shutil.rmtree, self._run_directory, ignore_errors=True)
            self._socket.parent.mkdir(mode=0o700)
            for name, content in self._files.items():
                file = self._run_directory / name
                file.write_bytes(content)
                file.chmod(0o444)
        except OSError as error:
            raise errors.ServerStartError(f"The sandbox's directory could not be created: {error}") from error

    def _create(self) -> bool:
        """Creates the container: with mounts if the engine allows it, else with copies.

        Returns:
          Whether the server listens on the socket, so that the container has no network.
        """
        user = docker_container.user(self._docker, self._engine)
        here = docker_container.user_here(user, self._engine) if self._engine.shares_kernel() else None
        on_socket = here is not None and os.geteuid() in (0, int(here.partition(":")[0]))
        transfer = self._docker.model_transfer
        readable = here is not None and docker_model.may_read(self._launch.model_base_path, here)
        mounted = transfer is options.ModelTransfer.MOUNT or (transfer is options.ModelTransfer.AUTO and readable)
        if mounted and here is not None and not readable:
            raise errors.OptionError(
                f"--model-transfer (server.model_transfer) is mount, but the container's user {user} may not read "
                "every file of the model. Use auto or copy, or let that user read them."
            )
        if on_socket and os.geteuid() == 0 and here is not None:
            uid, _, gid = here.partition(":")
            try:
                os.chown(self._socket.parent, int(uid), int(gid or -1))
            except OSError as error:
                raise errors.ServerStartError(
                    f"The socket's directory cannot be given to the container's user {here}: {error.strerror}. Set "
                    "server.user to a different user, or do not run infraval as root."
                ) from error
        try:
            self._make_container(user, mounted=mounted, on_socket=on_socket)
        except docker_container.UnseenPathError as error:
            if transfer is options.ModelTransfer.MOUNT:
                raise errors.OptionError(
                    f"--model-transfer (server.model_transfer) is mount, but the engine at {self._engine.url} cannot "
                    f"see this machine's files: {error} Use auto or copy."
                ) from error
            self._make_container(user, mounted=False, on_socket=False)
            return False
        return on_socket

    def _make_container(self, user: str, *, mounted: bool, on_socket: bool) -> None:
        launch, docker, engine = self._launch, self._docker, self._engine
        files = {launch.model_name: launch.model_base_path}
        files |= {name: self._run_directory / name for name in self._files}
        mounts = []
        if on_socket:
            socket = docker_container.bind(self._socket.parent, docker_container.SOCKET_DIRECTORY, read_only=False)
            mounts.append(socket)
        if mounted:
            mounts += [
                docker_container.bind(path, f"{base.CONTAINER_BASE_PATH}/{name}") for name, path in files.items()
            ]
        else:
            mounts.append(docker_model.mount(self._name, read_only=True))
        arguments = {
            "image": self._image.id,
            "name": self._name,
            "labels": self._labels,
            "user": user,
            "command": docker_container.command(launch, docker, on_socket=on_socket),
            "environment": docker_container.environment(launch, docker, os.environ),
            "ports": [] if on_socket else [docker_container.GRPC_PORT],
            "healthcheck": {"test": ["NONE"]},
            "stop_signal": "SIGKILL",  # a restarting engine would wait for a shell that does not pass signals on
            "use_config_proxy": False,  # the model must not know the client's proxies
        }
        targets = {mount["Target"] for mount in mounts}
        scratch = [path for path in self._image.volumes if path not in targets]
        host = docker_container.host_config(engine, docker, on_socket=on_socket, scratch=scratch)
        remove_container = functools.partial(engine.api.remove_container, v=True, force=True)
        # Each is noted for removal before it is created: a signal may arrive before the engine's answer does.
        if not mounted:
            self._on_leaving.callback(docker_engine.remove, engine, engine.api.remove_volume, self._name)
            failed = "A volume for the model could not be created"
            with docker_engine.failing_as(errors.ServerStartError, failed), signals.deferred():
                engine.api.create_volume(self._name, labels=self._labels)
        self._on_leaving.callback(docker_engine.remove, engine, remove_container, self._name)
        docker_container.create(engine, arguments, host, mounts)
        if not mounted:
            helper = f"{self._name}-copy"
            with contextlib.ExitStack() as on_failure:
                remove_helper = functools.partial(docker_engine.remove, engine, remove_container, helper)
                on_failure.callback(lambda: self._on_leaving.callback(remove_helper))
                docker_model.copy(engine, self._name, helper, self._image.id, self._labels, files)
                on_failure.pop_all()

    def _share(self) -> str:
        """The socket that the server is to listen on."""
        self._listening = self._check_listening(
            # If it exists, the server got the flag; a server that has died since leaves it behind.
            self._socket.exists,
            f"The server in {self._reference} is running, but not listening on the socket of --grpc_socket_path, so "
            f"the image does not pass that flag on. {docker_engine.IMAGE_CONTRACT}",
        )
        return f"unix:{self._socket}"

    def _publish(self) -> str:
        """The address at which the engine publishes the container's port."""
        with docker_engine.failing_as(errors.ServerStartError, "The model server's port could not be read"):
            container = self._engine.api.inspect_container(self._name)
        published = (container["NetworkSettings"]["Ports"] or {}).get(f"{docker_container.GRPC_PORT}/tcp")
        if not published and container["State"]["Running"]:
            raise errors.ServerStartError(
                f"The Docker engine at {self._engine.url} does not publish the model server's port. Give the engine a "
                "bridge network, or run infraval on the engine's machine, as the engine's user or root, with a TMPDIR "
                "that the engine can see, so that it can use a socket."
            )
        # A server that has already ended has no port any more; `poll` says that it has ended.
        port = int(published[0]["HostPort"]) if published else 0
        host = self._docker.host_ip_address or docker_container.LOOPBACK
        self._listening = self._check_listening(
            functools.partial(docker_listening.connects, (host, port)),
            f"The model server is running, but does not answer at {host}:{port}, where the engine at "
            f"{self._engine.url} publishes its port: the engine is on another machine, or in another container. Set "
            "server.host_ip_address to the address of its machine in a network that you trust, or use an engine on "
            "this machine.",
        )
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _check_listening(self, reached: Callable[[], bool], message: str) -> docker_listening.ListeningCheck:
        sockets = functools.partial(docker_watch.output, self._engine, self._name, docker_listening.READ_SOCKETS)
        return docker_listening.ListeningCheck(reached, self.log, sockets, message)
