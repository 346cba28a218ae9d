"""What the load generator can do, on one core; and its percentiles against those of MLPerf LoadGen.

Two runs against a server in another process: one that answers at once, for the rate; and one with known delays, for the
percentiles. LoadGen comes from PyPI, into an environment of its own that uv keeps in its cache.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

LEAST_RATE, ASKED_RATE, RATE_S = 2000.0, 2200.0, 3.0
REPEATS = 3  # the best counts: whatever else the machine does only ever slows a run down
DELAY_MS, SPREAD, DELAYS = 10.0, 0.5, 1000
CHECK_RATE, CHECK_S = 100.0, 12.0
MOST_DIFFERENCE = 0.1
UV = Path(sys.executable).with_name("uv")
LOADGEN = (str(UV), "run", "--no-project", "--isolated", "--with", "mlcommons-loadgen==6.0.17", "--with", "grpcio")
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def serve(socket: str, delay_ms: float) -> None:
    """Answers Predict until it is killed, after delays of that median: the quantiles of a lognormal distribution."""
    normal = statistics.NormalDist()
    quantiles = [math.exp(SPREAD * normal.inv_cdf((number + 0.5) / DELAYS)) for number in range(DELAYS)]

    async def main() -> None:
        server, turn = grpc.aio.server(), 0

        async def answer(_request: bytes, _context: Any) -> bytes:
            nonlocal turn
            turn += 617  # no divisor of the number of delays, so that each comes up, in another order
            if delay_ms:
                await asyncio.sleep(delay_ms / 1000 * quantiles[turn % DELAYS])
            return b""

        handlers = {"Predict": grpc.unary_unary_rpc_method_handler(answer)}
        service = PREDICT.split("/")[1]
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(main())


def loadgen(socket: str, folder: str) -> None:
    """MLPerf LoadGen's server scenario; prints what it measured, in milliseconds."""
    import mlperf_loadgen as lg  # noqa: PLC0415 - in another environment

    call = grpc.insecure_channel(f"unix:{socket}").unary_unary(PREDICT)
    call(b"", wait_for_ready=True)

    def issue(samples: list[Any]) -> None:
        for sample in samples:

            def done(_ended: Any, number: int = sample.id) -> None:
                lg.QuerySamplesComplete([lg.QuerySampleResponse(number, 0, 0)])

            call.future(b"").add_done_callback(done)

    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.Server, lg.TestMode.PerformanceOnly
    settings.server_target_qps = CHECK_RATE
    settings.server_target_latency_ns = 10**9
    settings.min_query_count, settings.min_duration_ms = int(CHECK_RATE * CHECK_S), int(CHECK_S * 1000)
    system = lg.ConstructSUT(issue, lambda: None)
    library = lg.ConstructQSL(10, 10, lambda _: None, lambda _: None)
    output, log = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir = folder
    log.log_output = output
    lg.StartTestWithLogSettings(system, library, settings, log)
    summary = Path(folder, "mlperf_log_summary.txt").read_text(encoding="utf-8")
    for percentile in (50, 90, 99):
        found = re.search(rf"^{percentile}\.00 percentile latency \(ns\) *: *(\d+)", summary, re.MULTILINE)
        if found is None:
            raise SystemExit(summary)
        print(int(found[1]) / 1e6)
    sys.stdout.flush()
    os._exit(0)  # gRPC's threads need not be waited for


def measure(socket: str, rate: float, budget_s: float) -> tuple[Any, float, float]:
    """What `trial.load` measures, and its seconds until the last answer and of processor time."""
    from infraval import options, percentile_bars  # noqa: PLC0415 - the Python of LoadGen does not have it
    from infraval.tensorflow_protos import prediction_log_pb2  # noqa: PLC0415
    from infraval.trial import client, load, replay  # noqa: PLC0415

    # So that the whole budget is used.
    load.percentile_bars.decide = lambda *_: percentile_bars.Decision.UNDECIDED  # type: ignore[assignment]
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].string_val.append(b"x" * 200)
    with client.Client(f"unix:{socket}", "m") as connection:
        deadline_s = time.monotonic() + 60
        while connection.send(log, 60)[0] != "OK" and time.monotonic() < deadline_s:
            threading.Event().wait(0.1)
        asked = options.LatencyGate(p99_ms=1.0, rate=rate, budget_s=budget_s)
        started_s, used_s = time.perf_counter(), time.process_time()
        found, _ = load.put(replay.OfLogs([log]), connection, asked, 60.0)
        return found, time.perf_counter() - started_s, time.process_time() - used_s


@contextlib.contextmanager
def server(delay_ms: float, core: int) -> Iterator[str]:
    """A server in another process, on that core."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--serve", f"{folder}/s", str(delay_ms)]
        with subprocess.Popen(command) as process:
            os.sched_setaffinity(process.pid, {core})
            try:
                yield f"{folder}/s"
            finally:
                process.kill()


def main() -> int:
    """Prints the rate, and the percentiles of both; exit code 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--as-loadgen", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve[0], float(given.serve[1]))
    if given.as_loadgen:
        loadgen(*given.as_loadgen)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    best, processor_us, lag_ms = 0.0, 0.0, 0.0
    for _ in range(REPEATS):
        with server(0, cores[-1]) as socket:
            found, seconds, processor_s = measure(socket, ASKED_RATE, RATE_S)
        if found.sent / seconds > best:
            best, processor_us, lag_ms = found.sent / seconds, processor_s / found.sent * 1e6, found.lag_p99_s * 1000
    good = best >= LEAST_RATE
    print(
        f"rate on one core: {best:.0f}/s answered of {ASKED_RATE:.0f}/s asked for, {processor_us:.0f} us of processor "
        f"each, p99 of the lag {lag_ms:.1f} ms; at least {LEAST_RATE:.0f}/s: {'yes' if good else 'NO'}"
    )
    runs: list[tuple[list[float], list[float]]] = []
    for _ in range(REPEATS):
        with server(DELAY_MS, cores[-1]) as socket, tempfile.TemporaryDirectory() as folder:
            overall = measure(socket, CHECK_RATE, CHECK_S)[0].overall
            command = [*LOADGEN, "python", __file__, "--as-loadgen", socket, folder]
            peer = subprocess.run(command, capture_output=True, text=True, check=True)
        ours = [each * 1000 for each in (overall.p50_s, overall.p90_s, overall.p99_s)]
        runs.append((ours, [float(line) for line in peer.stdout.split()[-3:]]))
    ours, theirs = ([min(each) for each in zip(*side, strict=True)] for side in zip(*runs, strict=True))
    for percentile, own, other in zip((50, 90, 99), ours, theirs, strict=True):
        close = abs(own - other) <= MOST_DIFFERENCE * other
        good &= close
        print(f"p{percentile}: {own:.2f} ms, LoadGen {other:.2f} ms; within 10 %: {'yes' if close else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
