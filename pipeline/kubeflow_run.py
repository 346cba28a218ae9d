"""A run on Kubeflow Pipelines: submitted with kfp's client, and followed until it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import kfp_server_api
import urllib3
from kfp import client as kfp_client

# kfp's own wait does not know that a run can be CANCELED, and waits for ever.
_ENDED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}
_REACH_TIMEOUT_S = 10


@dataclasses.dataclass(frozen=True)
class Submission:
    """What is to be run, and under which names.

    Attributes:
      package: compiled pipeline.
      pipeline_root: URI; open-source KFP does not read the one in the package.
      experiment: name; made if there is none.
      run_name: shown in the UI.
      namespace: of the user; None where KFP has one user only.
      service_account: Kubernetes' name; None for the one that KFP is set up with.
      parameters: values of runtime parameters by name, in place of their defaults.
    """

    package: Path
    pipeline_root: str
    experiment: str
    run_name: str
    namespace: str | None = None
    service_account: str | None = None
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)


def run(host: str, submission: Submission, *, tasks: Sequence[str], poll_s: float) -> int:
    """Submits, follows, and says how it went.

    Args:
      host: see `connect`.
      submission: what to run.
      tasks: see `follow`.
      poll_s: the same.

    Returns:
      The exit code: 0 the run succeeded; 1 it ended otherwise; 2 there is none, or it could not be followed to its end;
      130 Ctrl-C ended the following.
    """
    run_id = None
    try:
        client = connect(host)
        run_id = submit(client, submission)
        state = follow(client, run_id, tasks=tasks, tell=print, poll_s=poll_s)
    except (ConnectionError, urllib3.exceptions.HTTPError, kfp_server_api.ApiException) as error:
        print(_message(host, error), file=sys.stderr)
        _tell_of_run(run_id)
        return 2
    except KeyboardInterrupt:
        _tell_of_run(run_id)
        return 130
    print(f"Run {run_id} {state}")
    return 0 if state == "SUCCEEDED" else 1


def _tell_of_run(run_id: str | None) -> None:
    if run_id:
        print(f"Run {run_id} goes on without this command.", file=sys.stderr)


def _message(host: str, error: Exception) -> str:
    """What went wrong; KFP's API says it in JSON, what is no KFP or stands in front of it with a page for a browser."""
    if isinstance(error, kfp_server_api.ApiException):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return f"{host} answered {error.status}: {json.loads(error.body)['message']}"
        return (
            f"{host} answered {error.status} {error.reason}, and not as KFP's API does. Is it the URL of KFP's UI or "
            "API, and does kfp's client have credentials for it (docs/guide/kubeflow.md)?"
        )
    return str(error) if isinstance(error, ConnectionError) else f"{host} can no longer be reached: {error}"


def connect(host: str) -> kfp_client.Client:
    """Makes kfp's client, which takes credentials from its own environment variables and context file.

    Args:
      host: URL of KFP's API or UI.

    Raises:
      ConnectionError: nothing answers there. Asked first: kfp's client itself tries for half a minute and then says
        no more than that it failed.
    """
    if urllib.parse.urlsplit(host).scheme not in ("http", "https"):
        raise ConnectionError(f"{host} is no URL of KFP: it has to start with http:// or https://.")
    try:
        urllib3.PoolManager().request(
            "GET", f"{host.rstrip('/')}/apis/v2beta1/healthz", timeout=_REACH_TIMEOUT_S, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(
            f"No KFP answers at {host}: {error}. Is it the URL of KFP's UI or API, and can this machine reach it "
            "(kubectl port-forward --namespace kubeflow service/ml-pipeline-ui 8080:80)?"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that a KFP v1 would not do
        return _Client(host=host)


class _Client(kfp_client.Client):
    """kfp's, which asks a host that refuses it five times, and logs a traceback with the answer's headers each time."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> kfp_server_api.V2beta1GetHealthzResponse:
        del sleep_duration
        renamed = getattr(self._healthz_api, "healthz_service_get_healthz", None)  # since kfp-server-api 2.17
        return (renamed or self._healthz_api.get_healthz)()


def submit(client: kfp_client.Client, submission: Submission) -> str:
    """Starts a run.

    Returns:
      Its id.

    Raises:
      kfp_server_api.ApiException: KFP refuses it.
    """
    return client.create_run_from_pipeline_package(
        pipeline_file=str(submission.package),
        arguments=dict(submission.parameters),
        run_name=submission.run_name,
        experiment_name=submission.experiment,
        namespace=submission.namespace,
        pipeline_root=submission.pipeline_root,
        service_account=submission.service_account,
    ).run_id


def follow(
    client: kfp_client.Client, run_id: str, *, tasks: Sequence[str], tell: Callable[[str], None], poll_s: float
) -> str:
    """Tells each change of a task's state until the run ends.

    Args:
      client: from `connect`.
      run_id: from `submit`.
      tasks: names of the pipeline's tasks; KFP lists its own drivers and executors as well.
      tell: gets a line for a person.
      poll_s: seconds between two looks; the API has no events.

    Returns:
      The state that it ended in: SUCCEEDED, FAILED, SKIPPED or CANCELED.

    Raises:
      kfp_server_api.ApiException: KFP refuses to tell.
      urllib3.exceptions.HTTPError: KFP can no longer be reached.
    """
    told: dict[str, str] = {}
    pause = threading.Event()
    while True:
        run = client.get_run(run_id)
        for task in (run.run_details and run.run_details.task_details) or ():
            _tell_change(task, tasks, told, tell)
        if run.state in _ENDED:
            if run.error is not None and run.error.message:
                tell(run.error.message)
            return str(run.state)
        pause.wait(poll_s)


def _tell_change(
    task: kfp_server_api.V2beta1PipelineTaskDetail,
    tasks: Sequence[str],
    told: dict[str, str],
    tell: Callable[[str], None],
) -> None:
    if task.display_name not in tasks or task.state in (None, told.get(task.display_name)):
        return
    told[task.display_name] = task.state
    message = f": {task.error.message}" if task.error is not None and task.error.message else ""
    tell(f"{task.display_name} {task.state}{message}")
