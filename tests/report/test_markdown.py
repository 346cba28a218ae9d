"""The report as Markdown: short, and nothing in it that a model says is markup."""

from __future__ import annotations

import re
from collections.abc import Callable

import markdown_it
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infraval import errors
from infraval.report import data, markdown

Make = Callable[..., data.Report]

PARTS = (
    "|",
    "\\",
    "`",
    "``",
    "<b>",
    "<!--",
    "&lt;",
    "*",
    "_",
    "_a_",
    "~~",
    "[a](//e)",
    "![a](//e)",
    "\n",
    "\n\n",
    "# ",
)
REFERENCES = ("@team", "#1", "https://evil.example", "www.evil.example", "a@b.example", "\u202e", "\x1b", "- ", "$a$")
HOSTILE = st.lists(st.sampled_from(PARTS + REFERENCES) | st.text(max_size=5), max_size=8).map("".join)


def _structure(content: str) -> list[str]:
    """The elements that a Markdown site makes of it."""
    tokens = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(content)
    parts = [part for token in tokens for part in (token, *(token.children or ()))]
    return [part.type for part in parts if part.type not in {"text", "text_special"}]


def test_gates_and_cells_are_tables(report: data.Report) -> None:
    """A row for each, for each server; the verdict comes first."""
    content = markdown.render(report)
    rows = [line for line in content.splitlines() if line.startswith("| ")]
    server = report.servers[0]
    assert len(rows) == len(report.servers) * (len(server.findings) + len(server.cells) + 4)
    assert content.startswith("# ✗ Not blessed\n")
    assert _structure(content).count("table_open") == 2 * len(report.servers)


@settings(deadline=None, max_examples=50)
@given(text=HOSTILE)
@example(text="\\|")
@example(text="`|`")
def test_no_string_of_a_report_is_markup(make_report: Make, text: str) -> None:
    """The structure is that of a harmless report, every character can be seen, and nobody is called."""
    content = markdown.render(make_report(text=f"x{text}x", servers=1))
    assert _structure(content) == _structure(markdown.render(make_report(servers=1)))
    assert content.replace("\n", "").isprintable()
    assert not re.search(r"[@<`]|://|#(?=\d+\b(?!;))|www\.", content.replace("`report.json`", ""), re.IGNORECASE)


def test_it_stays_short(make_report: Make) -> None:
    """With many cells and long reasons; where the rest is."""
    content = markdown.render(make_report(text="a" * 5000, servers=1, cells=500))
    assert len(content.encode()) < 65_536
    assert "450 more are in `report.json`" in content


def test_a_report_with_hardly_anything_is_shown(bare: data.Report) -> None:
    """Without cells there is one table."""
    assert _structure(markdown.render(bare)).count("table_open") == 1


def test_a_report_of_an_unknown_version_is_refused(bare: data.Report) -> None:
    """As everywhere."""
    with pytest.raises(errors.InputError):
        markdown.render(bare.model_copy(update={"schema_version": 99}))
