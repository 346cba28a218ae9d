"""A model judged with production's model config file on the embedded server, which looks labels and versions up."""

from __future__ import annotations

from pathlib import Path

import pytest

from infraval import options, validation

MODELS = """
model_config_list {
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


@pytest.mark.parametrize("asked", [{}, {"version_label": "canary"}, {"version_label": "new", "model_version": 43}])
def test_a_model_is_blessed_under_the_label_or_version_of_production(
    asked: dict[str, str | int], upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """The server loads the staged version from the rewritten file, and answers requests that name label or version."""
    path = tmp_path / "models.config"
    path.write_text(MODELS)
    server = options.ProcessServer(server="embedded", model_config_file=path, **asked)
    judged = validation.validate(options.Job(model=upper_model, examples=str(secret_examples), server=server))
    boot = judged.servers[0].evidence.boot
    assert judged.blessed, judged
    assert boot.records_replayed == judged.warmup.records == 1
    assert boot.server.ignored_flags == ()
