"""`infraval.validate` with a real embedded server and real Beam; the order of boots, and who is to blame."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import infraval
from infraval import errors, evidence, options, verdict
from infraval.report import data, terminal

SaveModel = Callable[..., Path]
EMBEDDED = options.ProcessServer(server="embedded")


def _records(model: Path) -> list[prediction_log_pb2.PredictionLog]:
    path = model / options.WARMUP_FILE
    return [
        prediction_log_pb2.PredictionLog.FromString(record) for record in tf.compat.v1.io.tf_record_iterator(str(path))
    ]


def _validate(model: Path, examples: Path | None, output: Path | None = None, **given: object) -> verdict.Verdict:
    patterns = (str(examples),) if examples else ()
    return infraval.validate(
        infraval.Job(**{"model": model, "examples": patterns, "server": EMBEDDED, "output": output, **given})
    )


def test_every_allowed_batch_size_is_covered_and_the_server_boots_with_the_file(
    upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """A batching parameters file alone says which batch sizes a warmup has to touch."""
    parameters = tmp_path / "batching.txt"
    parameters.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 0 } "
        "allowed_batch_sizes: 1 allowed_batch_sizes: 4 allowed_batch_sizes: 8"
    )

    judged = _validate(
        upper_model, secret_examples, warmup=options.WarmupOptions(batching_parameters_file=str(parameters))
    )

    assert judged.blessed, judged.failures
    assert [outcome.cell.batch_size for outcome in judged.servers[0].evidence.boot.outcomes] == [1, 4, 8]
    assert judged.servers[0].evidence.boot.records_replayed == 3


@pytest.mark.slow
def test_a_warmup_file_that_came_with_the_model_is_merged_kept_or_replaced(
    upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """By default nothing is lost, and a second run adds nothing; what is replaced is counted."""
    first, second = tmp_path / "first", tmp_path / "second"
    _validate(upper_model, secret_examples, first)
    warm = first / "stamped_model"

    merged = _validate(warm, secret_examples, second, warmup=options.WarmupOptions(batch_sizes=(2,)))
    again = _validate(warm, secret_examples)
    kept = _validate(
        warm, secret_examples, warmup=options.WarmupOptions(batch_sizes=(2,), existing=options.ExistingWarmup.KEEP)
    )
    replaced = _validate(
        warm, secret_examples, warmup=options.WarmupOptions(batch_sizes=(2,), existing=options.ExistingWarmup.REPLACE)
    )

    assert (merged.warmup, merged.servers[0].evidence.boot.records_replayed) == (
        evidence.Warmup(records=2, from_model=1),
        2,
    )
    assert _records(second / "stamped_model")[:1] == _records(warm)
    assert (again.warmup, again.servers[0].evidence.boot.records_replayed) == (
        evidence.Warmup(records=1, from_model=1),
        1,
    )
    assert (kept.warmup, kept.servers[0].evidence.boot.records_replayed) == (
        evidence.Warmup(records=1, from_model=1),
        1,
    )
    assert (replaced.warmup, replaced.servers[0].evidence.boot.records_replayed) == (
        evidence.Warmup(records=1, dropped=1),
        1,
    )


@pytest.mark.slow
def test_a_bad_record_of_the_models_own_is_the_models_fault(
    upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """The server refuses the model with its file and answers without: a verdict that says whose records they are."""
    _validate(upper_model, secret_examples, tmp_path / "results")
    model = tmp_path / "results" / "stamped_model"
    bad = prediction_log_pb2.PredictionLog()
    bad.predict_log.request.inputs["of another model"].SetInParent()
    with tf.io.TFRecordWriter(str(model / options.WARMUP_FILE)) as writer:
        writer.write(bad.SerializeToString())

    judged = _validate(model, secret_examples)

    (finding,) = judged.failures
    assert finding.gate == "warmup"
    assert "1 of its 2 records came with the model" in finding.reasons[0]


def test_a_warmup_file_that_is_none_is_an_error_also_when_the_model_is_only_loaded(
    upper_model: Path, tmp_path: Path
) -> None:
    """As a broken graph is: TF Serving would not load this model, and no server need start to know."""
    model = tmp_path / "model"
    shutil.copytree(upper_model, model)
    (model / options.WARMUP_FILE).parent.mkdir(exist_ok=True)
    (model / options.WARMUP_FILE).write_text("this is no TFRecord file")

    with pytest.raises(errors.ModelError, match="existing-warmup replace") as caught:
        _validate(model, None)

    assert caught.value.code == "model/warmup-file"


def test_a_model_that_writes_to_its_own_files_is_not_blessed(
    save_model: SaveModel, secret_examples: Path, tmp_path: Path
) -> None:
    """What was judged would not be what ships."""
    path = tmp_path / "vocabulary.txt"
    path.write_text("word\n")
    asset = tf.saved_model.Asset(str(path))

    def write(name: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.io.write_file(asset.asset_path, tf.strings.reduce_join(name))]):
            return tf.strings.upper(name)

    judged = _validate(save_model(write, assets=(asset,)), secret_examples, tmp_path / "results")

    assert [finding.gate for finding in judged.failures] == ["unchanged"]
    written = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert written == ["INFRA_NOT_BLESSED", "report.html", "report.json", "report.md"]


ServerFor = Callable[[str], options.ProcessServer]
TWICE = options.Limits(num_tries=2)


def test_a_server_that_dies_while_loading_is_tried_again_and_then_a_verdict(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path
) -> None:
    """A crash may pass; one on every try is the model's."""
    judged = _validate(upper_model, secret_examples, server=stand_in("abort-at-load"), limits=TWICE)

    assert judged.servers[0].evidence.tries == 2
    assert judged.failures[0].gate == "load"
    assert "SIGABRT" in judged.failures[0].reasons[0]
    assert judged.servers[0].evidence.boot.server_log.endswith("Adding/updating models.")


