"""Ops that run Python code: TensorFlow for Python has kernels for them, TensorFlow Serving has none.

Their nodes get a `_kernel` attribute that no kernel was registered with. TensorFlow then finds no kernel for them, when
and where TensorFlow Serving finds none; only the attribute must be taken out of its message.
"""

from __future__ import annotations

import re
from typing import Any

_OPS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
_KERNEL = "infraval_server_has_none"

_ATTRIBUTE = re.compile(rf'_kernel="{_KERNEL}", |,? ?_kernel="{_KERNEL}"')
_REGISTERED = re.compile(r"(\nRegistered kernels:\n)(?:  device=[^\n]*\n)+")


def hide(graph_def: Any) -> None:
    """Makes TensorFlow find no kernels for the ops that run Python code, in a graph and in its functions."""
    for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
        for node in nodes:
            if node.op in _OPS:
                node.attr["_kernel"].s = _KERNEL.encode()


def message(text: str) -> str:
    """TensorFlow's message about a node without a kernel, as it would be if there were none for the op."""
    if _KERNEL not in text:
        return text
    return _REGISTERED.sub(r"\1  <no registered kernels>\n", _ATTRIBUTE.sub("", text))
