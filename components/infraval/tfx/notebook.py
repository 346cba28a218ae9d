"""What TFX's InteractiveContext shows of a blessing in a notebook: the page."""

from __future__ import annotations

import importlib.util

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts

from infraval.report import page


def register() -> None:
    """Registers what `InteractiveContext.show` shows of an InfraBlessing, if there can be a notebook at all."""
    if importlib.util.find_spec("IPython") is None:
        return
    try:
        from tfx.orchestration.experimental.interactive import visualizations  # noqa: PLC0415 - may not be there
    except ImportError:
        return

    class InfraBlessingVisualization(visualizations.ArtifactVisualization):
        """The page in a frame of its own."""

        ARTIFACT_TYPE = standard_artifacts.InfraBlessing

        def display(self, artifact: types.Artifact) -> None:
            """Shows the page that the blessing holds; one of TFX's InfraValidator holds none."""
            from IPython import display  # noqa: PLC0415 - takes a moment, and only a notebook needs it

            path = f"{artifact.uri}/{page.PAGE}"
            if fileio.exists(path):
                with fileio.open(path, "rb") as file:
                    framed = page.frame(file.read().decode())
                # Without an element around it, IPython warns that it has a class for frames, which needs a URL.
                display.display(display.HTML(f"<div>{framed}</div>"))

    visualizations.get_registry().register(InfraBlessingVisualization)
