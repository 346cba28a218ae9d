"""Bad input ends with exit code 2 before any server starts, and one sentence says what is wrong and what to do.

The command line runs in this process, so that TensorFlow is imported once for all of them.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click.testing
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2
from tensorflow.core.protobuf import saved_model_pb2

import infraval
from infraval import errors, options

ODD_MODELS = Path(__file__).parents[1] / "golden" / "models" / "odd"

NO_SERVER = "/nowhere/tensorflow_model_server"

STOPPED = pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")
"""protobuf 3.20's way to say that it stopped in the middle."""

NOT_RESET = HealthCheck.function_scoped_fixture
"""Examples of one test share its folders, which every run leaves as it found them."""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process makes its temporary folders; empty, and with a path that leaves room for a socket below it."""
    with tempfile.TemporaryDirectory(prefix="bad-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@dataclasses.dataclass(frozen=True)
class Material:
    """Good input, and a folder to make bad input in.

    Attributes:
      folder: is empty.
      model: the recorded sink.
      examples: a shard that feeds several of its signatures.
      records: what the shard holds; there is the secret in each.
    """

    folder: Path
    model: Path
    examples: Path
    records: Sequence[bytes]

    def file(self, name: str, content: bytes) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def shard(self, *records: bytes) -> Path:
        """A plain shard of these records."""
        path = self.folder / "records"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        return path

    def two_graphs(self) -> Path:
        """A model with two MetaGraphDefs."""
        saved_model = saved_model_pb2.SavedModel.FromString((self.model / "saved_model.pb").read_bytes())
        saved_model.meta_graphs.add().CopyFrom(saved_model.meta_graphs[0])
        saved_model.meta_graphs[1].meta_info_def.tags.append("gpu")
        return self.file("two/saved_model.pb", saved_model.SerializeToString()).parent


def _record(secret: str, *, values: int, name: str = "x") -> bytes:
    example = example_pb2.Example()
    example.features.feature[name].float_list.value.extend([0.5] * values)
    example.features.feature["text"].bytes_list.value.append(secret.encode())
    return example.SerializeToString()


@pytest.fixture
def material(tmp_path: Path, sink_model: Path, secret: str) -> Material:
    """Good input that every row spoils in its own way."""
    given_material = Material(tmp_path / "material", sink_model, tmp_path / "good", [_record(secret, values=3)] * 20)
    given_material.folder.mkdir()
    given_material.shard(*given_material.records).rename(given_material.examples)
    return given_material


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of bad input.

    Attributes:
      name: as in the table of docs/guide/judging.md.
      spoil: makes the options that are wrong; `model`, `examples`, `output` and `server` replace the good ones, None
        leaves one out.
      says: what the message says is wrong, a pattern.
      advice: what the message says to do, a pattern.
    """

    name: str
    spoil: Callable[[Material], Sequence[object]]
    says: str
    advice: str


