"""The Grafana dashboard of a model."""

from __future__ import annotations

from typing import Any

_DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
"""As in grafana-datasource.yaml."""

_WINDOW = "[$__rate_interval]"

_VERSION = '"version", "$1", "model_path", ".*/([0-9]+)"'
"""TF Serving has no label for the version in its metrics, but the path of a model ends with it."""

_NO_VERSION = "TF Serving measures requests by model, not by version: to compare versions, serve them under two names."


def make(model: str) -> dict[str, Any]:
    """The dashboard, as JSON values. The model's name must need no escapes."""
    name = f'model_name="{model}"'
    path = f'model_path=~".*/{_regex(model)}/[0-9]+"'
    latency = f"sum by (le, API, entrypoint) (rate(:tensorflow:serving:request_latency_bucket{{{name}}}{_WINDOW}))"
    warmup = f":tensorflow:serving:model_warmup_latency_sum{{{path}}}"
    load = f":tensorflow:cc:saved_model:load_latency{{{path}}}"
    attempts = f":tensorflow:cc:saved_model:load_attempt_count{{{path}}}"
    panels = [
        _panel(
            "Latency (p50, p99)",
            "µs",
            {
                "p50 {{API}} {{entrypoint}}": f"histogram_quantile(0.5, {latency})",
                "p99 {{API}} {{entrypoint}}": f"histogram_quantile(0.99, {latency})",
            },
            f"Of requests that were answered. {_NO_VERSION}",
        ),
        _panel(
            "Requests",
            "reqps",
            {"{{status}}": f"sum by (status) (rate(:tensorflow:serving:request_count{{{name}}}{_WINDOW}))"},
            f"By status. Warmup is not among them. {_NO_VERSION}",
        ),
        _panel(
            "Warmup by version",
            "µs",
            {"version {{version}} {{status}}": f"max by (version, status) (label_replace({warmup}, {_VERSION}))"},
            "How long the warmup records took when the version was loaded.",
        ),
        _panel(
            "Load time by version",
            "µs",
            {"version {{version}}": f"max by (version) (label_replace({load}, {_VERSION}))"},
            "How long the SavedModel took to load, without its warmup.",
        ),
        _panel(
            "Load attempts by version",
            "short",
            {"version {{version}} {{status}}": f"sum by (version, status) (label_replace({attempts}, {_VERSION}))"},
            "A version that cannot be loaded shows up here.",
        ),
        _panel(
            "Graphs built after the start",
            "short",
            {"graphs": f"sum(increase(:tensorflow:core:graph_build_calls{_WINDOW}))"},
            "Of the whole server. Above 0 while no version is loaded: a request hit what the warmup does not cover.",
        ),
    ]
    for number, panel in enumerate(panels):
        panel |= {"id": number + 1, "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)}}
    return {
        "uid": "infraval",
        "title": f"Serving {model}",
        "tags": ["infraval"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(title: str, unit: str, queries: dict[str, str], description: str) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _DATASOURCE, "legendFormat": legend, "expr": query}
            for number, (legend, query) in enumerate(queries.items())
        ],
    }


def _regex(model: str) -> str:
    """The name in a regular expression, in a PromQL string."""
    return model.replace(".", r"\\.")
