"""What the gates that are on by default add to the time of a verdict, in one run on one machine; `make bench`.

The taxi model of the `tfx` package, all its signatures, 50 requests for each; the embedded server. Runs with and
without the gates take turns, so that what else the machine does slows down both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import tfx

PAIRS = 5
MOST = 1.15
TESTDATA = Path(tfx.__file__).parent / "components" / "testdata"
MODEL = TESTDATA / "trainer/current/Format-Serving/export/chicago-taxi/1646034756"
EXAMPLES = TESTDATA / "csv_example_gen" / "Split-eval" / "*"
OFF = ("--gate", "warm.enabled=false", "--gate", "outputs.enabled=false")


def validate(*gates: str) -> float:
    """Seconds of a whole command line, which must end with a blessing."""
    command = [sys.executable, "-W", "ignore", "-m", "infraval", "validate", "--server", "embedded", *gates]
    given = ["--model", MODEL, "--examples", EXAMPLES, "--signature", "all", "--num-examples", 50]
    started_s = time.perf_counter()
    finished = subprocess.run([*command, *map(str, given)], capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - started_s
    if finished.returncode:
        raise SystemExit(finished.stdout + finished.stderr)
    return took_s


def main(pairs: int) -> int:
    """Prints the ratio of the medians; exit code 1 if it is missed."""
    validate()  # fills the caches
    with_gates, without = [], []
    for _ in range(pairs):
        with_gates.append(validate())
        without.append(validate(*OFF))
    with_s, without_s = statistics.median(with_gates), statistics.median(without)
    ratio = with_s / without_s
    print(
        f"infraval validate, default gates: {with_s:.2f} s / {without_s:.2f} s without = {ratio:.2f} "
        f"(at most {MOST:g}: {'yes' if ratio <= MOST else 'NO'})"
    )
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else PAIRS))
