"""Whether a SavedModel lacks the values of its variables."""

from __future__ import annotations

import itertools
from pathlib import Path

from infraval.requests import signatures

_INDEX = Path("variables", "variables.index")

_VARIABLES = frozenset(["AutoReloadVariable", "VarHandleOp", "Variable", "VariableV2"])
"""Ops that make a variable."""


def warning(model: Path, tag_set: tuple[str, ...] = ()) -> str | None:
    """What to know about a model with variables and no index of their values; None if there is nothing.

    Raises:
      ModelError: as `signatures.read`.
    """
    if (model / _INDEX).exists():
        return None
    graph = signatures.meta_graph(model, tag_set).graph_def
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    if all(node.op not in _VARIABLES for node in nodes):
        return None
    return (
        f"The model's graph has variables, but there is no {_INDEX}, which lists their values. TensorFlow Serving "
        "loads such a model all the same, and fails requests that read one of them. Export it again, or check that it "
        "was copied whole."
    )
