"""Verdict -> report.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infraval import verdict

REPORT = "report.json"


def to_dict(judged: verdict.Verdict) -> dict[str, Any]:
    """The verdict as JSON values; the keys are documented in the README and only ever added to."""
    return {
        "verdict": _verdict(blessed=judged.blessed),
        **_of_server(judged),
        "model_digest": f"sha256:{judged.digest}",
        "warmup": {
            "records": judged.warmup.records,
            "records_replayed": judged.warmup.records_replayed,
            "records_from_model": judged.warmup.from_model,
            "records_dropped": judged.warmup.dropped,
        },
        "examples": None
        if judged.examples is None
        else {
            "records_read": judged.examples.records_read,
            "dead_letters": judged.examples.dead_letters,
            "left_out": judged.examples.left_out,
        },
        "others": [
            {
                "verdict": _verdict(blessed=not other.reasons),
                **_of_server(other),
                "warmup": {"records_replayed": other.warmup.records_replayed},
            }
            for other in judged.others
        ],
    }


def reasons(judged: verdict.Verdict) -> list[str]:
    """Why the model is not blessed, a line each, with the image in front if there are several."""
    return [
        f"{each.server.image}: {reason.message}" if judged.others else reason.message
        for each in judged.each
        for reason in each.reasons
    ]


def _of_server(judged: verdict.Verdict) -> dict[str, Any]:
    return {
        "reasons": [{"gate": reason.gate.value, "message": reason.message} for reason in judged.reasons],
        "server": {
            "name": judged.server.name,
            "version": judged.server.version,
            "platform": judged.server.platform,
            "image": judged.server.image or None,
            "image_id": judged.server.image_id or None,
            "image_digest": judged.server.image_digest or None,
        },
        "tries": judged.tries,
        "load_time_s": judged.load_time_s,
        "server_log": judged.server_log,
        "cold": None if judged.cold is None else _cold(judged.cold),
        "requests": [
            {
                "signature": outcome.cell.signature,
                "method": outcome.cell.method.value,
                "batch_size": outcome.cell.batch_size,
                "code": outcome.code,
                "message": outcome.message,
                "latency_ms": _ms(outcome.latency_s),
            }
            for outcome in judged.outcomes
        ],
    }


def _verdict(*, blessed: bool) -> str:
    return "BLESSED" if blessed else "NOT_BLESSED"


def _cold(cold: verdict.Cold) -> dict[str, Any]:
    warm = {latency.cell: latency for latency in cold.warm}
    return {
        "load_time_s": cold.load_time_s,
        "cells": [
            {
                "signature": latency.cell.signature,
                "method": latency.cell.method.value,
                "batch_size": latency.cell.batch_size,
                "cold_first_ms": _ms(latency.first_s),
                "warm_first_ms": _ms(warm[latency.cell].first_s),
                "steady_ms": _ms(warm[latency.cell].steady_s),
            }
            for latency in cold.cold
            if latency.cell in warm
        ],
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def write(judged: verdict.Verdict, output: Path) -> None:
    """Writes `report.json` whole or not at all."""
    output.mkdir(parents=True, exist_ok=True)
    unfinished = output / f".{REPORT}.unfinished"
    unfinished.write_text(json.dumps(to_dict(judged), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(output / REPORT)
