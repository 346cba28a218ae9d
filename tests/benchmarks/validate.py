"""How long `infraval validate` takes against what it cannot do without, in one run on one machine; `make bench`.

With a server in a process: the same server, started, asked and ended by hand. With the embedded server: importing
TensorFlow and loading the model. The taxi model of the `tfx` package, 50 requests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import tfx
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

REPEATS = 3  # the best counts: whatever else the machine does only ever slows a run down
REQUESTS = 50
TESTDATA = Path(tfx.__file__).parent / "components" / "testdata"
MODEL = TESTDATA / "trainer/current/Format-Serving/export/chicago-taxi/1646034756"
EXAMPLES = TESTDATA / "csv_example_gen" / "Split-eval" / "*"
FAKES = Path(__file__).parents[1] / "fakes.py"
MOST_REAL, MOST_EMBEDDED = 1.6, 1.3


def best(run: Callable[[], None]) -> float:
    """Seconds of the quickest of some runs, after one that fills the caches."""
    seconds = []
    run()
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def validate(server: str) -> None:
    """A whole command line; the stand-in's verdict is no blessing, as it answers nothing of use."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-W", "ignore", "-m", "infraval", "validate", "--server", server]
        given = ["--model", MODEL, "--examples", EXAMPLES, "--signature", "predict", "--num-examples", REQUESTS]
        finished = subprocess.run(
            [*command, *map(str, given), "--output", f"{output}/o"], capture_output=True, text=True, check=False
        )
    if finished.returncode not in (0, 1):
        raise SystemExit(finished.stderr)


def by_hand(server: str) -> None:
    """Boots the server, waits until the model is AVAILABLE, sends as many small requests, and ends it."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/s"
        command = [server, "--port=0", f"--grpc_socket_path={socket}", "--model_name=m", f"--model_base_path={folder}"]
        with (
            subprocess.Popen(command, stderr=subprocess.DEVNULL) as process,
            grpc.insecure_channel(f"unix:{socket}", [("grpc.max_reconnect_backoff_ms", 20)]) as channel,
        ):
            status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
            request = get_model_status_pb2.GetModelStatusRequest()
            for _ in range(REQUESTS):
                status(request, wait_for_ready=True, timeout=60)
            process.kill()


def load() -> None:
    """What the embedded server cannot do without."""
    script = f"import tensorflow as tf; tf.saved_model.load({str(MODEL)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, check=True)


def main() -> int:
    """Prints both ratios; exit code 1 if one is missed."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        stand_in = Path(folder, "tensorflow_model_server")
        stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKES} serve {folder}/boots "$@"\n', encoding="utf-8")
        stand_in.chmod(0o755)
        for server, peer, most in (
            (str(stand_in), lambda: by_hand(str(stand_in)), MOST_REAL),
            ("embedded", load, MOST_EMBEDDED),
        ):
            took_s, least_s = best(lambda server=server: validate(server)), best(peer)  # type: ignore[misc]
            ratio = took_s / least_s
            good &= ratio <= most
            name = "embedded" if server == "embedded" else "stand-in"
            print(
                f"infraval validate, {name} server: {took_s:.2f} s / {least_s:.2f} s = {ratio:.2f} "
                f"(at most {most:g}: {'yes' if ratio <= most else 'NO'})"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