ROWS = [
    Row("no such model", lambda m: ["--model", m.folder / "no"], "There is no directory .*/no", "Set --model"),
    Row("no saved_model.pb", lambda m: ["--model", m.folder], "does not contain saved_model.pb", "Set --model"),
    Row(
        "a base path",
        lambda m: ["--model", m.model.parent],
        "does not contain saved_model.pb",
        "one of the versions in it: 1",
    ),
    Row(
        "a text for a saved_model.pb",
        lambda m: ["--model", m.file("t/saved_model.pb", b"the text").parent],
        "corrupt and cannot be parsed",
        "Export it again",
    ),
    Row(
        "half a saved_model.pb",
        lambda m: ["--model", m.file("h/saved_model.pb", (m.model / "saved_model.pb").read_bytes()[:9999]).parent],
        "corrupt and cannot be parsed",
        "Export it again",
    ),
    Row(
        "an empty saved_model.pb",
        lambda m: ["--model", m.file("e/saved_model.pb", b"").parent],
        "has no MetaGraphDef",
        "Export it again",
    ),
    Row(
        "several tag sets",
        lambda m: ["--model", m.two_graphs()],
        "several MetaGraphDefs, with the tags serve; gpu,serve",
        "Select one by its tags with --tag-set",
    ),
    Row("an unknown tag set", lambda _: ["--tag-set", "tpu"], "no MetaGraphDef with the tags tpu", "with: serve"),
    Row(
        "an unknown signature",
        lambda _: ["--signature", "predict"],
        "no signature 'predict'",
        "signatures are: classify, .*two_inputs",
    ),
    Row(
        "an unknown method",
        lambda _: ["--signature", "classify:session_run"],
        "does not name a method",
        "Write SIGNATURE:METHOD with one of predict, classify, regress",
    ),
    Row(
        "a method that the signature cannot serve",
        lambda _: ["--signature", "regress:classify"],
        "'regress' cannot serve classify",
        "it needs an output named classes or scores",
    ),
    Row(
        "a pair that cannot be served",
        lambda _: ["--multi-inference", "classify,logs"],
        "'logs' can serve neither classify nor regress",
        "cannot be in --multi-inference",
    ),
    Row(
        "no pair",
        lambda _: ["--multi-inference", "classify"],
        "not a pair of different signatures",
        "Write SIGNATURE,SIGNATURE",
    ),
    Row(
        "a glob without a match",
        lambda m: ["--examples", m.folder / "no-*"],
        "No file matches .*/no-",
        "--examples .* to TFRecord files",
    ),
    Row(
        "one glob of two without a match",
        lambda m: ["--examples", m.examples, "--examples", m.folder / "no-*"],
        "No file matches .*/no-",
        "--examples .* to TFRecord files",
    ),
    Row(
        "a shard that is none",
        lambda m: ["--examples", m.file("shard", b"name,age\nGrace.Hopper.1906,85\n" * 9)],
        "shard is corrupt",
        "Write the examples again, or leave the file out",
    ),
    Row(
        "a changed byte behind the first records",
        lambda m: ["--examples", m.file("shard", m.examples.read_bytes()[:-9] + b"?" * 9)],
        "shard is corrupt",
        "Write the examples again, or leave the file out",
    ),
    Row(
        "gzip without .gz",
        lambda m: ["--examples", m.file("shard", gzip.compress(m.examples.read_bytes()))],
        r"not compressed as its name says \(\.gz is gzip\)",
        "Write the examples again",
    ),
    Row(
        ".gz without gzip",
        lambda m: ["--examples", m.file("shard.gz", m.examples.read_bytes())],
        r"not compressed as its name says \(\.gz is gzip\)",
        "Write the examples again",
    ),
    Row(
        "half a gzip file",
        lambda m: ["--examples", m.file("shard.gz", gzip.compress(m.examples.read_bytes())[:-1])],
        "shard.gz is corrupt, .*cut off",
        "Write the examples again",
    ),
    Row("no record", lambda m: ["--examples", m.file("shard", b"")], "The examples have no records", "to other files"),
    Row(
        "an unmapped input",
        lambda _: ["--signature", "two_inputs"],
        r"Input 'a' \(float\[\?\]\) of signature 'two_inputs' has no feature",
        "Map one with --feature two_inputs/a=FEATURE",
    ),
    Row(
        "a mapping of no input",
        lambda _: ["--feature", "serving_default/y=x"],
        "'serving_default/y' does not name an input of the model",
        "Write SIGNATURE/INPUT=FEATURE.*serving_default/x",
    ),
    Row(
        "a mapping of an input twice",
        lambda _: ["--feature", "serving_default/x=x", "--feature", "serving_default/x=y"],
        "names the input serving_default/x twice",
        "Name it once",
    ),
    Row(
        "a mapping that nothing asks for",
        lambda _: ["--feature", "logs/x=x"],
        "maps the input logs/x, but no Predict request",
        "Add its signature to --signature .* or drop the mapping",
    ),
    Row(
        "a constant for no input",
        lambda _: ["--input", "serving_default/y=1"],
        "'serving_default/y' does not name an input",
        "Write SIGNATURE/INPUT=VALUE.*serving_default/x",
    ),
    Row(
        "a constant that is not JSON",
        lambda _: ["--signature", "strings", "--input", "strings/s=text"],
        "cannot feed strings/s .* is not JSON",
        "a string needs double quotes",
    ),
    Row(
        "a constant of the wrong shape",
        lambda _: ["--input", "serving_default/x=[[1, 2]]"],
        r"cannot feed serving_default/x \(float\[\?, 3\]\)",
        r"has the shape \[1, 2\]",
    ),
    Row(
        "a constant that nothing asks for",
        lambda _: ["--input", "logs/x=[1]"],
        "gives the input logs/x, but no Predict request",
        "Add its signature to --signature .* or drop the value",
    ),
    Row(
        "an input without a batch dimension",
        lambda _: ["--model", ODD_MODELS / "inputs" / "1", "--signature", "only_scalar"],
        "Input 'k' .* has no batch dimension",
        "--input only_scalar/k=JSON",
    ),
    Row(
        "a sparse input",
        lambda _: ["--model", ODD_MODELS / "composite" / "1", "--signature", "sparse_in"],
        "Input 's' .* part of, a sparse tensor. Sparse and ragged inputs are not supported",
        "Name other signatures with --signature",
    ),
    Row(
        "no feature of the mapped name",
        lambda _: ["--feature", "serving_default/x=X"],
        "no feature 'X' .*20 times",
        "Fix the examples or --feature",
    ),
    Row(
        "a feature of the wrong dtype",
        lambda _: ["--feature", "serving_default/x=text"],
        "feature 'text' has kind bytes_list, but input 'x' needs float_list",
        "Fix the examples or --feature",
    ),
    Row(
        "a feature of the wrong size",
        lambda _: ["--signature", "logs"],
        r"feature 'x' has the wrong number of values for input 'x' \(float\[\]\)",
        "Fix the examples or --feature",
    ),
    Row(
        "a sparse feature",
        lambda m: ["--examples", m.shard(*(_record("Grace.Hopper.1906", values=n % 5) for n in range(20)))],
        "16 of 20 records cannot feed .* the wrong number of values for input 'x'",
        "Fix the examples or --feature",
    ),
    Row(
        "a batch size of 0",
        lambda _: ["--batch-size", 0],
        "'--batch-size': 0 is not in the range x>=1",
        "'infraval validate --help'",
    ),
    Row(
        "a batch size twice",
        lambda _: ["--batch-size", 2, "--batch-size", 2],
        "--batch-size names 2 twice",
        "name it once",
    ),
    Row(
        "a batch size over the file's maximum",
        lambda m: [
            "--batch-size",
            9,
            "--batching-parameters-file",
            m.file("batching", b"max_batch_size { value: 8 }"),
        ],
        "--batch-size .* 9 is over the maximum of 8 in .*/batching",
        "Use a smaller one, or raise max_batch_size",
    ),
    Row(
        "a batching parameters file that is none",
        lambda m: ["--batching-parameters-file", m.file("batching", b"max_batch: 8")],
        "is not a text-format BatchingParameters",
        'no field named "max_batch"',
    ),
    Row(
        "more than 1000 cells",
        lambda _: [argument for size in range(1, 1002) for argument in ("--batch-size", size)],
        "1 signatures at 1001 batch sizes make 1001 cells",
        "--max-warmup-records .* is 1000. Use fewer",
    ),
    Row(
        "more cells than may be written",
        lambda _: ["--max-warmup-records", 1, "--signature", "classify", "--signature", "scalar"],
        "2 signatures at 1 batch sizes make 2 cells",
        "--max-warmup-records .* is 1. Use fewer",
    ),
    Row("an output that is a file", lambda m: ["--output", m.file("o", b"1")], "/o is not a directory", "Set --output"),
    Row(
        "an output that cannot be made",
        lambda m: ["--output", m.file("o", b"1") / "new"],
        "/o/new cannot be written",
        "no permission to write to .*/o",
    ),
    Row(
        "an output that is not empty",
        lambda m: ["--output", m.file("o/precious", b"1").parent],
        "/o is not empty; nothing in it was touched",
        "Set --output .* to a new directory",
    ),
    Row(
        "a warmup policy without a warmup",
        lambda _: ["--no-warmup", "--existing-warmup", "merge"],
        "--existing-warmup is about the warmup file, and --no-warmup says to write none",
        "drop one or the other",
    ),
    Row(
        "a warmup limit without a warmup",
        lambda _: ["--no-warmup", "--max-warmup-records", 1000],
        "--max-warmup-records is about the warmup file",
        "drop one or the other",
    ),
    Row(
        "a server on another platform",
        lambda _: ["--platform", "docker"],  # the good input names a server
        "--server is an option of the process platform only",
        "drop it or choose that platform",
    ),
    Row(
        "an image without Docker",
        lambda _: ["--image", "tensorflow/serving"],
        "--image is an option of the docker platform only",
        "drop it or choose that platform",
    ),
    Row(
        "a memory limit in words",
        lambda _: ["--memory", "plenty"],
        "Invalid value for '--memory'",
        "such as 4g or 512m",
    ),
    Row(
        "ops for another server",
        lambda _: ["--import-ops", "ops", "--server", NO_SERVER],
        "--import-ops is for the embedded server, and --server is /nowhere/tensorflow_model_server",
        "drop one or the other",
    ),
    Row(
        "a server that is not there",
        lambda _: ["--server", NO_SERVER],
        "/nowhere/tensorflow_model_server is not an executable file",
        "Set --server",
    ),
    Row(
        "ops that are not there",
        lambda _: ["--import-ops", "no_such_ops"],
        "--import-ops .* no_such_ops cannot be imported: ModuleNotFoundError",
        "Install it",
    ),
    Row(
        "the same target twice",
        lambda _: ["--signature", "classify", "--signature", "classify:predict"],
        "classify is requested twice",
        "Name it once",
    ),
    *(
        Row(
            f"a gate's option of an unknown output: {value}",
            lambda _, value=value: ["--gate", value, "--signature", "serving_default"],  # type: ignore[misc]
            rf"--gate {name} \(gates.{name}\) names 'z', which is not an? ",
            "There are: y",
        )
        for name, value in (
            ("outputs.range", 'outputs.range={"z": [0, 1], "y": [0, 1]}'),
            ("outputs.sums_to_one", "outputs.sums_to_one=z"),
            ("outputs.not_batched", 'outputs.not_batched=["y", "z"]'),
        )
    ),
    Row(
        "more dead letters than their share",
        lambda m: ["--examples", m.shard(*m.records[:8], *([b"Grace.Hopper.1906"] * 2))],
        r"2 of 10 records cannot feed .*: not a tf.Example \(2 times\)",
        "Fix the examples or --feature .*, or raise --max-dead-letter-share",
    ),
    Row(
        "dead letters where none may be",
        lambda m: ["--examples", m.shard(*m.records, b"Grace.Hopper.1906"), "--max-dead-letter-share", 0],
        "1 of 21 records cannot feed .* a share of 0 may be left out",
        "Fix the examples or --feature .*, or raise --max-dead-letter-share",
    ),
    *(
        Row(
            f"{option} without examples",
            lambda _, option=option, value=value: ["--examples", None, option, value],  # type: ignore[misc]
            f"{option} is about the requests, and there are no --examples",
            "drop one or give the other",
        )
        for option, value in (
            ("--signature", "classify"),
            ("--multi-inference", "classify,regress"),
            ("--feature", "logs/x=x"),
            ("--input", "logs/x=[1]"),
            ("--batch-size", 1),
            ("--num-examples", 1),
            ("--seed", 0),
            ("--max-dead-letter-share", 0.1),
            ("--existing-warmup", "keep"),
            ("--max-warmup-records", 9),
        )
    ),
]


