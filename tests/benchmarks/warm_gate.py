"""How reliable the gate `warm` is on this machine, however busy it is: `warm_gate.py [RUNS]`.

Validates with the embedded server, in turn, the taxi model with its warmup file, which must pass the gate, and the same
model with one cell that the file does not cover, which must fail it. Prints every run, and both counts at the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import tfx

import infraval

RUNS = 50
TESTDATA = Path(tfx.__file__).parent / "components" / "testdata"
MODEL = TESTDATA / "trainer/current/Format-Serving/export/chicago-taxi/1646034756"
EXAMPLES = str(TESTDATA / "csv_example_gen" / "Split-eval" / "*")
COVERED, COLD = "predict", "regression"


def validate(model: Path, *signatures: str, **given: object) -> infraval.Verdict:
    """Of the embedded server, with one request for each signature."""
    server = {"server": "embedded"}
    return infraval.validate(
        infraval.Job(model=model, examples=EXAMPLES, requests={"signatures": signatures}, server=server, **given)
    )


def told(judged: infraval.Verdict, gate: str, figures: str, started_s: float) -> tuple[str, str]:
    """The status of a gate, and its figures with how the run went that began then."""
    status = next(each.status.value for each in judged.servers[0].findings if each.gate == gate)
    others = ", ".join(finding.gate for finding in judged.failures if finding.gate != gate)
    took = f"{time.monotonic() - started_s:.0f} s, load {os.getloadavg()[0]:.1f}"
    return status, f"{figures} ({took}{', also failed: ' if others else ''}{others})"


def judge(model: Path, *signatures: str, **given: object) -> tuple[str, str]:
    """The status of the gate, and what it was found from."""
    started_s = time.monotonic()
    judged = validate(model, *signatures, **given)
    evidence = judged.servers[0].evidence
    latencies = ", ".join(
        f"{each.cell.signature} {each.first_s * 1000:.1f}/{each.steady_s * 1000:.1f}"
        for each in (*evidence.boot.latencies, *evidence.measured_again)
    )
    return told(judged, "warm", f"{latencies} ms", started_s)


def main(runs: int) -> int:
    """Exit code 1 if the gate was wrong once."""
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        validate(MODEL, COVERED, output=output)
        for number in range(1, runs + 1):
            status, shown = judge(MODEL, COVERED, COLD)
            passed += status == "passed"
            print(f"{number} warm: {status}: {shown}", flush=True)
            status, shown = judge(output / "stamped_model", COVERED, COLD, warmup={"existing": "keep"})
            failed += status == "failed"
            print(f"{number} cold: {status}: {shown}", flush=True)
    print(f"The warm model passed {passed} of {runs} runs; the model with a cold cell failed {failed} of {runs}.")
    return int(min(passed, failed) < runs)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else RUNS))
