"""Model config files that a real TF Serving was started with: what it refuses is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infraval import errors, options
from infraval.production import model_config

CASES = json.loads((Path(__file__).parent.parent / "golden" / "config.json").read_text(encoding="utf-8"))["cases"]
FILE = "models.config"
STARTED = [case for case in CASES if FILE in case.get("files", {}) and case["steps"][0]["do"] == "start"]

WITHOUT_THE_MODEL = {
    "config_comment_only",
    "config_custom_config",
    "config_no_models",
    "config_no_name",
    "config_odd_name",
    "labels_no_value",
}
"""TF Serving starts, but has no model `a` or no version with that label."""

ABOUT_THE_MODEL = {
    "batching_per_model_malformed",
    "batching_per_model_sizes_wrong",
    "dirs_a_file_with_a_number",
    "load_fails_older_version_is_fine",
    "load_fails_one_of_two",
    "load_fails_with_retries",
}
"""What it refuses there is not in the file."""

WITHOUT_THE_FLAG = {"labels_at_start", "labels_at_start_to_unavailable", "labels_at_start_with_polling"}
"""infraval gives the server `--allow_version_labels_for_unavailable_models`, without which it refuses labels."""


@pytest.mark.parametrize("case", STARTED, ids=lambda case: case["case"])
def test_a_file_is_taken_if_the_real_server_starts_with_it(case: dict[str, Any]) -> None:
    """The recorded starts of a real server decide, but for those that are listed with their reasons."""
    name, refuses = case["case"], case["steps"][0].get("exit_code") == 255
    refuses = name in WITHOUT_THE_MODEL or (refuses and name not in ABOUT_THE_MODEL | WITHOUT_THE_FLAG)
    text = case["files"][FILE].replace("<base>", "/base")
    server = options.ProcessServer(model_config_file=FILE, model_name="a")
    if refuses:
        with pytest.raises(errors.OptionError):
            model_config.read(text.encode(), server)
    else:
        assert model_config.read(text.encode(), server).model_name == "a"