def _arguments(material: Material, output: Path, spoiled: Sequence[object]) -> list[object]:
    """A command line that is good but for what was spoiled."""
    good = {"--model": material.model, "--examples": material.examples, "--output": output, "--server": "embedded"}
    kept = [part for option, value in good.items() if option not in spoiled for part in (option, value)]
    return ["validate", *kept, *([] if None in spoiled[:2] else spoiled[:2]), *spoiled[2:]]


def _tree(folder: Path) -> dict[str, str]:
    """Every path under a folder, with the hash of a file's content."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in folder.rglob("*")
    }


def _message(result: click.testing.Result, temporary: Path) -> str:
    """The message of a run that ended as bad input has to end."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Booting" not in result.stderr
    assert "Traceback" not in result.stderr
    assert "please report" not in result.stderr
    assert list(temporary.iterdir()) == []
    return result.stderr


@STOPPED
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_ends_before_a_server_starts(
    row: Row,
    material: Material,
    invoke: Callable[..., click.testing.Result],
    temporary: Path,
    tmp_path: Path,
    secret: str,
) -> None:
    """Exit code 2, one sentence on what is wrong and what to do, nothing of the examples in it, nothing written."""
    output = tmp_path / "results"
    arguments = _arguments(material, output, row.spoil(material))
    before = _tree(tmp_path)

    message = _message(invoke(*arguments), temporary)

    assert _tree(tmp_path) == before
    assert secret not in message
    *progress, last = message.strip().splitlines()
    # Of wrong values click writes its own two lines of usage first.
    assert all(re.match("infraval: (Building|Left out|Importing)|Usage|Try|$", line) for line in progress)
    assert re.match("infraval: |Error: ", last)
    assert re.search(row.says, last)
    assert re.search(row.advice, message)


