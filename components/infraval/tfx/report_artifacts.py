"""Types of the outputs that Kubeflow Pipelines shows by itself: a page, and figures that it compares between runs.

Kubeflow Pipelines knows an artifact's type by its title, which TFX takes from TYPE_NAME. TFX's entry point then imports
the class under that very title; `kubeflow_entry_point` tells it where these are.
"""

from __future__ import annotations

from tfx import types


class Page(types.Artifact):
    """A page of HTML: the file at the URI, or `report.html` in the directory that other runners have made there."""

    TYPE_NAME = "system.HTML"


class Metrics(types.Artifact):
    """Figures, as custom properties. There is nothing at the URI."""

    TYPE_NAME = "system.Metrics"


CLASS_PATHS = {kind.TYPE_NAME: f"{kind.__module__}.{kind.__qualname__}" for kind in (Page, Metrics)}
"""Where the classes are, by the titles of their types."""
