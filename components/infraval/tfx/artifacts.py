"""Where a Model artifact has its SavedModel, and how artifacts are copied: through TFX's file system."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from infraval import errors, remote, storage
from infraval.storage import tfx_files

fetch = functools.partial(remote.fetch, tfx_files.FILES)
results = functools.partial(remote.results, tfx_files.FILES)


def serving_model(uri: str, *, old: bool) -> str:
    """The URI of the SavedModel in a Model artifact.

    Args:
      uri: the artifact's.
      old: whether it has the layout of an earlier TFX (`path_utils.is_old_model_artifact`).

    Raises:
      ModelError: the artifact cannot be read, holds several exports, or has another layout.
    """
    try:
        path = str(path_utils.serving_model_path(uri, old))
        _check_layout(uri, path)
    except (RuntimeError, OSError, tf.errors.OpError) as error:
        raise errors.ModelError(f"No SavedModel can be found in the Model at {uri}: {storage.cause(error)}.") from error
    return path


def _check_layout(uri: str, path: str) -> None:
    """Checks that the directory in which TFX looks for the SavedModel is there, unless nothing at all is."""
    if not fileio.isdir(uri) or fileio.isdir(path):
        return
    name = PurePosixPath(path).name
    what = "Export it there, or, for an Importer, give its source_uri that layout."
    if any(fileio.exists(f"{uri}/{file}") for file in remote.LAST_FILES):
        what = "This one has its SavedModel at the top; move all of it into that directory."
    raise errors.ModelError(
        f"The Model at {uri} has no directory {name}. TFX expects the SavedModel of a Model artifact there, as "
        f"{uri}/{name}/saved_model.pb, which is where run_fn writes it (fn_args.serving_model_dir). {what}",
        code="model/missing",
    )


def write_page(page: Path, uri: str) -> None:
    """Puts the page where it is shown: Kubeflow Pipelines shows the file at an artifact's URI.

    Other runners have made a directory there; it gets the page, for the URI must stay as it is.

    Raises:
      OutputError: it cannot be written.
    """
    target = f"{uri}/{page.name}" if fileio.isdir(uri) else uri
    try:
        try:
            _write(target, page.read_bytes())
        except tfx_files.FILES.not_found:
            # Not before it is needed: an object store has no directories.
            fileio.makedirs(target.rpartition("/")[0])
            _write(target, page.read_bytes())
    except tfx_files.FILES.failures as error:
        raise errors.OutputError(f"The page cannot be written to {target}: {storage.cause(error)}.") from error


def _write(uri: str, content: bytes) -> None:
    with fileio.open(uri, "wb") as file:
        file.write(content)
