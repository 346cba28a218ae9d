"""Prints the modules that took longest, a table of the steps of a run, and `N passed, N failed, N skipped`.

Its arguments are a folder and the seconds that the whole run took. The folder holds `steps.tsv` (name, seconds, exit
code), and pytest's JUnit file of each step that ran tests, under the step's name.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

LONGEST = 12
"""Modules that are listed."""


class Count(NamedTuple):
    """How many tests came to which end."""

    passed: int
    failed: int
    skipped: int


def count(junit: Path) -> Count:
    """Adds up the suites of one file."""
    total = failed = skipped = 0
    # pytest wrote the file in this very run: it is not foreign input.
    for suite in ET.parse(junit).getroot().iter("testsuite"):  # noqa: S314
        total += int(suite.attrib["tests"])
        failed += int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        skipped += int(suite.attrib["skipped"])
    return Count(total - failed - skipped, failed, skipped)


def longest(junits: Iterable[Path]) -> list[tuple[tuple[str, str], float]]:
    """Seconds by step and module, with those of its fixtures, longest first."""
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for junit in junits:
        for case in ET.parse(junit).getroot().iter("testcase"):  # noqa: S314 - as above
            seconds[junit.stem, case.attrib["classname"]] += float(case.attrib["time"])
    return sorted(seconds.items(), key=lambda item: -item[1])[:LONGEST]


def main(results: Path, seconds: int) -> None:
    """Prints the tables and the closing line."""
    steps = results / "steps.tsv"
    rows = [line.split("\t") for line in steps.read_text().splitlines()] if steps.exists() else []
    for (name, module), taken_s in longest(results.glob("*.xml")):
        print(f"{name:12}{taken_s:8.0f} s  {module}")
    counts = {junit.stem: count(junit) for junit in results.glob("*.xml")}
    print(f"\n{'step':12}{'time':>8}{'exit':>6}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for name, taken, code in rows:
        minutes, rest = divmod(int(taken), 60)
        numbers = "{:8}{:8}{:9}".format(*counts[name]) if name in counts else ""
        print(f"{name:12}{f'{minutes}:{rest:02}':>8}{code:>6}{numbers}")
    print(f"{'together':12}{f'{seconds // 60}:{seconds % 60:02}':>8}\n")
    passed, failed, skipped = map(sum, zip(Count(0, 0, 0), *counts.values(), strict=True))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