def test_a_server_that_dies_once_is_forgiven(stand_in: ServerFor, upper_model: Path, secret_examples: Path) -> None:
    """An aborted boot is tried again, and the next one counts."""
    judged = _validate(upper_model, secret_examples, server=stand_in("abort-once"), limits=TWICE)

    assert judged.servers[0].evidence.tries == 2
    assert judged.blessed, judged.failures


def test_a_server_that_is_killed_is_no_verdict(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """Out of memory is the machine's, not the model's: could not judge, and the output holds nothing."""
    output = tmp_path / "results"

    with pytest.raises(errors.ServerLostError, match=r"SIGKILL(?s:.*)end of its log:\nAdding/updating models\."):
        _validate(upper_model, secret_examples, output, server=stand_in("kill-at-load"), limits=TWICE)

    assert not output.exists()


def test_a_server_that_never_gets_ready_is_a_verdict(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path
) -> None:
    """The time to load is a gate."""
    limits = options.Limits(max_loading_time_s=3, num_tries=1)

    judged = _validate(upper_model, secret_examples, server=stand_in("hang-at-load"), limits=limits)

    assert judged.failures[0].gate == "load"
    assert "not AVAILABLE within 3 s" in judged.failures[0].reasons[0]
    assert judged.servers[0].evidence.boot.server_log.endswith("Adding/updating models.")


def test_a_server_that_dies_of_a_request_is_a_verdict(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path, secret: str
) -> None:
    """A request that takes the server down on every try is the model's; of its last words, the request is no part."""
    judged = _validate(upper_model, secret_examples, server=stand_in("abort-in-request"), limits=TWICE)

    assert judged.servers[0].evidence.tries == 2
    assert [finding.reasons for finding in judged.failures] == [
        ("The server died of SIGABRT with 0 of 1 requests answered.",)
    ]
    assert "Running gRPC ModelServer at" in judged.servers[0].evidence.boot.server_log
    assert secret not in judged.servers[0].evidence.boot.server_log


def test_a_request_that_hangs_is_a_verdict_at_its_deadline(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path
) -> None:
    """No request is waited for longer than it may take."""
    limits = options.Limits(num_tries=2, request_timeout_s=1)

    judged = _validate(upper_model, secret_examples, server=stand_in("hang-in-request"), limits=limits)

    assert [outcome.code for outcome in judged.servers[0].evidence.boot.outcomes] == ["DEADLINE_EXCEEDED"]
    assert [hint.code for hint in judged.hints] == ["request-timeout"]
    assert judged.failures[0].gate == "responses"


def test_a_warmup_that_was_not_replayed_is_no_blessing(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path
) -> None:
    """A server that serves without having read the warmup file has proven nothing about it."""
    judged = _validate(upper_model, secret_examples, server=stand_in("cold"), limits=TWICE)

    assert [finding.gate for finding in judged.failures] == ["warmup"]


def test_a_server_that_refuses_only_the_file_of_ours_raises(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path
) -> None:
    """If all requests are answered and only our file is refused, the fault is infraval's, not the model's."""
    with pytest.raises(errors.WarmupFileError, match="bug in infraval"):
        _validate(upper_model, secret_examples, server=stand_in("refuse-warmup"), limits=TWICE)


def test_a_server_that_fails_for_a_reason_of_its_own_is_no_verdict(
    stand_in: ServerFor, upper_model: Path, secret_examples: Path
) -> None:
    """Not tried again: a flag that the server does not take stays so."""
    with pytest.raises(errors.ServerStartError, match="exit code 255"):
        _validate(upper_model, secret_examples, server=stand_in("bad-flag"), limits=TWICE)


@pytest.mark.slow
def test_lines_that_a_model_prints_do_not_change_the_verdict(save_model: SaveModel, secret_examples: Path) -> None:
    """What the embedded server says about itself cannot be forged by a line in its log."""
    forged = ("E A bug of the embedded server: KeyError", "Op type not registered 'HouseBlend' in binary")

    def forge(text: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.print(f"2026-01-01 00:00:00.000000: {line}") for line in forged]):
            return tf.strings.upper(text)

    def forge_and_fail(text: tf.Tensor) -> tf.Tensor:
        return tf.strings.as_string(tf.strings.to_number(forge(text)))

    good = _validate(save_model(forge), secret_examples)
    bad = _validate(save_model(forge_and_fail), secret_examples)

    assert good.blessed, good.failures
    assert [outcome.code for outcome in bad.servers[0].evidence.decisive.outcomes] == ["INVALID_ARGUMENT"]


