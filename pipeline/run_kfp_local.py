"""Runs the compiled digits pipeline without a cluster: kfp.local, each task in a container; `make kfp-local`.

Needs kfp 2.17 and docker (`.venv-kfp`) and an engine, DOCKER_HOST's or the local one, that sees the pipeline root under
its path here. Tasks run as locked down as on a cluster: no network, no capability, a read-only root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import yaml
from kfp import components, local

import config
import run_kubeflow

_KFP_PREFIX = "comp-"
_LABEL = "org.tfx-infraval.kfp-local"


def main() -> int:
    """Runs the pipeline and says what came of it.

    Returns:
      The exit code: 0 every task succeeded, pushed or not; 1 a task failed.
    """
    options = _parse()
    root = options.pipeline_root.resolve()
    with (
        tempfile.TemporaryDirectory(prefix="kfp-workspace-") as workspace,
        _removed_containers() as labels,
    ):
        local.init(
            local.DockerRunner(
                user=options.user,
                read_only=True,
                tmpfs={"/tmp": ""},  # noqa: S108 - the container's own
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                network_mode="none",
                labels=labels,
            ),
            pipeline_root=str(root),
            workspace_root=workspace,
        )
        pipeline = components.load_component_from_text(yaml.safe_dump(with_kfp_names(options.package)))
        try:
            pipeline(**dict(options.parameter))
        except RuntimeError as error:  # what kfp.local raises for a failed task, with its name
            sys.stdout.flush()  # what the tasks printed comes before the reason, also in a pipe
            print(error, file=sys.stderr)
            return 1
    _show(max(root.glob(f"{pipeline.name}-*"), key=lambda run: run.name))
    return 0


@contextlib.contextmanager
def _removed_containers() -> Iterator[dict[str, str]]:
    """Ends the task that still runs when this command is stopped; kfp.local lets it go on.

    Yields:
      Labels for the containers, of this run alone.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = uuid.uuid4().hex
    try:
        yield {_LABEL: run}
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        with contextlib.closing(docker.from_env()) as engine:
            for container in engine.containers.list(
                all=True, filters={"label": f"{_LABEL}={run}"}, ignore_removed=True
            ):
                with contextlib.suppress(docker.errors.NotFound):  # it has just ended, and the engine removes it itself
                    container.remove(force=True)
        sys.exit("Stopped; the task that ran is ended and its container removed.")


def with_kfp_names(package: Path) -> dict[str, Any]:
    """The pipeline with components named as kfp's compiler does: kfp.local cuts that prefix off, whatever is there."""
    spec: dict[str, Any] = yaml.safe_load(package.read_text(encoding="utf-8"))
    spec["components"] = {_KFP_PREFIX + name: component for name, component in spec["components"].items()}
    for task in spec["root"]["dag"]["tasks"].values():
        task["componentRef"]["name"] = _KFP_PREFIX + task["componentRef"]["name"]
    return spec


def _show(run: Path) -> None:
    blessing = _properties(run / "WarmupInfraValidator", "blessing")
    print(f"\n{blessing['verdict']} {blessing['reasons']}".rstrip())
    print(f"The page: {run / 'WarmupInfraValidator' / 'report'}")
    pushed = _properties(run / "Pusher", "pushed_model")
    if not pushed["pushed"]:
        print("Pushed nothing")
        return
    destination = Path(pushed["pushed_destination"])
    print(f"Pushed to {destination}")
    print(f"Serve it: .venv/bin/infraval serve --model_name={config.NAME} --model_base_path={destination.parent}")


def _properties(task: Path, output: str) -> dict[str, Any]:
    """Properties of an artifact, as the task has put them out."""
    written = json.loads((task / "executor_output.json").read_text(encoding="utf-8"))
    properties: dict[str, Any] = written["artifacts"][output]["artifacts"][0]["metadata"]
    return properties


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, metavar="FILE.yaml", help="what run_kubeflow.py has compiled")
    parser.add_argument("--pipeline-root", type=Path, required=True, metavar="DIR", help="the one it is compiled with")
    parser.add_argument(
        "--user",
        default=f"{os.getuid()}:{os.getgid()}",
        metavar="UID:GID",
        help="that the tasks run as, and who then owns what they write (default: %(default)s, your own; on a rootless "
        "engine 0:0 is)",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=run_kubeflow.parameter,
        metavar="NAME=VALUE",
        help="runtime parameter of this run, repeatable",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
