"""Stage 4: the evidence of one server in, what each gate finds in it out.

A new gate is a file in this folder, with its options as attributes, and an entry in `GATES`.
"""

from __future__ import annotations

from collections.abc import Sequence

from infraval import evidence, verdict
from infraval.gates.base import Gate
from infraval.gates.load import Load
from infraval.gates.responses import Responses
from infraval.gates.unchanged import Unchanged
from infraval.gates.warmup import Warmup

__all__ = ["GATES", "Gate", "judge"]

GATES: tuple[Gate, ...] = (Load(), Responses(), Warmup(), Unchanged())
"""In the order of the report: each looks at what the ones before it made possible."""


def judge(shown: evidence.Evidence, gates: Sequence[Gate] = GATES) -> verdict.ServerVerdict:
    """What every gate finds.

    Args:
      shown: what one server did.
      gates: the gates to ask, in order.
    """
    return verdict.ServerVerdict(shown, tuple(gate.judge(shown) for gate in gates))