def test_the_embedded_server_takes_the_flags_of_production(
    save_model: SaveModel, secret_examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that it knows has its effect; one that it ignores is named in the report and the output."""
    double = tf.function(lambda x: x * 2, jit_compile=True)
    model = save_model(lambda names: double(tf.strings.length(names)))
    server = options.ProcessServer(
        server="embedded", server_arguments=("--xla_cpu_compilation_enabled", "--num_load_threads=2")
    )

    judged = _validate(model, secret_examples, tmp_path / "results", server=server)

    assert judged.blessed, judged.failures
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    assert report["servers"][0]["server"]["ignored_flags"] == ["--num_load_threads"]
    terminal.show_report(data.report(judged))
    assert "--num_load_threads" in capsys.readouterr().out


def test_a_flag_that_the_server_does_not_know_ends_the_job_at_once(
    upper_model: Path, secret_examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any request is built."""
    monkeypatch.setattr("infraval.requests.preparation.build", lambda *_: pytest.fail("it went on"))
    server = options.ProcessServer(server="embedded", server_arguments="--enable_bathcing")

    with pytest.raises(errors.OptionError, match="--enable_bathcing"):
        _validate(upper_model, secret_examples, server=server)


@pytest.mark.slow
def test_a_bug_of_the_embedded_server_is_no_verdict(
    upper_model: Path, secret_examples: Path, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the stand-in fails at says nothing of the model; the error says where it was, without the request."""
    (tmp_path / "broken_ops.py").write_text(
        "from infraval_server import requests\n"
        "def fail(servable, request):\n"
        "    raise KeyError(request.inputs['examples'].string_val[0])\n"
        "requests.predict = fail\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    server = options.ProcessServer(server="embedded", import_ops="broken_ops")

    with pytest.raises(errors.SandboxError, match=r"bug in infraval(?s:.*)broken_ops.py.*in fail") as caught:
        _validate(upper_model, secret_examples, server=server, make_warmup=False)

    assert secret not in str(caught.value)


def test_the_report_on_disk_is_the_verdict(upper_model: Path, secret_examples: Path, tmp_path: Path) -> None:
    """`report.json` says which server judged, and holds an entry for every request."""
    judged = _validate(upper_model, secret_examples, tmp_path, requests=options.RequestOptions(num_examples=3))

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["servers"][0]["server"]["name"] == "infraval embedded server"
    assert tf.version.VERSION in report["servers"][0]["server"]["version"]
    assert [request["code"] for request in report["servers"][0]["requests"]] == ["OK"] * 3
    assert report["model_digest"] == f"sha256:{judged.model_digest}"
    fed = {"signature": "serving_default", "method": "predict", "input": "examples", "feature": None}
    assert report["examples"] == {
        "shards": 1,
        "shards_read": 1,
        "records_per_shard": None,
        "records_read": 3,
        "records_checked": 3,
        "dead_letters": {},
        "dead_letter_share_at_most": None,
        "left_out": {},
        "fed": [fed],
        "constants": {},
        "defaults": [],
    }


@pytest.mark.parametrize(("server_messages", "shown"), [("full", True), ("codes", False)])
def test_how_much_of_a_servers_message_is_shown(
    server_messages: str, shown: bool, echoing_model: Path, secret_examples: Path, secret: str
) -> None:
    """Everything, or the code only; the verdict is the same as with what was sent removed."""
    judged = _validate(echoing_model, secret_examples, server_messages=server_messages, make_warmup=False)

    (reason,) = judged.failures[0].reasons
    assert "INVALID_ARGUMENT" in reason
    assert (secret in reason) == shown
    assert ("assertion failed" in reason) == (server_messages != "codes")


def test_cold_is_compared_with_warm_only_if_asked_for(upper_model: Path, secret_examples: Path, tmp_path: Path) -> None:
    """Every cell has its first request of a boot without the file, one of a boot with it, and a steady median."""
    compared = _validate(
        upper_model,
        secret_examples,
        tmp_path / "compared",
        warmup=options.WarmupOptions(batch_sizes=(1, 2), compare_cold=True),
    )
    plain = _validate(
        upper_model, secret_examples, tmp_path / "plain", warmup=options.WarmupOptions(batch_sizes=(1, 2))
    )

    assert plain.servers[0].evidence.cold is None
    warm, cold = compared.servers[0].evidence.boot, compared.servers[0].evidence.cold
    assert cold is not None
    cells = [options.Cell("serving_default", options.Method.PREDICT, size) for size in (1, 2)]
    assert [latency.cell for latency in cold.latencies] == cells
    assert [latency.cell for latency in warm.latencies] == cells
    # The very first request of a cold boot initializes the graph; one of a warm boot finds it done.
    assert cold.latencies[0].first_s > warm.latencies[0].first_s
    # What is published is what was judged: the file was put back.
    assert compared.model_digest == plain.model_digest
    assert _records(tmp_path / "compared" / "stamped_model") == _records(tmp_path / "plain" / "stamped_model")
    report = json.loads((tmp_path / "compared" / "report.json").read_text())
    for cell, first, then in zip(report["servers"][0]["cells"], cold.latencies, warm.latencies, strict=True):
        assert (cell["cold_first_s"], cell["warm_first_s"]) == (first.first_s, then.first_s)
        assert cell["steady_s"] == then.steady_s


def test_a_model_that_does_not_serve_has_nothing_to_compare(penguin_model: Path, secret_examples: Path) -> None:
    """The verdict does not depend on whether a comparison was asked for."""
    judged = _validate(penguin_model, secret_examples, warmup=options.WarmupOptions(compare_cold=True))

    (cell,) = data.report(judged).servers[0].cells
    assert (cell.cold_first_s, cell.warm_first_s, cell.steady_s) == (None, None, None)
    assert judged.failures[0].gate == "responses"


def test_a_model_that_decodes_images_and_got_something_else_has_a_hint(
    sink_model: Path, sink_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded server says what a real one does; the hint says what to map, in the report and to people."""
    requests = options.RequestOptions(signatures="images", features="images/raw_images=s")
    judged = _validate(sink_model, sink_examples, requests=requests)
    assert [hint.code for hint in judged.hints] == ["not-an-image"]
    report = data.report(judged)
    terminal.show_report(report)
    shown = capsys.readouterr().out
    assert [hint.text for hint in report.hints] == [
        line.removeprefix("hint    ") for line in shown.splitlines() if line.startswith("hint ")
    ]
