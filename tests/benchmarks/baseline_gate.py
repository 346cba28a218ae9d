"""How often the gate `baseline` passes a model beside itself, however busy the machine is: `baseline_gate.py [RUNS]`.

Validates with the embedded server the taxi model with its warmup file, and the same model as the baseline. Prints every
run, and how many passed at the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import warm_gate

from infraval.gates import baseline

BARS = {
    "p50_ratio": 1.5,
    "p90_ratio": 2,
    "load_time_ratio": 3,
    "memory_ratio": 1.5,
    "size_ratio": 1,
    "max_difference": 1e-6,
    "changed_class_share": 0,
}


def judge(model: Path) -> tuple[str, str]:
    """The status of the gate, and what it was found from."""
    started_s = time.monotonic()
    judged = warm_gate.validate(
        model, warm_gate.COVERED, baseline=model, warmup={"existing": "keep"}, gates={"baseline": BARS}
    )
    (server,) = judged.servers
    shown, boot = server.evidence.baseline, server.evidence.boot
    figures = baseline.figures(shown, boot.load_time_s, boot.memory, server.evidence.warmup.records)
    told = ", ".join(f"{name} {figures[name]}" for name in BARS)
    return warm_gate.told(judged, "baseline", told, started_s)


def main(runs: int) -> int:
    """Exit code 1 if the gate was wrong once."""
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        warm_gate.validate(warm_gate.MODEL, warm_gate.COVERED, output=output)
        for number in range(1, runs + 1):
            status, shown = judge(output / "stamped_model")
            passed += status == "passed"
            print(f"{number}: {status}: {shown}", flush=True)
    print(f"The model beside itself passed {passed} of {runs} runs.")
    return int(passed < runs)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else warm_gate.RUNS))
