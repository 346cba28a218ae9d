"""Models that fail one gate of a real embedded server, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

import infraval
from infraval import gates as all_gates
from infraval import options, verdict

SaveModel = Callable[..., Path]
EMBEDDED = options.ProcessServer(server="embedded")


def _validate(model: Path, examples: Path, **given: object) -> verdict.Verdict:
    return infraval.validate(infraval.Job(model=model, examples=str(examples), **{"server": EMBEDDED, **given}))


def _lengths(names: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(names), tf.float32)


def _nan_in_a_branch(names: tf.Tensor) -> tf.Tensor:
    """NaN for the names that end with a zero."""
    return tf.where(tf.strings.regex_full_match(names, ".*0"), float("nan"), _lengths(names))


def _seven_rows(names: tf.Tensor) -> tf.Tensor:
    """[7, 3] for a batch of 1."""
    rows = tf.tile(_lengths(names)[:, None], [7, 3])
    rows.set_shape([None, 3])
    return rows


def _dropped_batch(names: tf.Tensor) -> tf.Tensor:
    """[3] for a batch of 1, although its shape in the graph is [?, 3]."""
    row = tf.squeeze(tf.tile(_lengths(names)[:, None], [1, 3]))
    row.set_shape([None, 3])
    return row


@pytest.mark.parametrize("function", [_nan_in_a_branch, _seven_rows, _dropped_batch])
def test_a_model_with_wrong_answers_fails_for_its_outputs_alone(
    function: Callable[[tf.Tensor], tf.Tensor], save_model: SaveModel, secret_examples: Path, secret: str
) -> None:
    """It loads, answers and is warm; the reason names the output."""
    judged = _validate(save_model(function), secret_examples, requests={"num_examples": 3})
    assert [finding.gate for finding in judged.failures] == ["outputs"]
    assert "'result'" in judged.failures[0].reasons[0]
    assert secret not in repr(judged)


def test_a_model_with_right_answers_passes(save_model: SaveModel, secret_examples: Path) -> None:
    """The good twin of those: every gate says so."""
    judged = _validate(save_model(_lengths), secret_examples, requests={"num_examples": 3})
    assert judged.blessed, judged.failures
    assert {finding.status for finding in judged.servers[0].findings} == {verdict.Status.PASSED}
    boot = judged.servers[0].evidence.boot
    assert {(each.graph_builds, each.xla_compilations) for each in boot.latencies} == {(0, 0)}
    assert boot.counters is not None
    assert boot.counters.warmup_records == boot.records_replayed == 3


def test_a_signature_without_a_warmup_record_is_cold_however_fast(half_warm_sink: Path, sink_examples: Path) -> None:
    """The server's counter tells; the signature that the file warms passes, also at another batch size."""
    warmed, cold = "serving_default", "two_inputs"
    judged = _validate(
        half_warm_sink,
        sink_examples,
        requests={"signatures": (warmed, cold), "features": ("two_inputs/b=count",)},
        warmup={"existing": "keep", "batch_sizes": (1, 4)},
        gates={"warm": {"more_boots": 0}},
    )
    assert [finding.gate for finding in judged.failures] == ["warm"]
    moved = {each.cell: each.graph_builds for each in judged.servers[0].evidence.boot.latencies}
    assert {cell.signature for cell, builds in moved.items() if builds} == {cold}
    assert sum(builds or 0 for builds in moved.values()) == 1


def test_a_model_that_is_too_large_fails_for_its_size_alone(upper_model: Path, secret_examples: Path) -> None:
    """By one byte; with room for that byte, the same evidence passes every gate."""
    judged = _validate(upper_model, secret_examples, gates={"size": {"max_bytes": "1k"}})
    assert [finding.gate for finding in judged.failures] == ["size"]
    (server,) = judged.servers
    assert server.evidence.boot.responses.largest_request_bytes > server.evidence.boot.responses.largest_bytes > 0
    room = options.GateOptions(size={"max_bytes": server.evidence.model_bytes})
    assert all_gates.judge(server.evidence, all_gates.choose(room), room).blessed
    less = options.GateOptions(size={"max_bytes": server.evidence.model_bytes - 1})
    again = all_gates.judge(server.evidence, all_gates.choose(less), less)
    assert [finding.gate for finding in again.failures] == ["size"]


def test_a_server_that_dies_of_a_malformed_request_fails_for_that_alone(
    stand_in: Callable[[str], options.ProcessServer], upper_model: Path, secret_examples: Path, secret: str
) -> None:
    """And one that answers it passes; the smallest request is named, and nothing of the examples."""
    gates = {"robust": {"max_boots": 3}, "outputs": {"enabled": False}}
    bad = _validate(upper_model, secret_examples, server=stand_in("abort-on-rank"), gates=gates)
    assert [finding.gate for finding in bad.failures] == ["robust"]
    (server,) = bad.servers
    assert server.evidence.tries == 1
    assert [killer.what for killer in server.evidence.robustness.killers] == [
        "no inputs",
        "too few dimensions",
        "too many dimensions",
    ]
    assert '{"examples":{"b64":""}}' in bad.failures[0].reasons[1]
    assert "SIGABRT" in bad.failures[0].reasons[1]
    assert secret not in repr(bad)

    good = _validate(upper_model, secret_examples, server=stand_in("good"), gates=gates)
    assert good.blessed, good.failures
    assert good.servers[0].evidence.robustness.left == 0