@pytest.mark.parametrize(
    ("spoiled", "kind", "code", "says"),
    [
        (["--signature", "predict"], "ModelError", "model/no-signature", "no signature 'predict'"),
        (["--model", "/nowhere"], "ModelError", "model/missing", "There is no directory /nowhere"),
        (["--tag-set", "tpu"], "ModelError", "model/tag-set", "no MetaGraphDef with the tags tpu"),
        (["--examples", "/nowhere"], "ExamplesError", "examples/missing", "No file matches /nowhere"),
        (["--examples", __file__], "ExamplesError", "examples/corrupt", "is corrupt"),
        (["--feature", "serving_default/x=X"], "ExamplesError", "examples/unfit", "no feature 'X'"),
        (["--signature", "two_inputs"], "ModelError", "model/not-servable", "has no feature"),
        (
            ["--model", ODD_MODELS / "composite" / "1", "--signature", "sparse_in"],
            "ModelError",
            "model/composite-input",
            "",
        ),
        (["--examples", os.fsdecode(b"\xff")], "OptionError", "option/invalid", "--examples must be valid UTF-8"),
        (["--model", os.fsdecode(b"\xff")], "ModelError", "model/missing", r"no directory \udcff"),
        (["--output", "nowhere://bucket"], "OptionError", "option/invalid", "no file system for nowhere://"),
        (["--output", "/"], "OutputError", "output/not-empty", "/ is not empty"),
        (["--seed", -1], "OptionError", "option/invalid", "Invalid value for '--seed': -1 is not in the range"),
        (["--sed", 1], "OptionError", "option/invalid", "No such option"),
        (["--request-timeout", "inf"], "OptionError", "option/invalid", "--request-timeout must be a finite number"),
    ],
)
def test_bad_input_as_json(
    spoiled: Sequence[object],
    kind: str,
    code: str,
    says: str,
    material: Material,
    invoke: Callable[..., click.testing.Result],
    tmp_path: Path,
) -> None:
    """The same sentence, with the kind of error, as the one JSON object; also of an option that is none."""
    result = invoke(*_arguments(material, tmp_path / "results", spoiled), "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["verdict"] is None
    assert found["error"]["kind"] == kind
    assert found["error"]["code"] == code
    assert says in found["error"]["message"]


def test_a_record_that_feeds_one_target_has_to_feed_all(
    material: Material, invoke: Callable[..., click.testing.Result], temporary: Path, tmp_path: Path, secret: str
) -> None:
    """What is rejected for one signature is rejected; the message counts it once."""
    records = [*material.records, *([_record(secret, values=3, name="z")] * 9)]
    arguments = _arguments(
        material,
        tmp_path / "results",
        ["--examples", material.shard(*records), "--signature", "classify", "--signature", "scalar"],
    )
    message = _message(invoke(*arguments), temporary)
    assert re.search(r"9 of 29 records cannot feed .*: no feature 'x' .*\(9 times\)", message)


def test_good_input_gets_to_the_server(
    material: Material, invoke: Callable[..., click.testing.Result], temporary: Path, tmp_path: Path
) -> None:
    """What the rows spoil is good: only the server ends at once here, after it has told its version."""
    server = material.file("server", b'#!/bin/sh\n[ "$1" = --version ] && echo "TensorFlow ModelServer: 2.16.1"\n')
    server.chmod(0o755)
    arguments = _arguments(material, tmp_path / "results", ["--server", server])
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Staging the model" in result.stderr
    assert "tensorflow_model_server ended with exit code 1 before it loaded the model" in result.stderr
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "results").exists()


