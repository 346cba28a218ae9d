"""Models whose answers differ from others that a real embedded server gave, and good twins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import infraval
from infraval import errors, options, verdict
from infraval import gates as all_gates
from infraval.requests import prediction_logs
from infraval.trial import run

SaveModel = Callable[..., Path]
EMBEDDED = options.ProcessServer(server="embedded")
PADDED = "max_batch_size { value: 4 }\nbatch_timeout_micros { value: 100000 }\nallowed_batch_sizes: 4\n"


def _log(name: bytes, value: float) -> prediction_log_pb2.PredictionLog:
    """A recorded request for a name, and the response with its number."""
    log = prediction_log_pb2.PredictionLog()
    example = tf.train.Example()
    example.features.feature["name"].bytes_list.value.append(name)
    inputs = log.predict_log.request.inputs
    inputs["examples"].CopyFrom(tf.make_tensor_proto([example.SerializeToString()]))
    log.predict_log.response.outputs["result"].CopyFrom(tf.make_tensor_proto([value], tf.float32))
    return log


def _validate(model: Path, examples: Path, **given: Any) -> verdict.Verdict:
    given = {"requests": {"num_examples": 3}} | given
    return infraval.validate(infraval.Job(model=model, examples=str(examples), server=EMBEDDED, **given))


def _finding(judged: verdict.Verdict, gate: str) -> verdict.Finding:
    (found,) = [finding for finding in judged.servers[0].findings if finding.gate == gate]
    return found


def _numbers(names: tf.Tensor) -> tf.Tensor:
    """1, 2, 3 for the three names."""
    return 1 + tf.strings.to_number(tf.strings.substr(names, -1, 1))


def _dropout(names: tf.Tensor) -> tf.Tensor:
    return tf.nn.dropout(tf.tile(_numbers(names)[:, None], [1, 20]), 0.5)


def _share_of_batch(names: tf.Tensor) -> tf.Tensor:
    numbers = _numbers(names)
    return numbers / tf.reduce_sum(numbers)


def _numbers_after_a_while(names: tf.Tensor) -> tf.Tensor:
    """The same numbers, a third of a second later."""
    end_s = tf.timestamp() + 0.33
    (now_s,) = tf.while_loop(lambda now_s: now_s < end_s, lambda _: [tf.timestamp()], [tf.timestamp()])
    return tf.minimum(_numbers(names), tf.cast(now_s, tf.float32))


@pytest.fixture
def padded(tmp_path: Path) -> Path:
    """A batching parameters file that pads every batch to four."""
    path = tmp_path / "batching.txt"
    path.write_text(PADDED)
    return path


def test_dropout_that_is_left_on_fails_for_determinism_alone(
    save_model: SaveModel, secret_examples: Path, secret: str
) -> None:
    """On a server without batches; the reason names the output, and neither request nor answer."""
    judged = _validate(save_model(_dropout), secret_examples, gates={"determinism": {"enabled": True}})
    assert [finding.gate for finding in judged.failures] == ["determinism"]
    assert "'result'" in judged.failures[0].reasons[0]
    assert secret not in repr(judged.failures)
    shown = judged.servers[0].evidence.determinism
    assert shown is not None
    assert not shown.batched
    assert shown.alone[0].responses_differing == shown.requests == 3


def test_a_sum_over_the_batch_fails_for_determinism_alone(
    save_model: SaveModel, secret_examples: Path, padded: Path
) -> None:
    """A server that batches turns the gate on; alone, each request gets the same answer every time."""
    judged = _validate(save_model(_share_of_batch), secret_examples, warmup={"batching_parameters_file": str(padded)})
    assert [finding.gate for finding in judged.failures] == ["determinism"]
    shown = judged.servers[0].evidence.determinism
    assert shown is not None
    assert shown.batched
    assert not any(each.responses_differing for each in shown.alone)
    assert shown.together[0].responses_differing > 0


def test_rows_that_do_not_depend_on_each_other_pass(save_model: SaveModel, secret_examples: Path, padded: Path) -> None:
    """The good twin of both, on a server that batches."""
    judged = _validate(save_model(_numbers), secret_examples, warmup={"batching_parameters_file": str(padded)})
    assert judged.blessed, judged.failures
    assert _finding(judged, "determinism").status is verdict.Status.PASSED


def test_an_answer_that_is_not_as_recorded_fails_for_that_alone(
    save_model: SaveModel, secret_examples: Path, secret: str, tmp_path: Path
) -> None:
    """One record of three: the reason says in which output, how many and by how much; the good twin passes."""
    model = save_model(_numbers)
    good, bad = tmp_path / "good.tfrecord", tmp_path / "bad.tfrecord"
    logs = [_log(f"{secret}.{number}".encode(), number + 1) for number in range(3)]
    prediction_logs.write(good, logs)
    prediction_logs.write(bad, [*logs[:2], _log(f"{secret}.2".encode(), 7)])
    passed = _validate(model, secret_examples, requests={"expected": str(good)})
    assert passed.blessed, passed.failures
    assert _finding(passed, "expected") == verdict.Finding("expected", verdict.Status.PASSED, (), 3, 3, "responses")
    judged = _validate(model, secret_examples, requests={"expected": str(bad), "max_expected": 3})
    assert [finding.gate for finding in judged.failures] == ["expected"]
    (finding,) = judged.failures
    assert (finding.figure, finding.bar) == (2, 3)
    assert "'result'" in finding.reasons[0]
    assert secret not in repr(judged)
    shown = judged.servers[0].evidence.expected
    assert shown is not None
    assert (shown.compared[0].values_differing, shown.compared[0].largest) == (1, 4.0)


def test_a_baseline_beside_the_same_model_and_beside_a_larger_one(
    save_model: SaveModel, secret_examples: Path, tmp_path: Path
) -> None:
    """The same model passes, also under load; twice the size fails exactly this gate, and so does another answer."""
    model, other = save_model(_numbers), save_model(lambda names: 2 * _numbers(names))
    bars = {"size_ratio": 1.5, "max_difference": 0.5, "p50_ratio": 1000}
    gates = {"baseline": {"budget_s": 1, **bars}, "latency": {"p99_ratio": 10}}
    passed = _validate(model, secret_examples, baseline=model, gates=gates)
    assert passed.blessed, passed.failures
    assert _finding(passed, "latency").status is verdict.Status.PASSED
    shown = passed.servers[0].evidence.baseline
    assert shown is not None
    assert shown.size_bytes == shown.baseline_size_bytes > 0
    assert shown.latencies[0].pairs >= 5
    assert shown.baseline_memory is not None
    assert shown.baseline_memory.resident_bytes > 10 << 20
    assert not any(each.values_differing for each in shown.compared)

    large = tmp_path / "large"
    shutil.copytree(other, large)
    (large / "assets").mkdir(exist_ok=True)
    size = sum(path.stat().st_size for path in other.rglob("*") if path.is_file())
    (large / "assets" / "vocabulary.txt").write_bytes(b"x" * size)
    judged = _validate(large, secret_examples, baseline=model, gates={"baseline": {"budget_s": 1, **bars}})
    assert [finding.gate for finding in judged.failures] == ["baseline"]
    assert [name for name in bars if f"gates.baseline.{name}" in repr(judged.failures)] == [
        "size_ratio",
        "max_difference",
    ]


def test_one_slow_signature_beside_its_good_twin_fails_for_its_latency_alone(
    save_model: SaveModel, secret_examples: Path
) -> None:
    """By the ratio of the 99th percentiles under the same load; the answers are the same.

    The bar is far below the ratio, because one good answer in a hundred may take a while on a busy machine.
    """
    slow, good = (save_model(_numbers, other=each) for each in (_numbers_after_a_while, _numbers))
    judged = _validate(
        slow,
        secret_examples,
        baseline=good,
        requests={"num_examples": 1, "signatures": ("serving_default", "other")},
        gates={"baseline": {"budget_s": 1, "max_difference": 0}, "latency": {"p99_ratio": 1.5, "budget_s": 8}},
    )
    assert [finding.gate for finding in judged.failures] == ["latency"]
    (finding,) = judged.failures
    assert (finding.bar, finding.unit) == (1.5, "x")
    load = judged.servers[0].evidence.load
    assert load is not None
    assert load.baseline is not None
    assert finding.figure == pytest.approx(load.overall.p99_s / load.baseline.overall.p99_s)
    assert finding.figure > 1.5
    p50_s = {each.cell.signature: each.p50_s for each in load.cells if each.cell}
    assert p50_s["other"] >= 0.33 > p50_s["serving_default"]


def test_a_server_under_load_swaps_a_model_for_itself(sink_model: Path, sink_examples: Path) -> None:
    """No request fails and the old one is unloaded; a bar on memory, and only that, fails the same evidence."""
    swap = {"rate": 50, "before_s": 1}
    gates = {"baseline": {"enabled": False}, "warm": {"enabled": False}, "swap": swap}
    judged = _validate(sink_model, sink_examples, baseline=sink_model, gates=gates)
    assert judged.blessed, judged.failures
    assert _finding(judged, "swap") == verdict.Finding("swap", verdict.Status.PASSED, (), 0, 0, "requests")
    (server,) = judged.servers
    shown = server.evidence.swap
    assert shown is not None
    assert server.evidence.baseline is None
    assert shown.before.requests >= 20
    assert shown.during.requests >= 20
    assert shown.answered_s is not None
    assert shown.unloaded_s is not None
    assert shown.before_bytes is not None
    assert shown.peak_bytes is not None
    assert 10 << 20 < shown.before_bytes <= shown.peak_bytes
    tight = options.GateOptions(swap={"peak_bytes": "1m"})
    again = all_gates.judge(server.evidence, all_gates.choose(tight), tight)
    assert [(each.gate, each.figure, each.bar) for each in again.failures] == [("swap", shown.peak_bytes, 1 << 20)]


WEIGHTS_BYTES = 128 << 20
BLOCKING_BYTES = 160 << 20


def _first_takes(seconds: float, save_model: SaveModel) -> Path:
    """A model with weights, whose first request takes so long."""
    weights = tf.Variable(tf.zeros([WEIGHTS_BYTES // 4]))
    calls = tf.Variable(0)

    def wait() -> tf.Tensor:
        start_s = tf.timestamp()
        return tf.while_loop(lambda _: tf.timestamp() - start_s < seconds, lambda count: count + 1, [tf.constant(0)])[0]

    def answer(names: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.cond(calls.assign_add(1) > 1, lambda: tf.constant(0), wait)]):
            return _numbers(names) + weights[0]

    return save_model(answer, (weights, calls))


@pytest.mark.slow
def test_a_long_warmup_fails_no_request_and_two_models_need_the_memory_of_two(
    save_model: SaveModel, secret_examples: Path
) -> None:
    """Five seconds of warmup under load; a bar between the memory of one model and of two fails the same evidence.

    Slow: three servers warm up.
    """
    swap = {"rate": 50, "before_s": 1}
    judged = _validate(
        _first_takes(5, save_model),
        secret_examples,
        baseline=_first_takes(0, save_model),
        gates={"baseline": {"enabled": False}, "warm": {"enabled": False}, "swap": swap},
    )
    assert judged.blessed, judged.failures
    assert _finding(judged, "swap") == verdict.Finding("swap", verdict.Status.PASSED, (), 0, 0, "requests")
    (server,) = judged.servers
    shown = server.evidence.swap
    assert shown is not None
    assert (shown.failed, shown.failed_before) == (0, 0)
    assert shown.answered_s is not None
    assert shown.answered_s >= 5
    assert shown.during.requests >= 5 * swap["rate"]
    assert shown.unloaded_s is not None
    assert shown.before_bytes is not None
    limit = options.GateOptions(swap={"peak_bytes": shown.before_bytes + WEIGHTS_BYTES // 2})
    again = all_gates.judge(server.evidence, all_gates.choose(limit), limit)
    assert [(each.gate, each.figure, each.unit) for each in again.failures] == [("swap", shown.peak_bytes, "bytes")]


@pytest.mark.slow
def test_a_model_that_blocks_the_server_while_it_loads_fails_for_the_swap_alone(
    save_model: SaveModel, secret_examples: Path
) -> None:
    """No request is answered while weights within the graph are parsed; the same weights as a variable do no harm.

    Slow: so many bytes in a graph take a while.
    """
    values = np.random.default_rng(0).random(BLOCKING_BYTES // 4, np.float32)
    variable = tf.Variable(values)
    swap = {"rate": 50, "before_s": 1, "p99_ms": 350}
    baseline = save_model(_numbers)

    def finding(model: Path, failing: list[str]) -> verdict.Finding:
        gates = {"baseline": {"enabled": False}, "warm": {"enabled": False}, "swap": swap}
        judged = _validate(model, secret_examples, baseline=baseline, gates=gates)
        assert [failure.gate for failure in judged.failures] == failing
        return _finding(judged, "swap")

    blocking = finding(save_model(lambda names: _numbers(names) + tf.constant(values)[0]), ["swap"])
    assert blocking.figure is not None
    assert blocking.figure > swap["p99_ms"]
    assert (blocking.bar, blocking.unit) == (swap["p99_ms"], "ms")
    harmless = finding(save_model(lambda names: _numbers(names) + variable[0], (variable,)), [])
    assert harmless.status is verdict.Status.PASSED


def test_a_baseline_that_does_not_load_is_no_verdict(
    save_model: SaveModel, secret_examples: Path, odd_models: Path
) -> None:
    """The model is not to blame for it."""
    with pytest.raises(errors.InputError) as caught:
        _validate(save_model(_numbers), secret_examples, baseline=odd_models / "asset_missing" / "1")
    assert caught.value.code == "input/baseline"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"requests": {"expected": __file__}}, "input/expected"),
        ({"requests": {}, "baseline": Path(__file__).parent}, "input/baseline"),
        ({"requests": {}, "gates": {"baseline": {"size_ratio": 2}}}, "option/invalid"),
        ({"requests": {}, "gates": {"expected": {"tolerance": 0.1}}}, "option/invalid"),
        ({"requests": {}, "gates": {"swap": {"enabled": True}}}, "option/invalid"),
    ],
    ids=["no TFRecord", "no SavedModel", "no baseline", "nothing expected", "nothing to swap"],
)
def test_what_there_is_nothing_to_compare_with_is_refused_before_a_server_starts(
    given: dict[str, Any], code: str, sink_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bad input."""

    def starting(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(run, "starting", starting)
    with pytest.raises(errors.InputError) as caught:
        infraval.validate(infraval.Job(model=sink_model, server=EMBEDDED, **given))
    assert caught.value.code == code
