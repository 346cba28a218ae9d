"""`infraval validate` as a person runs it: a real embedded server, real Beam, real models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from infraval import cli

Run = Callable[..., Any]


def _warmup_records(model: Path) -> list[prediction_log_pb2.PredictionLog]:
    path = model / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.compat.v1.io.tf_record_iterator(str(path)) if path.exists() else ()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def test_a_good_model_is_blessed_and_its_copy_starts_warm(
    run: Run, report_of: Run, taxi_model: Path, taxi_examples: Path, tmp_path: Path
) -> None:
    """What is published holds a record for every cell, and a second boot of it replays exactly that many."""
    output = tmp_path / "results"
    arguments = ["--model", taxi_model, "--examples", taxi_examples / "Split-eval" / "*", "--output", output, "--json"]
    cells = ["--signature", "predict", "--signature", "regression", "--batch-size", 1, "--batch-size", 4]

    first = run("validate", *arguments, *cells)

    report = report_of(first)
    assert first.returncode == 0
    assert all(line.startswith("infraval: ") for line in first.stderr.splitlines()), first.stderr
    assert report["verdict"] == "BLESSED"
    assert {finding["status"] for finding in report["servers"][0]["findings"]} == {"passed"}
    held = report["warmup"]["cells"]
    assert report["warmup"] == {"records": 4, "from_model": 0, "dropped": 0, "cells": held}
    assert [(each["cell"]["signature"], each["cell"]["batch_size"], each["records"]) for each in held] == [
        (signature, batch_size, 1) for signature in ("predict", "regression") for batch_size in (1, 4)
    ]
    assert all(each["bytes"] > 0 for each in held)
    assert report["run"]["asked"].startswith(f"infraval validate --model {taxi_model} --examples ")
    assert [each["name"] for each in report["run"]["stages"]] == ["checks", "requests", "staging", "trial", "gates"]
    assert report["servers"][0]["records_replayed"] == 4
    phases = report["servers"][0]["timeline"]["phases"]
    assert [each["name"] for each in phases] == ["load", "warmup", "first requests", "requests"]
    assert phases[0]["seconds"] + phases[1]["seconds"] == pytest.approx(report["servers"][0]["load_time_s"])
    assert all(each["resident_bytes"] > 0 for each in report["servers"][0]["timeline"]["memory"])
    requests = report["servers"][0]["requests"]
    sent_s = [each["sent_s"] for each in requests]
    assert phases[3]["start_s"] <= min(sent_s) <= max(sent_s) <= phases[3]["start_s"] + phases[3]["seconds"]
    assert {(*each["cell"].values(), each["code"]) for each in requests} == {
        ("predict", "predict", 1, "OK"),
        ("predict", "predict", 4, "OK"),
        ("regression", "regress", 1, "OK"),
        ("regression", "regress", 4, "OK"),
    }
    reports = ["report.html", "report.json", "report.md"]
    assert sorted(path.name for path in output.iterdir()) == ["INFRA_BLESSED", *reports, "stamped_model"]
    assert json.loads((output / "report.json").read_text()) == report
    assert len(_warmup_records(output / "stamped_model")) == 4

    second = report_of(run("validate", "--model", output / "stamped_model", "--json"))
    assert second["verdict"] == "BLESSED"
    assert second["servers"][0]["records_replayed"] == 4
    assert second["model_digest"] == report["model_digest"]


@pytest.mark.slow
def test_a_model_of_other_data_is_not_blessed_and_the_reason_names_the_feature(
    run: Run, penguin_model: Path, taxi_examples: Path, tmp_path: Path
) -> None:
    """The wheel's penguin model with taxi Examples: exit 1, a short output, no example content, nothing published."""
    output = tmp_path / "results"

    finished = run(
        "validate", "--model", penguin_model, "--examples", taxi_examples / "Split-eval" / "*", "--output", output
    )

    printed = finished.stdout + finished.stderr
    assert finished.returncode == 1, printed
    assert "Feature: body_mass_g" in finished.stdout
    assert len(printed.splitlines()) < 30
    # Features and values of every taxi example.
    assert not any(text in printed for text in ("payment_type", "Cash", "Credit Card", "trip_start_timestamp"))
    assert sorted(path.name for path in output.iterdir()) == [
        "INFRA_NOT_BLESSED",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert json.loads((output / "report.json").read_text())["servers"][0]["findings"][1]["status"] == "failed"


@pytest.mark.slow
def test_the_keras_3_trap_is_not_blessed_and_the_reason_names_the_variable(
    run: Run, keras_trap_model: Path, secret_examples: Path
) -> None:
    """A model that TensorFlow 2 serves and TF Serving cannot is caught."""
    finished = run("validate", "--model", keras_trap_model, "--examples", secret_examples)

    assert finished.returncode == 1, finished.stderr
    assert "Could not find variable sequential" in finished.stdout
    assert [line.startswith("hint ") and "Keras 3" in line for line in finished.stdout.splitlines()].count(True) == 1


@pytest.mark.slow
def test_errors_that_echo_the_request_never_reach_any_output(
    run: Run, echoing_model: Path, secret_examples: Path, tmp_path: Path, secret: str
) -> None:
    """A model's own error text may hold the input in any shape; none of it is printed or written."""
    output = tmp_path / "results"

    finished = run("validate", "--model", echoing_model, "--examples", secret_examples, "--output", output)

    assert finished.returncode == 1, finished.stderr
    everything = finished.stdout + finished.stderr + (output / "report.json").read_text()
    shapes = (secret, secret.upper(), tf.io.encode_base64(secret).numpy().decode()[:16])
    assert not any(shape in everything for shape in shapes)
    assert "INVALID_ARGUMENT" in finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("phase", [[], ["--no-warmup"]], ids=["at load", "at a request"])
def test_an_unregistered_op_is_not_a_verdict(
    run: Run, report_of: Run, unregistered_op_model: Path, secret_examples: Path, phase: list[str]
) -> None:
    """What only the stand-in lacks is no fault of the model: exit 2, naming the op and the option."""
    arguments = ["--model", unregistered_op_model, "--examples", secret_examples, "--json"]

    finished = run("validate", *arguments, *phase)

    report = report_of(finished)
    assert finished.returncode == 2
    assert report["verdict"] is None
    assert report["error"]["kind"] == "UnregisteredOpError"
    assert report["error"]["code"] == "model/unregistered-op"
    assert "HouseBlend" in report["error"]["message"]
    assert "--import-ops" in report["error"]["message"]


def test_a_model_without_examples_is_loaded_and_published_cold(run: Run, taxi_model: Path, tmp_path: Path) -> None:
    """Load-only: the person is told that the copy starts cold."""
    finished = run("validate", "--model", taxi_model, "--output", tmp_path / "results")

    assert finished.returncode == 0, finished.stderr
    assert "cold" in finished.stdout
    assert _warmup_records(tmp_path / "results" / "stamped_model") == []


def test_a_platform_that_is_not_built_yet_says_so(
    run: Run, report_of: Run, upper_model: Path, secret_examples: Path
) -> None:
    """Exit 2 before any work starts."""
    arguments = ["--model", upper_model, "--examples", secret_examples, "--platform", "kubernetes"]

    finished = run("validate", *arguments, "--json")

    assert finished.returncode == 2
    assert report_of(finished)["error"]["code"] == "platform/not-built"
    assert "Building" not in finished.stderr


def test_an_output_that_holds_something_is_not_touched(
    run: Run, report_of: Run, upper_model: Path, tmp_path: Path
) -> None:
    """Nobody loses a file to a wrong --output."""
    (tmp_path / "mine.txt").write_text("precious")

    finished = run("validate", "--model", upper_model, "--output", tmp_path, "--json")

    assert finished.returncode == 2
    assert report_of(finished)["error"]["code"] == "output/not-empty"
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_help_text_imports_nothing_heavy(run: Run) -> None:
    """`infraval -h` answers at once: no TensorFlow, Beam, tfx or pydantic is imported for it."""
    finished = run("-h", PYTHONPROFILEIMPORTTIME="1")

    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert finished.returncode == 0
    assert "click" in imported
    assert not imported & {"tensorflow", "apache_beam", "tfx", "grpc", "numpy", "rich", "pydantic"}
    told = " ".join(finished.stdout.split())
    assert all(f"{verb} {summary}" in told for verb, summary in cli.VERBS.items())
    assert finished.stdout == run("--help").stdout
