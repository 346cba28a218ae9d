"""The options of `infraval validate` that are about the Docker sandbox."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click

from infraval import options

_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _bytes(text: str | None) -> int:
    """A number of bytes as `docker run --memory` takes it."""
    if text is None:
        return options.DockerSpec.memory_bytes
    found = re.fullmatch(r"([1-9][0-9]*)([bkmg]?)", text.lower())
    if found is None:
        raise click.BadParameter(f"{text!r} is no number of bytes such as 4g or 512m.")
    return int(found[1]) * _BYTES[found[2]]


_OPTIONS = (
    click.option(
        "--docker-host",
        default=options.DockerSpec.base_url,
        help="URL of the engine  [DOCKER_HOST, else the current context]",
    ),
    click.option("--docker-context", default=options.DockerSpec.context, help="Docker context of the engine."),
    click.option(
        "--pull",
        type=click.Choice([policy.value for policy in options.PullPolicy]),
        default=options.DockerSpec.pull.value,
        show_default=True,
        help="When to pull an image.",
    ),
    click.option(
        "--pull-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=options.DockerSpec.pull_timeout_s,
        show_default=True,
        help="Seconds that one pull may take.",
    ),
    click.option(
        "--model-transfer",
        type=click.Choice([transfer.value for transfer in options.ModelTransfer]),
        default=options.DockerSpec.model_transfer.value,
        show_default=True,
        help="How the model gets into the container; auto mounts it where the engine sees this machine's files.",
    ),
    click.option(
        "--memory",
        metavar="BYTES",
        callback=lambda _, __, value: _bytes(value),
        help="Memory limit of a container, such as 4g, that the model is judged by  [most of the engine's machine]",
    ),
    click.option("--cpus", type=click.FloatRange(min=0), default=options.DockerSpec.cpus, help="CPU limit  [none]"),
    click.option(
        "--gpus", default=options.DockerSpec.gpus, metavar="all|N|device=ID", help="GPUs that the server may use."
    ),
    click.option(
        "--env",
        "environment",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Variable of the server; NAME alone passes ours.",
    ),
    click.option(
        "--server-argument", "server_arguments", multiple=True, metavar="FLAG", help="Further flag of the server."
    ),
    click.option(
        "--parallel-images",
        type=click.IntRange(min=1),
        default=options.DockerSpec.parallel_images,
        show_default=True,
        help="Images that judge at the same time.",
    ),
)

NAMES = (
    "docker_host",
    "docker_context",
    "pull",
    "pull_timeout",
    "model_transfer",
    "memory",
    "cpus",
    "gpus",
    "environment",
    "server_arguments",
    "parallel_images",
)
"""Parameters that these options pass to a command."""


def add(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options."""
    return functools.reduce(lambda given, option: option(given), reversed(_OPTIONS), command)


def to_spec(given: dict[str, Any]) -> options.DockerSpec:
    """What the options say.

    Args:
      given: value of every parameter in `NAMES`.
    """
    return options.DockerSpec(
        base_url=given["docker_host"],
        context=given["docker_context"],
        pull=options.PullPolicy(given["pull"]),
        pull_timeout_s=given["pull_timeout"],
        model_transfer=options.ModelTransfer(given["model_transfer"]),
        memory_bytes=given["memory"],
        cpus=given["cpus"],
        gpus=given["gpus"],
        environment=given["environment"],
        server_arguments=given["server_arguments"],
        parallel_images=given["parallel_images"],
    )
