"""Measures a model on a running server, or on one that is booted for it: `infraval bench`."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from infraval import errors, options, redaction, signals, workspace
from infraval.production import files as production_files
from infraval.requests import prediction_logs, preparation
from infraval.sandbox import base, registry
from infraval.staging import model as staging
from infraval.trial import bench, boot, client, load, replay, rest_client, run, sending

_REST_PORT = "--rest_api_port"
_START_TIMEOUT_S = 60.0
_POLL_S = 0.05
_MAX_RECORDS = 1000
"""Of a warmup file; TensorFlow Serving takes no more either."""


@signals.abort_on_signal()
def benchmark(
    job: options.Job,
    asked: bench.Asked,
    target: str = "",
    rest: str = "",
    progress: Callable[[str], None] = lambda _: None,
    *,
    cold: bool = True,
) -> bench.Benchmark:
    """Measures the cells of the requests of a job: those made of its examples, else those of the model's warmup file.

    Args:
      job: the model, its requests, and the server to boot if none is running.
      asked: how to measure.
      target: HOST:PORT of a running server's gRPC.
      rest: URL of a running server's REST API.
      progress: called with a sentence about each step.
      cold: without a running server, also boot the model without its warmup file.

    Raises:
      InfravalError: nothing could be measured.
    """
    if rest:
        rest_client.Client(rest, job.server.model_name).close()  # is it a URL?
    production = production_files.read(job)
    job = production.job
    selection = preparation.select(job)
    boots = not (target or rest)
    if boots:
        registry.platform(job.server).check(job.server, progress)
    with workspace.workspace() as directory:
        if job.examples:
            logs, examples = preparation.build(job, selection, directory / "requests", None, progress)
            constants: Collection[str] = examples.constants if examples else {}
        else:
            logs, constants = _of_warmup_file(job.model), ()
        if boots:
            return _boot(production, asked, selection, logs, constants, directory, progress, cold=cold)
        redactor = redaction.Redactor(
            (job.model / "saved_model.pb").read_bytes(),
            (job.server.model_name, *selection.signatures),
            logs,
            job.server_messages,
        )
        with contextlib.ExitStack() as stack:
            connections = dict(_running(job.server.model_name, target, rest, stack))
            measured = bench.measure(logs, constants, connections, asked, redactor, progress=progress)
    where = " and ".join(filter(None, (target, rest)))
    return bench.Benchmark(f"the server at {where}", asked.concurrency, asked.rate, measured)


def _of_warmup_file(model: Path) -> prediction_logs.Logs:
    """The requests in the model's warmup file.

    Raises:
      ModelError: the file cannot be read.
      OptionError: there is none, or it has no request.
    """
    path = model / options.WARMUP_FILE
    count = 0
    if path.exists():
        for count, _ in enumerate(prediction_logs.read(path), start=1):
            if count == _MAX_RECORDS:
                break
    found = prediction_logs.find(path, count) if count else prediction_logs.Logs()
    if not len(replay.OfLogs(found)):
        raise errors.OptionError(
            f"There is nothing to send: {model} has no warmup file with requests. Give --examples (examples), or the "
            "stamped_model of a validation."
        )
    return found


def _running(
    model_name: str, target: str, rest: str, stack: contextlib.ExitStack
) -> Iterator[tuple[bench.Protocol, sending.Connection]]:
    """Connections to a running server.

    Raises:
      SandboxError: it does not serve the model there.
    """
    if target:
        grpc = stack.enter_context(client.Client(target, model_name))
        _check(grpc.available(), "--target", target, model_name)
        yield "grpc", grpc
    if rest:
        http = stack.enter_context(rest_client.Client(rest, model_name))
        _check(http.available(), "--rest", rest, model_name)
        yield "rest", http


def _check(is_available: bool, flag: str, where: str, model_name: str) -> None:
    if not is_available:
        raise errors.SandboxError(
            f"No server at {where} says that it serves the model {model_name!r}. Correct {flag}, or name the model as "
            "the server does with --model-name (server.model_name)."
        )


def _boot(
    production: production_files.Production,
    asked: bench.Asked,
    selection: preparation.Selection,
    logs: prediction_logs.Logs,
    constants: Collection[str],
    directory: Path,
    progress: Callable[[str], None],
    *,
    cold: bool,
) -> bench.Benchmark:
    job = production.job
    progress("Staging the model")
    if job.examples:
        staged = staging.stage(job, logs, directory / "models", constants)
    else:
        staged = staging.stage_as_it_is(job, job.model, directory / "models")
    server, port, notes = _with_rest(job.server)
    requests = replay.OfLogs(logs, constants)
    at_once = max(asked.concurrency, load.threads_for(asked.rate) if asked.rate else 1)
    booter = run.booter(production, staged, logs, selection.signatures, directory, progress, at_once)
    found: list[tuple[bench.Measured, ...]] = []

    def study(serving: boot.Serving) -> None:
        with contextlib.ExitStack() as stack:
            connections: dict[bench.Protocol, sending.Connection] = {"grpc": serving.connection}
            if port:
                http = stack.enter_context(rest_client.Client(f"http://127.0.0.1:{port}", server.model_name))
                if _wait(http, serving.sandbox):
                    connections["rest"] = http
                else:
                    notes.append("REST is not measured: the server does not answer there.")

            def stopped() -> bool:
                return serving.sandbox.poll() is not None

            measured = bench.measure(logs, constants, connections, asked, booter.redactor, stopped, progress)
            found.append(measured)

    without_warmup = None
    if cold and staged.warmup.records:
        base_path = staging.without_warmup(staged, booter.directory / "cold")
        without_warmup, _ = booter.boot_until_definite(
            requests, measured=True, replayed=False, model_base_path=base_path
        )
    elif cold:
        notes.append("The model has no warmup file, so there is no cold beside a warm boot.")
    if port:
        booter.server = server
    warm, _ = booter.boot_until_definite(requests, measured=True, replayed=False, studies=[study])
    if not found:
        failure = warm.failure
        why = f" ({getattr(failure, 'code', type(failure).__name__)}: {getattr(failure, 'message', '')})"
        raise errors.ModelError(
            f"The server does not serve the model{why if failure else ''}, so nothing can be measured. See what "
            "`infraval validate` says about it.",
            code="model/not-served",
        )
    return bench.Benchmark(
        f"{warm.server.name} ({warm.server.version}), {warm.server.platform} sandbox",
        asked.concurrency,
        asked.rate,
        found[-1],
        without_warmup.latencies if without_warmup else (),
        warm.latencies,
        tuple(notes),
    )


def _with_rest(server: options.ServerOptions) -> tuple[options.ServerOptions, int, list[str]]:
    """The server with a REST port on this machine, that port, and what to know; 0 for none."""
    given = [each.partition("=")[2] for each in server.server_arguments if each.partition("=")[0] == _REST_PORT]
    if not isinstance(server, options.ProcessServer):
        return server, 0, [f"REST is not measured: a server in the {server.platform} sandbox has no port for it."]
    if given:
        return server, int(given[-1]) if given[-1].isdecimal() else 0, []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (*server.server_arguments, f"{_REST_PORT}={port}")
    return server.model_copy(update={"server_arguments": arguments}), port, []


def _wait(http: rest_client.Client, sandbox: base.Sandbox) -> bool:
    """Waits until REST answers, which may be after gRPC; whether it does."""
    try:
        base.wait_until(http.available, sandbox, time.monotonic() + _START_TIMEOUT_S)
    except TimeoutError:
        return False
    return True
