"""Trainer's module: a small CNN for 8x8 digits, exported with every kind of signature that TF Serving calls."""

from __future__ import annotations

import keras
import tensorflow as tf
from tfx import v1 as tfx

_SIDE = 8
_DIGITS = 10
_TOP = 5
_BATCH_SIZE = 32
_EPOCHS = 15


def run_fn(fn_args: tfx.components.FnArgs) -> None:
    """Trains the model on the train split and exports it to `fn_args.serving_model_dir`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((_SIDE, _SIDE, 1)),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(_DIGITS, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        _dataset(fn_args.train_files).shuffle(2048, seed=0).batch(_BATCH_SIZE),
        validation_data=_dataset(fn_args.eval_files).batch(_BATCH_SIZE),
        epochs=_EPOCHS,
        verbose=2,
    )
    _export(model, fn_args.serving_model_dir)


def _dataset(patterns: list[str]) -> tf.data.Dataset:
    """(image, label) pairs, cached; images are float32 [8, 8, 1]."""

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(
            serialized, {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
        )
        return _decode(example["image"]), example["label"]

    files = tf.io.gfile.glob(patterns)
    return tf.data.TFRecordDataset(sorted(files), compression_type="GZIP").map(parse).cache()


def _decode(png: tf.Tensor) -> tf.Tensor:
    """Decodes one greyscale PNG of any size: float32 [8, 8, 1], within 0 and 1."""
    pixels = tf.image.convert_image_dtype(tf.io.decode_png(png, channels=1), tf.float32)
    return tf.ensure_shape(tf.image.resize(pixels, (_SIDE, _SIDE), antialias=True), (_SIDE, _SIDE, 1))


def _export(model: keras.Model, directory: str) -> None:
    """Writes the SavedModel.

    `ExportArchive`, because `tf.saved_model.save` of a Keras 3 model writes one that TF Serving loads but cannot
    serve: it does not find the variables.
    """

    def of_images(images: tf.Tensor) -> tf.Tensor:
        return model(tf.map_fn(_decode, images, fn_output_signature=tf.TensorSpec((_SIDE, _SIDE, 1), tf.float32)))

    def of_examples(serialized: tf.Tensor) -> tf.Tensor:
        return of_images(tf.io.parse_example(serialized, {"image": tf.io.FixedLenFeature([], tf.string)})["image"])

    def serving_default(x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images -> `probabilities` [?, 10]."""
        # TensorFlow Serving does not compare a request with the signature, and a convolution of another rank aborts it.
        return {"probabilities": model(tf.ensure_shape(x, (None, _SIDE, _SIDE, 1)))}

    def serving_preprocess(raw_images: tf.Tensor) -> dict[str, tf.Tensor]:
        """PNGs -> the likeliest five `labels` [?, 5], and their `probabilities` [?, 5]."""
        probabilities, labels = tf.math.top_k(of_images(raw_images), _TOP)
        return {"labels": tf.as_string(labels), "probabilities": probabilities}

    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """tf.Examples -> every class and its score, [?, 10] each, as Classify wants them."""
        scores = of_examples(inputs)
        digits = tf.as_string(tf.range(_DIGITS))
        return {"classes": tf.repeat(digits[tf.newaxis], tf.shape(scores)[0], axis=0), "scores": scores}

    def regress(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """tf.Examples -> the expected digit [?], as Regress wants it."""
        return {"outputs": tf.linalg.matvec(of_examples(inputs), tf.range(_DIGITS, dtype=tf.float32))}

    archive = keras.export.ExportArchive()
    archive.track(model)
    images = tf.TensorSpec((None, _SIDE, _SIDE, 1), tf.float32, name="x")
    archive.add_endpoint("serving_default", serving_default, [images])
    for endpoint, name in ((serving_preprocess, "raw_images"), (classify, "inputs"), (regress, "inputs")):
        archive.add_endpoint(endpoint.__name__, endpoint, [tf.TensorSpec((None,), tf.string, name=name)])
    archive.write_out(directory)
