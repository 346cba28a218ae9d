"""Whether a SavedModel lacks the values of its variables."""

from __future__ import annotations

import itertools
from pathlib import Path

from infraval.tensorflow_protos import meta_graph_pb2

_INDEX = Path("variables", "variables.index")

_VARIABLES = frozenset(["AutoReloadVariable", "VarHandleOp", "Variable", "VariableV2"])
"""Ops that make a variable."""


def warning(model: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> str | None:
    """What to know about a model with variables and no index of their values; None if there is nothing."""
    if (model / _INDEX).exists():
        return None
    graph = meta_graph.graph_def
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    if all(node.op not in _VARIABLES for node in nodes):
        return None
    return (
        f"The model's graph has variables, but there is no {_INDEX}, which lists their values. TensorFlow Serving "
        "loads such a model all the same, and fails requests that read one of them. Export it again, or check that it "
        "was copied whole."
    )
