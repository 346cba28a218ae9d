"""Runs the pipeline with TFX's LocalDagRunner; `make demo`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import warnings
from pathlib import Path


def main() -> int:
    """Runs the pipeline from a clean slate and says what was pushed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="show what TFX and TensorFlow log")
    quiet = not parser.parse_args().verbose
    if quiet:
        # TensorFlow's C++ part reads it once, when it is first imported.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        warnings.simplefilter("ignore")
    print("Importing TFX takes a while …", flush=True)

    from absl import logging  # noqa: PLC0415 - whatever imports TensorFlow has to wait for the lines above
    from tfx import v1 as tfx  # noqa: PLC0415

    from infraval import console, inspection  # noqa: PLC0415

    sys.path.insert(0, str(Path(__file__).parent))
    import config  # noqa: PLC0415
    import pipeline  # noqa: PLC0415

    logging.set_verbosity(logging.ERROR if quiet else logging.INFO)
    shutil.rmtree(config.RESULTS, ignore_errors=True)
    config.RESULTS.mkdir()
    testdata = config.tfx_testdata()
    print("Examples, Model → WarmupInfraValidator → Pusher …", flush=True)
    tfx.orchestration.LocalDagRunner().run(
        pipeline.make_pipeline(
            name=config.PIPELINE_NAME,
            root=config.PIPELINE_ROOT,
            metadata=config.METADATA,
            examples=testdata / "csv_example_gen",
            model=testdata / "trainer" / "current",
            serving_model=config.SERVING_MODEL,
        )
    )
    pushed = sorted(config.SERVING_MODEL.glob("*"))
    if not pushed:
        print("The model was not blessed, so Pusher pushed nothing.", file=sys.stderr)
        return 1
    print(f"Pushed {pushed[-1]}")
    console.show_inspection(inspection.inspect(pushed[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
