"""Where the demo's data comes from and where its results go."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

NAME = "taxi"
"""Of the pipeline, and of the model that it pushes."""

RESULTS = Path(__file__).resolve().parents[1] / "demo"
"""Everything the demo writes; `make clean` removes it."""


@dataclasses.dataclass(frozen=True)
class Locations:
    """Places below the folder of the results.

    Attributes:
      results: that folder.
    """

    results: Path

    @property
    def pipeline_root(self) -> Path:
        """Artifacts of every component."""
        return self.results / "artifacts"

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.results / "metadata.sqlite"

    @property
    def serving_model(self) -> Path:
        """A model base path with numbered versions, ready for `tensorflow_model_server` or `infraval serve`."""
        return self.results / "serving_model" / NAME


def tfx_testdata() -> Path:
    """The Chicago-taxi Examples and the models that the tfx wheel carries."""
    found = importlib.util.find_spec("tfx")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("The demo needs tfx: pip install 'tfx-infraval[tfx]'.")
    return Path(found.origin).parent / "components" / "testdata"