@pytest.mark.parametrize(("behaviour", "failed"), [("leak", ["memory"]), ("good", [])])
def test_a_server_that_leaks_fails_for_its_memory_alone(
    behaviour: str,
    failed: list[str],
    stand_in: Callable[[str], options.ProcessServer],
    upper_model: Path,
    secret_examples: Path,
) -> None:
    """A megabyte a request is a gigabyte per 1000; one that does not leak passes."""
    gates = {"memory": {"requests": 100}, "outputs": {"enabled": False}}
    judged = _validate(upper_model, secret_examples, server=stand_in(behaviour), gates=gates)
    assert [finding.gate for finding in judged.failures] == failed
    shown = judged.servers[0].evidence
    assert 0 < shown.boot.memory.anonymous_bytes < shown.boot.memory.resident_bytes <= shown.memory.peak_bytes
    assert shown.memory.requests == (200 if failed else 100)
    assert shown.memory.growth_bytes_per_1000 == pytest.approx(1e9 if failed else 0, abs=1e8)
    (finding,) = [finding for finding in judged.servers[0].findings if finding.gate == "memory"]
    assert finding.status is (verdict.Status.FAILED if failed else verdict.Status.PASSED)


def test_no_rows_kill_a_server_with_allowed_batch_sizes(
    upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """As they kill TensorFlow Serving, whatever the model."""
    parameters = tmp_path / "batching.txt"
    parameters.write_text("max_batch_size { value: 2 } allowed_batch_sizes: 2")
    judged = _validate(
        upper_model,
        secret_examples,
        warmup={"batching_parameters_file": str(parameters)},
        gates={"robust": {"max_boots": 1}},
    )
    assert [finding.gate for finding in judged.failures] == ["robust"]
    (killer,) = judged.servers[0].evidence.robustness.killers
    assert (killer.what, killer.cause) == ("an empty batch", "SIGABRT")
    assert killer.request == '{"signature_name":"serving_default","inputs":{"examples":[]}}'
    assert killer.said.endswith("Check failed: limit <= dim0_size (1 vs. 0)")


def test_a_cell_without_a_warmup_record_fails_for_being_cold_alone(
    taxi_model: Path, taxi_examples: Path, tmp_path: Path
) -> None:
    """The file covers another signature; on every boot its first request builds the graph."""
    shards = taxi_examples / "Split-eval" / "*"
    _validate(taxi_model, shards, requests={"signatures": "predict"}, output=tmp_path / "out")
    judged = _validate(
        tmp_path / "out" / "stamped_model",
        shards,
        requests={"signatures": ("predict", "regression")},
        warmup={"existing": "keep"},
    )
    assert [finding.gate for finding in judged.failures] == ["warm"]
    (reason,) = judged.failures[0].reasons
    assert "signature regression" in reason
    assert len(judged.servers[0].evidence.measured_again) == 2


def _slow(names: tf.Tensor) -> tf.Tensor:
    """The lengths, after some tenths of a second of matrices, each the square of the one before."""
    size = 500
    matrix = tf.fill([size, size], 1 / size)
    _, matrix = tf.while_loop(lambda step, _: step < 120, lambda step, each: (step + 1, each @ each), (0, matrix))
    return _lengths(names) * tf.reduce_mean(matrix) * size


@pytest.mark.parametrize(("function", "failures"), [(_slow, ["latency"]), (_lengths, [])])
def test_a_slow_model_fails_for_its_latency_alone(
    function: Callable[[tf.Tensor], tf.Tensor], failures: list[str], save_model: SaveModel, secret_examples: Path
) -> None:
    """Its good twin passes; both gates have a figure."""
    asked = {"latency": {"p50_ms": 30, "budget_s": 5}, "load_time": {"max_s": 300}}
    judged = _validate(save_model(function), secret_examples, requests={"num_examples": 1}, gates=asked)
    assert [finding.gate for finding in judged.failures] == failures
    figures = {finding.gate: finding.figure for finding in judged.servers[0].findings}
    assert figures["latency"]
    assert figures["load_time"]
    load = judged.servers[0].evidence.load
    assert load is not None
    assert load.points
    phase = judged.servers[0].evidence.boot.timeline.phases[-1]
    assert (phase.name, phase.start_s) == ("under load", load.start_s)
    assert load.points[-1].time_s < phase.seconds
