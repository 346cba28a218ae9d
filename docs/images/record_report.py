"""Records the README's picture: really runs the command that it shows, on the taxi model of the tfx wheel.

    record_report.py REPORT.SVG

Run it on an idle machine. The README's first paragraph has the cold and warm latency of `predict:predict` from it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import rich.console
import rich.text

WIDTH = 86
SHOWN = """$ infraval validate --model taxi/model --examples 'taxi/examples/Split-eval/*' \\
      --signature all --batch-size 1 --batch-size 8 --compare-cold --output out"""


def main(svg: Path) -> None:
    """Writes the picture."""
    found = importlib.util.find_spec("tfx")
    testdata = Path(str(found and found.origin)).parent / "components" / "testdata"
    model = testdata / "trainer/current/Format-Serving/export/chicago-taxi/1646034756"
    command = [sys.executable, "-W", "ignore", "-m", "infraval", "validate", "--model", model, "--server", "embedded"]
    command += ["--examples", testdata / "csv_example_gen/Split-eval/*", "--signature", "all", "--batch-size", "1"]
    command += ["--batch-size", "8", "--compare-cold", "--output", "out"]
    colours = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(WIDTH)}
    with tempfile.TemporaryDirectory() as folder:
        printed = subprocess.run(
            command, cwd=folder, env=os.environ | colours, capture_output=True, check=True
        ).stdout.decode()
    console = rich.console.Console(record=True, width=WIDTH, highlight=False)
    console.print(SHOWN, markup=False)
    console.print(rich.text.Text.from_ansi(printed.rstrip("\n")))
    console.save_svg(str(svg), title="infraval validate", unique_id="report")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
