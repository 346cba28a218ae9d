"""scikit-learn's digits as tf.Examples: 1,797 handwritten digits of 8x8 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn import datasets

SPLITS = ("train", "eval")

_EVAL_EVERY = 5
_MAX_INTENSITY = 16  # of scikit-learn's; a PNG has 255


def write(directory: Path) -> None:
    """Writes one TFRecord file a split, the same bytes in every run: every fifth image is for evaluation.

    A file that holds these bytes already is left alone: ImportExampleGen tells changed data by its time.

    Args:
      directory: gets `train.tfrecord` and `eval.tfrecord`. Their examples hold `image` (a greyscale PNG), `x` (64
        floats within 0 and 1: the same pixels, row by row) and `label` (0 to 9).
    """
    directory.mkdir(parents=True, exist_ok=True)
    loaded = datasets.load_digits()
    pixels = np.rint(loaded.images * (255 / _MAX_INTENSITY)).astype(np.uint8)
    examples = [_example(image, int(label)) for image, label in zip(pixels, loaded.target, strict=True)]
    held_out = examples[::_EVAL_EVERY]
    del examples[::_EVAL_EVERY]
    for split, records in zip(SPLITS, (examples, held_out), strict=True):
        _write_if_changed(directory / f"{split}.tfrecord", records)


def _example(pixels: np.ndarray, label: int) -> bytes:
    """One serialized tf.Example of uint8 pixels, shape [8, 8]."""
    png = tf.io.encode_png(pixels[..., np.newaxis]).numpy()
    scaled = (pixels / np.float32(255)).ravel()
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=scaled)),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )
    return serialized


def _write_if_changed(path: Path, records: list[bytes]) -> None:
    fresh = path.with_suffix(".fresh")
    with tf.io.TFRecordWriter(str(fresh)) as writer:
        for record in records:
            writer.write(record)
    if path.exists() and path.read_bytes() == fresh.read_bytes():
        fresh.unlink()
    else:
        fresh.replace(path)
