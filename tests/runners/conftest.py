"""Beam runners whose workers are processes of their own, and the way from examples to the bytes of requests."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from infraval import options
from infraval.requests import beam_transform, graph, making, processes, shards, signatures, targets

Service = subprocess.Popen[bytes]
Start = Callable[..., Service]
Prepare = Callable[..., making.Requests]

S3_SERVER = Path(__file__).with_name("s3_server.py")
BEAM_SERVICE = Path(__file__).with_name("beam_service.py")

# A process ends with the one that has started it, and what it has started ends with it: they are in a PID namespace, of
# which it is the first process.
NAMESPACES = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
HIDING = 'mount -t tmpfs tmpfs "$1"; shift; exec "$@"'


@contextlib.contextmanager
def processes_started() -> Iterator[Start]:
    """Starts processes that end, with all their children, on leaving or with this process."""
    started: list[Service] = []

    def run(*command: str | Path, hidden: Path | None = None, **variables: str) -> Service:
        """Starts one; if `hidden` is given, it and its children find an empty folder there."""
        user = () if os.geteuid() == 0 else ("--map-root-user",)
        within = () if hidden is None else ("sh", "-ec", HIDING, "sh", hidden)
        # Beam's pool starts its workers as `python`.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        started.append(
            subprocess.Popen(
                [*NAMESPACES, *user, *within, *command],
                stdout=subprocess.PIPE,
                env=os.environ | {"PATH": path} | variables,
            )
        )
        return started[-1]

    try:
        yield run
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.communicate()  # until the last of its children has closed its standard output


@pytest.fixture
def start() -> Iterator[Start]:
    """For one test."""
    with processes_started() as run:
        yield run


@pytest.fixture(scope="module")
def start_for_all() -> Iterator[Start]:
    """For all tests of a module."""
    with processes_started() as run:
        yield run


def start_dask(run: Start, folder: Path) -> tuple[str, ...]:
    """Starts a scheduler and two workers; returns the pipeline options for them."""
    file = folder / "scheduler.json"
    common = ("--scheduler-file", file, "--host", "127.0.0.1", "--no-dashboard")
    run(sys.executable, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0")
    for number in range(2):
        own = ("--no-nanny", "--nthreads", "1", "--local-directory", folder / f"worker_{number}")
        run(sys.executable, "-m", "distributed.cli.dask_worker", *common, *own)
    return (
        "--runner=apache_beam.runners.dask.dask_runner.DaskRunner",
        f"--dask_scheduler_file={file}",
        "--dask_npartitions=4",
    )


def start_portable(run: Start, hidden: Path | None = None, **variables: str) -> tuple[str, ...]:
    """Starts a job service and a pool of workers, which find an empty folder at `hidden`; returns the options."""
    services = [
        run(sys.executable, BEAM_SERVICE, "job", **variables),
        run(sys.executable, BEAM_SERVICE, "pool", hidden=hidden, **variables),
    ]
    job, pool = (int(service.stdout.readline()) for service in services if service.stdout)
    return (
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{job}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}",
    )


@pytest.fixture(scope="module")
def dask(start_for_all: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options for the DaskRunner on workers that are processes of their own."""
    return start_dask(start_for_all, tmp_path_factory.mktemp("dask"))


@pytest.fixture(scope="module")
def portable(start_for_all: Start) -> tuple[str, ...]:
    """Options for the PortableRunner with an EXTERNAL pool of workers."""
    return start_portable(start_for_all)


@pytest.fixture(scope="module")
def start_elsewhere(start_for_all: Start) -> Callable[..., tuple[str, ...]]:
    """Starts a pool of workers that find an empty folder in place of one."""
    return functools.partial(start_portable, start_for_all)


@pytest.fixture(scope="module")
def start_s3(start_for_all: Start) -> Callable[[], int]:
    """Starts an S3 server; returns its port."""

    def run() -> int:
        service = start_for_all(sys.executable, S3_SERVER)
        return int(service.stdout.readline()) if service.stdout else 0

    return run


@pytest.fixture
def no_dask_client_left() -> Iterator[None]:
    """Closes the clients that the DaskRunner leaves open."""
    yield
    from distributed import client  # noqa: PLC0415 - seconds

    for each in set(client._global_clients.values()):  # noqa: SLF001 - the runner does not hand them out
        each.close()


@pytest.fixture(scope="session")
def make_plan(
    taxi_model: Path, sink_model: Path, sink_examples: Path, sink_features: tuple[str, ...]
) -> Callable[[str], making.Plan]:
    """A plan for all RPCs of the taxi model, from whole records, or of the sink, from features of several shapes."""

    def make(name: str) -> making.Plan:
        model, records = {"taxi": (taxi_model, []), "sink": (sink_model, list(shards.peek([str(sink_examples)])))}[name]
        requests = {
            "taxi": options.RequestOptions(
                signatures=("predict", "classification", "regression"), multi_inference=("classification,regression",)
            ),
            "sink": options.RequestOptions(
                signatures=("all", "classify:classify"), features=(*sink_features, "dynamic/x=series")
            ),
        }[name]
        sizes = (1, 4)
        called, _ = targets.resolve(
            requests, signatures.read(model), records, sizes, graph.of(signatures.meta_graph(model))
        )
        return making.Plan(tuple(called), sizes, num_examples=8, seed=7, model_name="model")

    return make


@pytest.fixture
def prepare(tmp_path: Path, make_plan: Callable[[str], making.Plan]) -> Prepare:
    """Prepares requests from shards: in the client's own way, or through Beam with pipeline options."""
    numbers = iter(range(100))

    def run(
        paths: Sequence[str], given: Sequence[str] | None = None, plan: str = "taxi", result_in: str = ""
    ) -> making.Requests:
        directory = tmp_path / f"run_{next(numbers)}"
        directory.mkdir()
        if given is None:
            harvest = processes.collect(make_plan(plan), paths)
        else:
            harvest = beam_transform.collect(
                make_plan(plan),
                paths,
                directory,
                lambda: beam.Pipeline(options=PipelineOptions(list(given))),
                result_in,
            )
        return making.make(make_plan(plan), harvest, directory / "requests")

    return run
