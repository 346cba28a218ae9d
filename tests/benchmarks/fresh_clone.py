"""How long someone waits for a pushed model after `git clone`: set-up and demo, on the stack that this machine gets.

Packages come from uv's cache if they are there: run it twice for the figures of a warm cache.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Prints the seconds that each step takes, then those of all."""
    # The clone's own environment counts, not the one that this runs in.
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    with tempfile.TemporaryDirectory(prefix="infraval-fresh-clone-") as folder:
        steps = {
            "git clone": ["git", "clone", "--quiet", str(ROOT), folder],
            "make setup": ["make", "--no-print-directory", "-C", folder, "setup"],
            "infraval --help": [f"{folder}/.venv/bin/infraval", "--help"],
            "import infraval": [f"{folder}/.venv/bin/python", "-c", "import infraval"],
            "make demo": ["make", "--no-print-directory", "-C", folder, "demo"],
        }
        taken = {}
        for name, command in steps.items():
            started_s = time.perf_counter()
            subprocess.run(command, check=True, env=environment)
            taken[name] = time.perf_counter() - started_s
    print()
    for name, seconds in (*taken.items(), ("together", sum(taken.values()))):
        print(f"{name:18}{seconds:8.2f} s")


if __name__ == "__main__":
    main()
