"""A model judged with production's files, on a stand-in server: what arrives there, and what the requests ask for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval import options, validation, verdict

MODELS = """
model_config_list {
  config { name: "bus" base_path: "/models/bus" model_platform: "tensorflow" }
  config {
    name: "taxi"
    base_path: "/models/taxi"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 41 versions: 42 } }
    version_labels { key: "stable" value: 41 }
    version_labels { key: "canary" value: 42 }
  }
}
"""
MONITORING = "prometheus_config { enable: true } # production's"
PLATFORM = 'platform_configs { key: "tensorflow" value { } }'

StandIn = Callable[[str], options.ProcessServer]
Judge = Callable[..., verdict.Verdict]


@pytest.fixture
def judge(stand_in: StandIn, upper_model: Path, secret_examples: Path, tmp_path: Path) -> Judge:
    """Validates on a server that keeps what it was given in `got`, and answers requests for a label only."""
    server = Path(stand_in("by-label").server)
    got = tmp_path / "got"
    got.mkdir()
    keep = f'for a in "$@"; do case "$a" in --*_file=*) cp "${{a#*=}}" {got}/;; esac; done; echo "$@" > {got}/flags'
    server.write_text(server.read_text().replace("\nexec", f"\n[ $1 = --version ] || {{ {keep}; }}\nexec"))
    files = {"model_config_file": MODELS, "monitoring_config_file": MONITORING, "platform_config_file": PLATFORM}
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    def validate(told: Callable[[str], None] = lambda _: None, **more: Any) -> verdict.Verdict:
        given = {name: tmp_path / name for name in files}
        job = options.Job(
            model=upper_model,
            examples=str(secret_examples),
            server=options.ProcessServer(server=str(server), model_name="taxi", **given, **more),
            gates={"outputs": {"enabled": False}, "warm": {"enabled": False}},
        )
        return validation.validate(job, progress=told)

    return validate


def test_the_model_is_judged_under_the_label_and_version_of_production(judge: Judge, tmp_path: Path) -> None:
    """The server gets the files, of which the model config leads to the staged version; requests carry the label."""
    told: list[str] = []
    judged = judge(told.append, version_label="canary")
    assert judged.blessed, judged
    got = tmp_path / "got"
    assert (got / ".monitoring_config").read_text() == MONITORING
    assert (got / ".platform_config").read_text() == PLATFORM
    config = (got / ".model_config").read_text()
    assert re.findall('name: "(.*)"|key: "(.*)"|value: (.*)', config) == [
        ("taxi", "", ""),
        ("", "canary", ""),
        ("", "", "42"),
    ]
    flags = (got / "flags").read_text().split()
    assert "--allow_version_labels_for_unavailable_models" in flags
    assert not [flag for flag in flags if flag.startswith(("--model_name", "--model_base_path"))]
    assert judged.servers[0].evidence.boot.records_replayed == 1  # found below the base path, in a directory 42
    assert [line for line in told if "bus" in line]
    assert [line for line in told if "stable" in line]


def test_requests_ask_for_no_label_unless_one_is_asked_for(judge: Judge) -> None:
    """The stand-in answers a request without a label with an error, as TF Serving does if there is none."""
    judged = judge()
    assert not judged.blessed
    (outcome,) = judged.servers[0].evidence.boot.outcomes
    assert (outcome.ok, "label" in outcome.message) == (False, True)
