"""Compiles the digits pipeline for Kubeflow Pipelines v2 and, given a host, runs it; see docs/guide/kubeflow.md."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import urllib.parse
import warnings
from datetime import datetime
from pathlib import Path

import config


def main() -> int:
    """Compiles, and submits if there is a host.

    Returns:
      The exit code: 0 compiled, and the run, if any, succeeded; 1 the run ended otherwise; 2 there was none, or it
      could not be followed to its end; 130 Ctrl-C ended the following.
    """
    options = _parse()
    # TFX's dependencies warn of each other and of Python 3.10; none of it is about this pipeline.
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from infraval import streams  # noqa: PLC0415 - whoever only runs the package has no infraval

    with streams.held_back():
        import tensorflow as tf  # noqa: PLC0415 - takes seconds, with TFX ten, and `--help` does not need it

        import kubeflow_pipeline  # noqa: PLC0415 - the same

    made = kubeflow_pipeline.make_pipeline(
        pipeline_root=options.pipeline_root,
        data=options.data,
        destination=options.push_to,
        cache=options.cache,
        baseline=options.baseline,
        conditional_push=options.conditional_push,
    )
    try:
        tasks = kubeflow_pipeline.compile_to(options.output, made, options.image)
    except OSError as error:
        print(f"{options.output} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(f"Compiled {options.output}")
    scheme = urllib.parse.urlsplit(options.pipeline_root).scheme
    if scheme not in tf.io.gfile.get_registered_schemes():
        print(
            f"TensorFlow as it is installed here cannot read {scheme}:// URIs. Unless that of the image can, every "
            "task will fail; see the pipeline roots in docs/reference/kubeflow.md.",
            file=sys.stderr,
        )
    return _run(options, tasks) if options.host else 0


def _run(options: argparse.Namespace, tasks: list[str]) -> int:
    import kubeflow_run  # noqa: PLC0415 - the same

    submission = kubeflow_run.Submission(
        package=options.output,
        pipeline_root=options.pipeline_root,
        experiment=options.experiment,
        run_name=options.run_name or f"{config.NAME} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}",
        namespace=options.namespace,
        service_account=options.service_account,
        parameters=dict(options.parameter),
    )
    return kubeflow_run.run(options.host, submission, tasks=tasks, poll_s=options.poll)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pipeline-root", required=True, type=_uri, metavar="URI", help="where the artifacts go: gs://…, s3://…"
    )
    parser.add_argument("--image", required=True, metavar="NAME", help="component image, see kubeflow/Dockerfile")
    parser.add_argument("--output", required=True, type=_yaml_file, metavar="FILE.yaml", help="gets the pipeline")
    parser.add_argument(
        "--data",
        type=_uri,
        default=config.IMAGE_EXAMPLES,
        metavar="URI",
        help="folder with train.tfrecord and eval.tfrecord (default: %(default)s, which is in the image)",
    )
    parser.add_argument(
        "--push-to",
        type=_uri,
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
    run.add_argument("--host", type=_host, metavar="URL", help="KFP's UI or API")
    run.add_argument("--experiment", default=config.NAME, metavar="NAME", help="default: %(default)s")
    run.add_argument("--run-name", metavar="NAME", help=f"default: {config.NAME} and the time")
    run.add_argument("--namespace", metavar="NAME", help="the user's, where KFP has several users")
    run.add_argument("--service-account", metavar="NAME", help="that the tasks run as, see kubeflow/manifests")
    run.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=parameter,
        metavar="NAME=VALUE",
        help="runtime parameter of this run, repeatable",
    )
    run.add_argument("--poll", type=_seconds, default=5, metavar="S", help="seconds between two looks at the run")
    options = parser.parse_args()
    if not options.host and (options.run_name or options.namespace or options.service_account or options.parameter):
        parser.error("--run-name, --namespace, --service-account and --parameter are for a run: give its --host too")
    return options


def _yaml_file(text: str) -> Path:
    if not text.endswith((".yaml", ".yml")):
        raise argparse.ArgumentTypeError(f"{text} has to end in .yaml: KFP goes by the name")
    return Path(text)


def _uri(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if not (scheme and separator and rest.strip("/")) and not text.startswith("/"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a URI such as gs://BUCKET/digits nor an absolute path: each task looks for it from a "
            "container of its own"
        )
    return text


def _host(text: str) -> str:
    if "@" in urllib.parse.urlsplit(text).netloc:
        # Not quoted: it holds a secret, which every user of this machine can read in the list of processes.
        raise argparse.ArgumentTypeError(
            "a URL here may not hold credentials; docs/guide/kubeflow.md says where they belong"
        )
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds to wait")
    return value


def parameter(text: str) -> tuple[str, str]:
    """Name and value of a runtime parameter, for argparse; kfp.local takes the same.

    Raises:
      argparse.ArgumentTypeError: there is no `=`.
    """
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text} is no NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
