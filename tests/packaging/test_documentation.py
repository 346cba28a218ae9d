"""What can go wrong with Markdown by itself: links that lead nowhere, pages that grow, an index that cannot show it."""

from __future__ import annotations

import argparse
import inspect
import itertools
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import markdown_it
import pytest
from apache_beam.options import pipeline_options
from apache_beam.runners.dask import dask_runner
from markdown_it.token import Token

from infraval import errors

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT) for page in (*ROOT.glob("*.md"), *ROOT.glob("kubeflow/**/*.md"), *ROOT.glob("docs/**/*.md"))
)
MAX_LINES = 200
MAX_README_LINES = 150


def _parse(text: str) -> list[Token]:
    return markdown_it.MarkdownIt("commonmark").enable("table").parse(text)


def _inline(text: str) -> Iterator[Token]:
    for block in _parse(text):
        yield from block.children or ()


def _targets(text: str) -> list[str]:
    """What links and images of a page point at."""
    return [str(token.attrs.get("href", token.attrs.get("src", ""))) for token in _inline(text) if token.attrs]


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    tokens = _parse(text)
    headings = [
        "".join(part.content for part in inline.children or ())
        for opening, inline in itertools.pairwise(tokens)
        if opening.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _is_relative(target: str) -> bool:
    return not urllib.parse.urlsplit(target).scheme


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Each names a file of the repository and, if it has an anchor, a heading in it."""
    broken = []
    for target in filter(_is_relative, _targets((ROOT / page).read_text(encoding="utf-8"))):
        path, _, anchor = urllib.parse.unquote(target).partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        if not linked.exists() or (anchor and anchor not in _anchors(linked.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


LISTS = (Path("CHANGELOG.md"), Path("docs/reference/options.md"))
"""What is searched and not read."""


@pytest.mark.parametrize("page", [page for page in PAGES if page not in LISTS], ids=str)
def test_a_page_is_short_enough_to_read(page: Path) -> None:
    """README is for the first screens; of the rest, one page is one subject."""
    lines = len((ROOT / page).read_text(encoding="utf-8").splitlines())
    assert lines <= (MAX_README_LINES if page == Path("README.md") else MAX_LINES)


def test_every_decision_is_in_the_index() -> None:
    """A new ADR has a line there."""
    folder = ROOT / "docs" / "adr"
    listed = _targets((folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(page.name for page in folder.glob("0*.md"))


def test_a_package_index_can_show_the_description() -> None:
    """It has the README's text, and neither pictures nor links that need the repository."""
    description = subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "--quiet", "--long-description"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [token.type for token in _inline(description) if token.type == "image"] == []
    assert list(filter(_is_relative, _targets(description))) == []
    assert "<!--" not in description
    assert _anchors(description) >= {"infraval", "install", "in-a-pipeline", "what-blessed-means"}


def test_every_error_is_in_the_reference() -> None:
    """With its code."""
    classes = {
        name: found
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, errors.InfravalError)
    }
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `([\w/-]+)` \|", page, re.MULTILINE))
    assert rows.keys() == classes.keys()
    assert {name: rows[name] for name in classes} == {name: found.code for name, found in classes.items()}


def test_beam_knows_the_arguments_that_the_docs_give_it() -> None:
    """Of every runner of the page that is a part of Beam, and of its file systems."""
    page = (ROOT / "docs" / "guide" / "large-data.md").read_text(encoding="utf-8")
    code = " ".join(re.findall(r"`[^`\n]+`", page))
    named = set(re.findall(r"--([a-z0-9_]+)(?![a-z0-9_-])", code))  # infraval's own have hyphens
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    for group in (*pipeline_options.PipelineOptions.__subclasses__(), dask_runner.DaskOptions):
        group._add_argparse_args(parser)  # noqa: SLF001 - Beam itself asks each class this way
    assert {"runner", "sdk_container_image", "flink_master", "spark_master_url", "dask_client_address"} <= named
    known = parser.format_usage()
    assert [name for name in sorted(named) if not re.search(rf"--{name}\b", known)] == []
