"""TFX's fileio: TensorFlow's file systems, and those that are registered with TFX as plug-ins."""

from __future__ import annotations

import tensorflow as tf
from tfx.dsl.io import fileio, filesystem_registry

from infraval import storage
from infraval.storage import globbing


def schemes() -> set[str]:
    """Of TensorFlow's file systems; TFX does not list its plug-ins."""
    return {*tf.io.gfile.get_registered_schemes()} - {""}


def knows(scheme: str) -> bool:
    """Whether a plug-in or TensorFlow has a file system for a scheme."""
    if scheme in schemes():
        return True
    # TFX passes on to TensorFlow whatever no plug-in has, and s3 and hdfs, for which TensorFlow may have nothing.
    plug_ins = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
    fallback = plug_ins.get_filesystem_for_scheme("nobody-has-this://")
    return plug_ins.get_filesystem_for_scheme(f"{scheme}://") is not fallback


FILES = storage.Files(
    open=fileio.open,
    exists=fileio.exists,
    isdir=fileio.isdir,
    listdir=fileio.listdir,
    walk=fileio.walk,
    makedirs=fileio.makedirs,
    remove=fileio.remove,
    rmtree=fileio.rmtree,
    # Plug-ins need not have a `glob`.
    glob=lambda pattern: globbing.matches(pattern, fileio.exists, fileio.isdir, fileio.listdir),
    rename=lambda old, new: fileio.rename(old, new, overwrite=True),
    size=lambda uri: int(fileio.stat(uri).length),
    # TensorFlow's errors, and from TFX's other file systems OSError.
    failures=(OSError, tf.errors.OpError),
    not_found=(fileio.NotFoundError, FileNotFoundError, tf.errors.NotFoundError),
)
