"""Runs the pipeline with TFX's LocalDagRunner; `make demo`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import warnings
from pathlib import Path

import config


def main() -> int:
    """Runs the pipeline from a clean slate and says what was pushed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--results",
        type=lambda text: Path(text).resolve(),
        default=config.RESULTS,
        help="where everything goes; emptied first",
    )
    parser.add_argument("--verbose", action="store_true", help="show what TFX and TensorFlow log")
    options = parser.parse_args()
    if not options.verbose:
        # TensorFlow's C++ part reads it once, when it is first imported.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
    print("Importing TFX takes a while …", flush=True)

    from tfx import v1 as tfx  # noqa: PLC0415

    import pipeline  # noqa: PLC0415 - imports TensorFlow, which has to wait for the lines above
    from infraval import console, inspection  # noqa: PLC0415

    locations = config.Locations(options.results)
    shutil.rmtree(options.results, ignore_errors=True)
    options.results.mkdir(parents=True)
    print("Examples, Model → WarmupInfraValidator → Pusher …", flush=True)
    tfx.orchestration.LocalDagRunner().run(pipeline.make_pipeline(locations, config.tfx_testdata()))

    (report,) = locations.pipeline_root.glob("WarmupInfraValidator/blessing/*/report.json")
    console.show_report(json.loads(report.read_text()))
    pushed = sorted(locations.serving_model.glob("*"))
    if not pushed:
        print("Pusher pushed nothing.")
        return 1
    print(f"Pushed to {pushed[-1]}")
    console.show_inspection(inspection.inspect(pushed[-1]))
    print(
        f"Serve it: infraval serve --port=8500 --model_name={config.NAME} --model_base_path={locations.serving_model}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
