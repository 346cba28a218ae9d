"""Compiles the digits pipeline for Kubeflow Pipelines v2 and, given a host, runs it there; see kubeflow/README.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import warnings
from datetime import datetime
from pathlib import Path

import config


def main() -> int:
    """Compiles, and submits if there is a host.

    Returns:
      The exit code: 0 compiled, and the run, if any, succeeded; 1 the run ended otherwise; 2 there was none, or it
      could not be followed to its end.
    """
    options = _parse()
    # TFX's dependencies warn of each other and of Python 3.10; none of it is about this pipeline.
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import kubeflow_pipeline  # noqa: PLC0415 - takes ten seconds with TFX, and `--help` does not need it

    made = kubeflow_pipeline.make_pipeline(
        pipeline_root=options.pipeline_root,
        data=options.data,
        destination=options.push_to,
        cache=options.cache,
        baseline=options.baseline,
        conditional_push=options.conditional_push,
    )
    tasks = kubeflow_pipeline.compile_to(options.output, made, options.image)
    print(f"Compiled {options.output}")
    return _run(options, tasks) if options.host else 0


def _run(options: argparse.Namespace, tasks: list[str]) -> int:
    import kfp_server_api  # noqa: PLC0415 - likewise
    import urllib3  # noqa: PLC0415

    import kubeflow_run  # noqa: PLC0415

    submission = kubeflow_run.Submission(
        package=options.output,
        pipeline_root=options.pipeline_root,
        experiment=options.experiment,
        run_name=options.run_name or f"{config.NAME} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}",
        namespace=options.namespace,
        service_account=options.service_account,
        parameters=dict(options.parameter),
    )
    run_id = None
    try:
        client = kubeflow_run.connect(options.host)
        run_id = kubeflow_run.submit(client, submission)
        state = kubeflow_run.follow(client, run_id, tasks=tasks, tell=print, poll_s=options.poll)
    except (ConnectionError, urllib3.exceptions.HTTPError, kfp_server_api.ApiException) as error:
        print(_message(options.host, error), file=sys.stderr)
        if run_id:
            print(f"Run {run_id} goes on without this command.", file=sys.stderr)
        return 2
    print(f"Run {run_id} {state}")
    return 0 if state == "SUCCEEDED" else 1


def _message(host: str, error: Exception) -> str:
    """What went wrong; KFP's API answers with JSON, a proxy in front of it with anything."""
    status = getattr(error, "status", None)
    if status is None:
        return str(error) if isinstance(error, ConnectionError) else f"{host} can no longer be reached: {error}"
    body = getattr(error, "body", "")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        body = json.loads(body)["message"]
    return f"{host} answered {status}: {body}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline-root", required=True, metavar="URI", help="where the artifacts go: gs://…, s3://…")
    parser.add_argument("--image", required=True, metavar="NAME", help="component image, see kubeflow/Dockerfile")
    parser.add_argument("--output", required=True, type=_yaml_file, metavar="FILE.yaml", help="gets the pipeline")
    parser.add_argument(
        "--data",
        default=config.IMAGE_EXAMPLES,
        metavar="URI",
        help="folder with train.tfrecord and eval.tfrecord (default: %(default)s, which is in the image)",
    )
    parser.add_argument(
        "--push-to",
        metavar="URI",
        help=f"model base path that gets the new version (default: PIPELINE_ROOT/serving_model/{config.NAME})",
    )
    parser.add_argument("--cache", action="store_true", help="take results of earlier runs with the same inputs")
    parser.add_argument(
        "--baseline", action="store_true", help="compare with the latest blessed model: a Resolver, so Vertex only"
    )
    parser.add_argument(
        "--conditional-push", action="store_true", help="start Pusher only if both blessings are given: a Cond"
    )
    run = parser.add_argument_group("to run it on open-source KFP")
    run.add_argument("--host", metavar="URL", help="KFP's UI or API")
    run.add_argument("--experiment", default=config.NAME, metavar="NAME", help="default: %(default)s")
    run.add_argument("--run-name", metavar="NAME", help=f"default: {config.NAME} and the time")
    run.add_argument("--namespace", metavar="NAME", help="the user's, where KFP has several users")
    run.add_argument("--service-account", metavar="NAME", help="that the tasks run as, see kubeflow/manifests")
    run.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="runtime parameter of this run, repeatable",
    )
    run.add_argument("--poll", type=float, default=5, metavar="S", help="seconds between two looks at the run")
    return parser.parse_args()


def _yaml_file(text: str) -> Path:
    if not text.endswith((".yaml", ".yml")):
        raise argparse.ArgumentTypeError(f"{text} has to end in .yaml: KFP goes by the name")
    return Path(text)


def _parameter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text} is no NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
