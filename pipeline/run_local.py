"""Runs the digits pipeline with TFX's LocalDagRunner and shows what came of it; `make demo`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import rich.console

import config
import terminal


def main() -> int:
    """Runs the pipeline; components whose inputs are those of an earlier run are not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--results",
        type=lambda text: Path(text).resolve(),
        default=config.RESULTS,
        metavar="DIR",
        help="where everything goes (default: %(default)s)",
    )
    parser.add_argument(
        "--clean", action="store_true", help="forget earlier runs in DIR; the models that they pushed stay"
    )
    parser.add_argument("--verbose", action="store_true", help="show what TFX, Beam and TensorFlow say")
    options = parser.parse_args()
    locations = config.Locations(options.results)
    if options.clean:
        clean(locations)
    locations.results.mkdir(parents=True, exist_ok=True)
    try:
        return run(locations, verbose=options.verbose)
    finally:
        if sys.exc_info()[0] is not None and not options.verbose:
            print(f"What TFX and TensorFlow said is in {locations.log}", file=sys.stderr)


def clean(locations: config.Locations) -> None:
    """Removes what earlier runs left, but for the pushed models; nothing if no run was ever there."""
    if not locations.metadata.exists():
        return
    for folder in (locations.examples, locations.pipeline_root):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (locations.log, locations.metadata):
        file.unlink(missing_ok=True)


def run(locations: config.Locations, *, verbose: bool) -> int:
    """Runs the pipeline and shows what came of it.

    Returns:
      The exit code: 0 if the model is at Pusher's destination.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        output = sys.stdout if verbose else stack.enter_context(terminal.diverted(locations.log))
        console = rich.console.Console(file=output, highlight=False, markup=False, soft_wrap=True)
        _use_temporary_directory(stack.enter_context(tempfile.TemporaryDirectory(prefix="digits-")))
        with terminal.component_progress(console, spinner=console.is_terminal and not verbose) as show:
            show("Importing TensorFlow and TFX")
            from ml_metadata import metadata_store  # noqa: PLC0415 - speaks up when it is imported, like all below
            from tfx import v1 as tfx  # noqa: PLC0415

            import digits  # noqa: PLC0415
            import pipeline  # noqa: PLC0415
            import summary  # noqa: PLC0415

            digits.write(locations.examples)
            made = pipeline.make_pipeline(locations)
            tfx.orchestration.LocalDagRunner().run(made)
        store = metadata_store.MetadataStore(made.metadata_connection_config)
        latest = summary.latest_run(store)
        summary.prune(latest, locations.pipeline_root)
        pushed = summary.show(latest, locations, console)
        console.print(f"\n{time.monotonic() - started:.0f} s in all")
    return 0 if pushed else 1


def _use_temporary_directory(directory: str) -> None:
    """TFX and Beam leave folders behind in the temporary directory, so they get one of their own."""
    tempfile.tempdir = os.environ["TMPDIR"] = directory
    # TFX installs the Trainer's module with pip, which would ask PyPI for a newer pip.
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")


if __name__ == "__main__":
    sys.exit(main())
