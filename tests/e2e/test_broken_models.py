"""Models broken on purpose, through our executor and TFX's Pusher: what cannot serve is not pushed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import json_format
from tfx.components.pusher import executor as pusher_executor
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from infraval import options
from infraval.tfx.executor import Executor

pytestmark = pytest.mark.slow

Preprocess = Callable[[tf.Tensor], tf.Tensor]
Export = Callable[..., standard_artifacts.Model]
Deliver = Callable[[standard_artifacts.Model], tuple[standard_artifacts.InfraBlessing, list[Path]]]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """Ten 2x2 PNGs in the feature `image`, as ExampleGen leaves them."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path_factory.mktemp("examples"))
    artifact.split_names = '["eval"]'
    shard = Path(artifact.uri, "Split-eval", "data_tfrecord-00000-of-00001.gz")
    shard.parent.mkdir()
    with tf.io.TFRecordWriter(str(shard), "GZIP") as writer:
        for index in range(10):
            example = tf.train.Example()
            png = tf.io.encode_png(tf.fill((2, 2, 1), tf.cast(index, tf.uint8))).numpy()
            example.features.feature["image"].bytes_list.value.append(png)
            writer.write(example.SerializeToString())
    return artifact


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Exports `serving_preprocess`: PNGs -> a name each; `preprocess` makes numbers of the decoded pixels [2, 2, 1]."""

    def save(preprocess: Preprocess, weight: float = 1.0) -> standard_artifacts.Model:
        vocabulary = tmp_path / "vocabulary.txt"
        vocabulary.write_text("dark\nlight\n")
        module = tf.Module()
        module.weight = tf.Variable(weight)
        module.names = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(vocabulary),
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            "unknown",
        )

        def score(png: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(preprocess(tf.cast(tf.io.decode_png(png, channels=1), tf.float32)))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="raw_images")])
        def serving_preprocess(raw_images: tf.Tensor) -> dict[str, tf.Tensor]:
            scores = module.weight * tf.map_fn(score, raw_images, fn_output_signature=tf.float32)
            return {"scores": scores, "names": module.names.lookup(tf.cast(scores > 4, tf.int64))}

        artifact = standard_artifacts.Model()
        artifact.uri = str(tmp_path / "model")
        tf.saved_model.save(
            module, f"{artifact.uri}/Format-Serving", signatures={"serving_preprocess": serving_preprocess}
        )
        return artifact

    return save


@pytest.fixture
def deliver(examples: standard_artifacts.Examples, tmp_path: Path) -> Deliver:
    """WarmupInfraValidator's executor, then Pusher's: the blessing, and what is at the destination."""

    def run(model: standard_artifacts.Model) -> tuple[standard_artifacts.InfraBlessing, list[Path]]:
        blessing = standard_artifacts.InfraBlessing()
        blessing.uri = str(tmp_path / "blessing")
        context = base_beam_executor.BaseBeamExecutor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
        Executor(context).Do(
            {"model": [model], "examples": [examples]},
            {"blessing": [blessing]},
            {
                "requests": options.RequestOptions(
                    signatures=("serving_preprocess",), features=("serving_preprocess/raw_images=image",)
                ).to_json(),
                "server": options.ProcessServer(server="embedded").to_json(),
            },
        )
        pushed = standard_artifacts.PushedModel()
        pushed.uri = str(tmp_path / "pushed")
        serving = tmp_path / "serving"
        destination = pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(serving))
        )
        pusher_executor.Executor().Do(
            {"infra_blessing": [blessing]},
            {"pushed_model": [pushed]},
            {"push_destination": json_format.MessageToJson(destination)},
        )
        versions = list(serving.iterdir()) if serving.exists() else []
        assert pushed.get_int_custom_property("pushed") == len(versions)
        return blessing, versions

    return run


def _raising(pixels: tf.Tensor) -> tf.Tensor:
    return tf.debugging.check_numerics(pixels / 0.0, "these pixels")


def test_the_same_model_unbroken_is_pushed_warm(export: Export, deliver: Deliver) -> None:
    """So it is the break, and nothing else, that keeps the others back."""
    blessing, (version,) = deliver(export(tf.identity))

    assert blessing.get_string_custom_property("verdict") == "BLESSED"
    assert (version / options.WARMUP_FILE).is_file()


def test_nan_weights_are_not_pushed(export: Export, deliver: Deliver) -> None:
    """It answers every request, but not with numbers."""
    blessing, versions = deliver(export(tf.identity, weight=float("nan")))

    assert blessing.get_string_custom_property("verdict") == "NOT_BLESSED"
    assert blessing.get_string_custom_property("gate_outputs") == "failed"
    assert versions == []


def test_a_missing_asset_file_is_not_pushed(export: Export, deliver: Deliver) -> None:
    """The table's vocabulary got lost on the way: the server refuses to load the model."""
    model = export(tf.identity)
    Path(model.uri, "Format-Serving", "assets", "vocabulary.txt").unlink()

    blessing, versions = deliver(model)

    assert blessing.get_string_custom_property("verdict") == "NOT_BLESSED"
    assert "vocabulary.txt" in blessing.get_string_custom_property("reasons")
    assert versions == []


def test_a_signature_that_raises_is_not_pushed(export: Export, deliver: Deliver) -> None:
    """It loads, and fails on every request."""
    blessing, versions = deliver(export(_raising))

    assert blessing.get_string_custom_property("verdict") == "NOT_BLESSED"
    assert "INVALID_ARGUMENT" in blessing.get_string_custom_property("reasons")
    assert versions == []


def test_preprocessing_that_reads_a_file_of_the_trainers_machine_is_not_pushed(
    export: Export, deliver: Deliver, tmp_path: Path
) -> None:
    """The path is in the graph, and no asset: it works where the model was trained, and nowhere else."""
    mean = tmp_path / "training" / "mean.txt"
    mean.parent.mkdir()
    mean.write_text("4.5")
    model = export(lambda pixels: pixels - tf.strings.to_number(tf.io.read_file(str(mean))))
    shutil.rmtree(mean.parent)

    blessing, versions = deliver(model)

    assert blessing.get_string_custom_property("verdict") == "NOT_BLESSED"
    assert "NOT_FOUND" in blessing.get_string_custom_property("reasons")
    assert versions == []