@STOPPED
@settings(max_examples=60, suppress_health_check=[NOT_RESET])
@given(content=st.binary(max_size=60) | st.text(max_size=40).map(str.encode), name=st.sampled_from(["pb", "pbtxt"]))
def test_random_bytes_as_a_model(
    content: bytes,
    name: str,
    material: Material,
    invoke: Callable[..., click.testing.Result],
    temporary: Path,
    tmp_path: Path,
) -> None:
    """Either file of a SavedModel: no signature to call, if it parses at all."""
    directory = material.folder / name
    material.file(f"{name}/saved_model.{name}", content)
    _message(invoke(*_arguments(material, tmp_path / "results", ["--model", directory])), temporary)


@STOPPED
@settings(max_examples=60, suppress_health_check=[NOT_RESET])
@given(content=st.binary(max_size=80), gzipped=st.booleans(), suffix=st.sampled_from(["", ".gz"]))
def test_random_bytes_as_examples(
    content: bytes,
    gzipped: bool,
    suffix: str,
    material: Material,
    invoke: Callable[..., click.testing.Result],
    temporary: Path,
    tmp_path: Path,
) -> None:
    """Compressed or not, under either name."""
    path = material.file(f"shard{suffix}", gzip.compress(content) if gzipped else content)
    _message(invoke(*_arguments(material, tmp_path / "results", ["--examples", path])), temporary)


