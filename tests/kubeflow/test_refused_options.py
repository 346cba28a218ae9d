"""Options of `run_kubeflow.py` that are refused before kfp, TFX or TensorFlow is imported, and why some are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.dsl.io import fileio


def test_a_name_that_kfp_does_not_read_is_refused(run_kubeflow: Any, tmp_path: Path) -> None:
    """KFP goes by the ending, and TFX would write another format for it."""
    finished = run_kubeflow(tmp_path / "digits.json")

    assert finished.returncode == 2
    assert "has to end in .yaml" in finished.stderr
    assert not (tmp_path / "digits.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--pipeline-root", "demo/kfp"),
            "'demo/kfp' is neither a URI such as gs://BUCKET/digits nor an absolute path",
        ),
        (("--pipeline-root", ""), "'' is neither a URI"),
        (("--pipeline-root", "gs:bucket/digits"), "'gs:bucket/digits' is neither a URI"),
        (("--pipeline-root", "gs://"), "'gs://' is neither a URI"),
        (("--push-to", "models"), "argument --push-to: 'models' is neither a URI"),
        (("--data", "bucket/data"), "argument --data: 'bucket/data' is neither a URI"),
        (("--host", "http://localhost", "--poll", "0"), "0 is no number of seconds to wait"),
        (("--host", "http://localhost", "--poll", "nan"), "nan is no number of seconds to wait"),
        (("--host", "https://me:word@kfp"), "argument --host: a URL here may not hold credentials"),
        (("--parameter", "request_spec={}"), "are for a run: give its --host too"),
        (("--run-name", "first"), "are for a run: give its --host too"),
    ],
)
def test_options_that_no_run_can_come_of_are_refused(
    run_kubeflow: Any, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    """At once and by name, not by every task later; and no option is passed over in silence."""
    finished = run_kubeflow(tmp_path / "digits.yaml", *flags)

    assert finished.returncode == 2
    assert said in finished.stderr.splitlines()[-1]
    assert "word" not in finished.stderr
    assert not (tmp_path / "digits.yaml").exists()


@pytest.mark.parametrize("scheme", ["minio", "s3"])
def test_what_tfx_cannot_read(scheme: str) -> None:
    """As docs/reference/kubeflow.md says: TFX names the scheme s3, and TensorFlow left it out."""
    with pytest.raises(tf.errors.UnimplementedError, match=f"'{scheme}' not implemented"):
        fileio.makedirs(f"{scheme}://mlpipeline/digits")
