"""Where people look: the page at the URI of an artifact, and in a notebook."""

from __future__ import annotations

import builtins
import html
import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tfx.types import channel, standard_artifacts

import infraval
from infraval import errors
from infraval.tfx import artifacts

CONTENT = "<!DOCTYPE html><p>✓ Blessed</p>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page as a run has written it."""
    blessing = tmp_path / "blessing"
    blessing.mkdir()
    path = blessing / "report.html"
    path.write_text(CONTENT, encoding="utf-8")
    return path


def test_the_page_is_at_the_uri_itself_unless_a_directory_is_there(page: Path, tmp_path: Path) -> None:
    """Kubeflow Pipelines makes nothing there; TFX's other runners make a directory. A second try replaces the first."""
    for _ in range(2):
        artifacts.write_page(page, str(tmp_path / "task" / "report"))
    (tmp_path / "7").mkdir()
    artifacts.write_page(page, str(tmp_path / "7"))

    assert (tmp_path / "task" / "report").read_text(encoding="utf-8") == CONTENT
    assert (tmp_path / "7" / "report.html").read_text(encoding="utf-8") == CONTENT


def test_the_page_goes_to_an_object_store_without_a_marker(page: Path, store: Any) -> None:
    """A marker at the URI would look like a directory to Kubeflow Pipelines' launcher."""
    artifacts.write_page(page, "remotetest://bucket/task/report")
    assert store.objects == {"remotetest://bucket/task/report": CONTENT.encode()}

    store.refuses = staticmethod(lambda operation, _key: operation == "write")
    with pytest.raises(errors.OutputError, match="remotetest://bucket/task/other"):
        artifacts.write_page(page, "remotetest://bucket/task/other")


@pytest.fixture
def interactive_context(monkeypatch: pytest.MonkeyPatch) -> Any:
    """TFX's module. It imports nbformat for an export, which nothing here calls; not every TFX comes with that."""
    if importlib.util.find_spec("nbformat") is None:
        monkeypatch.setitem(sys.modules, "nbformat", types.ModuleType("nbformat"))
    return importlib.import_module("tfx.orchestration.experimental.interactive.interactive_context")


# TFX 1.21 still takes it from there.
@pytest.mark.filterwarnings("ignore:Importing display from IPython.core.display is deprecated:DeprecationWarning")
def test_interactive_context_shows_the_page_of_a_blessing(
    page: Path, tmp_path: Path, interactive_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a frame without scripts; a blessing of InfraValidator's own, which has no page, shows nothing more."""
    assert infraval.WarmupInfraValidator is not None  # importing it registers what is shown
    shown: list[Any] = []
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)  # what TFX takes for a notebook
    for module in ("IPython.display", "IPython.core.display"):
        monkeypatch.setattr(f"{module}.display", shown.append)
    context = interactive_context.InteractiveContext(pipeline_root=str(tmp_path / "root"))
    blessings = []
    for uri in (page.parent, tmp_path / "other"):
        blessing = standard_artifacts.InfraBlessing()
        blessing.uri = str(uri)
        blessings.append(blessing)

    context.show(channel.Channel(type=standard_artifacts.InfraBlessing).set_artifacts(blessings))

    (frame,) = (each.data for each in shown if "<iframe" in each.data)
    assert re.fullmatch(r"<div><iframe [^>]*></iframe></div>", frame)
    assert " sandbox " in frame
    assert html.unescape(frame).count(CONTENT) == 1
