"""Where the demo's data comes from and where its results go."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PIPELINE_NAME = "taxi"

RESULTS = Path(__file__).resolve().parents[1] / "demo"
"""Everything the demo writes; `make clean` removes it."""

PIPELINE_ROOT = RESULTS / "artifacts"
METADATA = RESULTS / "metadata.sqlite"
SERVING_MODEL = RESULTS / "serving_model" / PIPELINE_NAME
"""A model base path with numbered versions, ready for `tensorflow_model_server` or `infraval serve`."""


def tfx_testdata() -> Path:
    """The Chicago-taxi Examples and the models that the tfx wheel carries."""
    found = importlib.util.find_spec("tfx")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("The demo needs tfx: pip install 'tfx-infraval[tfx]'.")
    return Path(found.origin).parent / "components" / "testdata"
