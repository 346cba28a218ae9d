"""Reads what a server counts from its page for Prometheus, which is as untrusted as the model that it serves."""

from __future__ import annotations

import re

from infraval import evidence
from infraval.sandbox import base, metrics_page

_NUMBER = re.compile(rb"[0-9]{1,19}")

_MAX_LINES = 100_000
"""TF Serving 2.16.1 has about 500 with one model."""


def read(sandbox: base.Sandbox) -> evidence.Counters | None:
    """What the server in a sandbox has counted; None if its page is not served."""
    try:
        page = sandbox.metrics()
    except metrics_page.NoPageError as error:
        return evidence.Counters(unknown=str(error))
    return None if page is None else parse(page)


def parse(page: bytes) -> evidence.Counters:
    """What a page says of the counters; of one that is there with several labels, the sum."""
    lines = page.split(b"\n", _MAX_LINES)[:_MAX_LINES]
    return evidence.Counters(
        graph_builds=_value(lines, b":tensorflow:core:graph_build_calls"),
        xla_compilations=_value(lines, b":tensorflow:core:xla_compilations"),
        warmup_records=_value(lines, b":tensorflow:serving:model_warmup_records_read"),
    )


def moved(before: evidence.Counters | None, after: evidence.Counters | None) -> dict[str, int | None]:
    """How far the counters moved that must not when a request comes to a warm model, by field of `evidence.Latency`."""

    def by(start: int | None, end: int | None) -> int | None:
        return None if start is None or end is None else max(0, end - start)

    if before is None or after is None:
        return {}
    return {
        "graph_builds": by(before.graph_builds, after.graph_builds),
        "xla_compilations": by(before.xla_compilations, after.xla_compilations),
    }


def _value(lines: list[bytes], name: bytes) -> int | None:
    """The counter's value; 0 if nothing was counted yet, None if it is not there or not a number."""
    if b"# TYPE " + name + b" counter" not in lines:
        return None
    total = 0
    for line in lines:
        if line.startswith(name + b"{"):
            number = line.rpartition(b"} ")[2]
            if not _NUMBER.fullmatch(number):
                return None
            total += int(number)
    return total
