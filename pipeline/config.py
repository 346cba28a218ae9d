"""Where everything of the demo goes, and what its model has to reach."""

from __future__ import annotations

import dataclasses
from pathlib import Path

NAME = "digits"
"""Of the pipeline, and of the model that it pushes."""

MIN_ACCURACY = 0.95
"""On the eval split; below it Evaluator does not bless the model."""

MAX_ACCURACY_LOSS = 0.01
"""Against the latest blessed model, where a pipeline compares with it."""

RESULTS = Path(__file__).resolve().parents[1] / "demo"
"""Everything the demo writes; `make clean` removes it."""

TRAINER_MODULE = Path(__file__).resolve().with_name("modules") / "digits_trainer.py"
"""TFX packs it, and whatever Python files are next to it, for Trainer."""

TRAINER_FUNCTION = "modules.digits_trainer.run_fn"
"""The same where this folder is on Python's path, as in the component image: nothing to pack, nothing to install."""

IMAGE_EXAMPLES = "/opt/infraval/examples"
"""Where the component image has the images as tf.Examples."""


@dataclasses.dataclass(frozen=True)
class Locations:
    """Places below the folder of the results.

    Attributes:
      results: that folder, absolute.
    """

    results: Path

    @property
    def examples(self) -> Path:
        """The images as tf.Examples, a TFRecord file a split."""
        return self.results / "examples"

    @property
    def pipeline_root(self) -> Path:
        """Artifacts of every component."""
        return self.results / "artifacts"

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.results / "metadata.sqlite"

    @property
    def log(self) -> Path:
        """What TFX, Beam and TensorFlow said in the latest run."""
        return self.results / "log.txt"

    @property
    def serving_model(self) -> Path:
        """A model base path with numbered versions, ready for `tensorflow_model_server` or `infraval serve`."""
        return self.results / "serving_model" / NAME
