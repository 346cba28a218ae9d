"""What every run writes about its verdict: `report.json`, and the same for people."""

from __future__ import annotations

from pathlib import Path

from infraval.report import data, markdown, page
from infraval.verdict import Verdict

NAMES = (data.REPORT, page.PAGE, markdown.MARKDOWN)


def write(judged: Verdict, directory: Path) -> None:
    """Writes the report in all its formats."""
    report = data.report(judged)
    contents = (data.as_json(report), page.render(report), markdown.render(report))
    for name, content in zip(NAMES, contents, strict=True):
        (directory / name).write_text(content, encoding="utf-8")