@STOPPED
@settings(max_examples=15, suppress_health_check=[NOT_RESET])
@given(records=st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_random_bytes_as_records(
    records: list[bytes],
    material: Material,
    invoke: Callable[..., click.testing.Result],
    temporary: Path,
    tmp_path: Path,
) -> None:
    """Of a good TFRecord file: dead letters, all of them."""
    spoiled = ["--examples", material.shard(*records), "--feature", "serving_default/x=x"]
    arguments = _arguments(material, tmp_path / "results", spoiled)
    assert f"{len(records)} of {len(records)} records cannot feed" in _message(invoke(*arguments), temporary)


NAMES = st.sampled_from(
    ["all", "classify", "regress", "scalar", "serving_default", "images:predict", "classify:classify"]
)
TEXTS = st.lists(
    NAMES
    | st.sampled_from(["classify,regress", "scalar/x=x", "images/raw_images=text", "logs/x="])
    | st.text(max_size=6),
    max_size=2,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.floats(0, 2) | st.text(max_size=4) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
GROUPS: dict[str, type[options.Options]] = {
    "warmup": options.WarmupOptions,
    "server": options.ProcessServer,
    "requests": options.RequestOptions,
}
JSON = st.one_of(
    st.text(max_size=20),
    VALUES.map(json.dumps),
    st.dictionaries(
        st.sampled_from([name for group in GROUPS.values() for name in group.model_fields]), VALUES, max_size=2
    ).map(json.dumps),
)


def _validate_without_a_server(material: Material, group: str, text: str, names: Sequence[str]) -> None:
    """Validates with options in their JSON form, beside signatures by name, as far as a server is not needed."""
    given: dict[str, Any] = {group: GROUPS[group].from_json(text)}
    requests = given.get("requests", options.RequestOptions())
    given["requests"] = {**requests.given(), "signatures": (*requests.signatures, *names)}
    given.setdefault("server", {"server": NO_SERVER})
    infraval.validate(infraval.Job(model=material.model, examples=material.examples, **given))


@settings(max_examples=100, suppress_health_check=[NOT_RESET])
@given(group=st.sampled_from(["warmup", "requests"]), text=JSON, names=st.lists(NAMES, max_size=2))
def test_random_options(group: str, text: str, names: list[str], material: Material, temporary: Path) -> None:
    """Any JSON, and no JSON, for any options: an error of infraval's own, at the latest for want of a server."""
    with pytest.raises((errors.InputError, errors.ServerStartError)):
        _validate_without_a_server(material, group, text, names)
    assert list(temporary.iterdir()) == []


@settings(max_examples=50, suppress_health_check=[NOT_RESET])
@given(content=st.binary(max_size=40))
def test_random_bytes_as_batching_parameters(
    content: bytes,
    material: Material,
    invoke: Callable[..., click.testing.Result],
    temporary: Path,
    tmp_path: Path,
) -> None:
    """Comments and blanks are a file without parameters, with which the missing server is the next mistake."""
    path = material.file("batching", content)
    arguments = _arguments(material, tmp_path / "results", ["--server", NO_SERVER, "--batching-parameters-file", path])
    assert re.search(
        "is not a text-format BatchingParameters|is not an executable file", _message(invoke(*arguments), temporary)
    )


HOSTILE = "a\x1b[31m\x1b]52;c;aGk=\x07\nBLESSED\u202e" + "x" * 100_000


@pytest.fixture
def hostile_model(material: Material) -> Path:
    """A model whose signature, inputs, outputs and tags have names that a terminal would act on."""
    saved_model = saved_model_pb2.SavedModel()
    for number in range(2):
        meta_graph = saved_model.meta_graphs.add()
        meta_graph.meta_info_def.tags.append(f"{HOSTILE}{number}")
        signature = meta_graph.signature_def[HOSTILE]
        signature.method_name = "tensorflow/serving/predict"
        for tensor in (signature.inputs[HOSTILE], signature.outputs[HOSTILE]):
            tensor.dtype = 1
            tensor.tensor_shape.dim.add(size=-1)
    return material.file("hostile/saved_model.pb", saved_model.SerializeToString()).parent


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate"],
        ["validate", "--tag-set", "other"],
        ["validate", "--tag-set", f"{HOSTILE}0"],
        ["validate", "--tag-set", f"{HOSTILE}0", "--signature", "all"],
        ["validate", "--tag-set", f"{HOSTILE}0", "--signature", HOSTILE],
        ["validate", "--tag-set", f"{HOSTILE}0", "--signature", HOSTILE, "--feature", "a=b"],
        ["validate", "--tag-set", f"{HOSTILE}0", "--signature", HOSTILE, "--feature", f"{HOSTILE}/{HOSTILE}=x\x1b"],
        ["validate", "--tag-set", f"{HOSTILE}0", "--multi-inference", f"{HOSTILE},other"],
        ["inspect"],
    ],
)
def test_no_name_in_a_model_reaches_the_terminal_by_an_error(
    arguments: list[str], hostile_model: Path, material: Material, invoke: Callable[..., click.testing.Result]
) -> None:
    """Few printable lines of limited length; as JSON, one object."""
    command, *others = arguments
    where = [hostile_model] if command == "inspect" else ["--model", hostile_model, "--examples", material.examples]
    finished = invoke(command, *where, *others)
    lines = finished.stderr.splitlines()
    assert finished.exit_code == 2
    assert 1 <= len(lines) <= 3
    assert finished.stderr.count("\n") == len(lines)
    assert all(line.isprintable() and len(line) < 2100 for line in lines)
    assert json.loads(invoke(command, *where, *others, "--json").stdout)["error"]["code"]
