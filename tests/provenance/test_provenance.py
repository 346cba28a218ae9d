"""When and where a validation ran, and what asked for it: enough to run it again, and nothing secret."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import options, provenance

SECRET = "hunter2"  # noqa: S105 - of nobody


def test_stages_follow_each_other_without_a_gap() -> None:
    """Each ends when the next begins, the last with the run."""
    times = iter([10.0, 10.5, 12.0, 15.0])
    recorder = provenance.Recorder(
        lambda: next(times), lambda: dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    )
    recorder.begin("checks")
    recorder.begin("trial")
    run = recorder.run("infraval validate")

    assert run.started == "2026-01-02T03:04:05+00:00"
    assert run.seconds == 5.0
    assert [(each.name, each.start_s, each.seconds) for each in run.stages] == [
        ("checks", 0.5, 1.5),
        ("trial", 2.0, 3.0),
    ]
    assert run.asked == "infraval validate"
    assert run.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"infraval", "tensorflow"} <= set(run.versions)
    assert run.cpus >= 1


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="=?@"), max_size=9), max_size=5))
def test_a_command_can_be_run_as_it_is_shown(words: list[str]) -> None:
    """Whatever a shell would make of a word."""
    command = ["infraval", "validate", *words]
    assert shlex.split(provenance.of_command(command)) == command


@pytest.mark.parametrize(
    "words",
    [
        ["--env", f"TOKEN={SECRET}"],
        [f"--env=AWS_KEY={SECRET}"],
        ["--model", f"s3://user:{SECRET}@host/model"],
        ["--examples", f"https://host/file?X-Amz-Signature={SECRET}&more=1"],
        [f"--beam-arg=--s3_secret_access_key={SECRET}"],
        ["--server-argument", f"--monitoring_password={SECRET}"],
    ],
)
def test_a_command_shows_no_secret(words: list[str]) -> None:
    """Values of the options that are secret, logins in URLs, and what is called a secret; the rest is there."""
    shown = provenance.of_command(["infraval", "validate", *words, "--signature", "all"], {"--env"})
    assert SECRET not in shown
    assert provenance.HIDDEN in shown
    assert shlex.split(shown)[-2:] == ["--signature", "all"]


@pytest.mark.parametrize("part", ["x", "?", "?token", "secret", "://", "://a@", "a=", "token=", "a.", "token=secret "])
def test_a_long_argument_takes_no_longer_than_its_length(part: str) -> None:
    """It is not searched again from each of its characters, which would take minutes."""
    text = part * (200_000 // len(part))
    assert len(provenance.of_command([text])) <= len(text) * 3


def test_a_job_is_a_call_with_the_options_that_were_set() -> None:
    """Python takes it; what is secret is hidden, and what is not an argument left out."""
    server = options.DockerServer(images=("tensorflow/serving:2.16.1",), environment=(f"TOKEN={SECRET}", "HOME"))
    gates = options.GateOptions.from_json(json.dumps({"latency": {"p99_ms": 5.0}}))
    warmup = options.WarmupOptions(existing=options.ExistingWarmup.KEEP, batch_sizes=(1, 8))
    job = options.Job(model="model", examples=("data/*",), server=server, gates=gates, warmup=warmup)

    shown = provenance.of_job(job, "dict", {"model", "output"})

    again = eval(shown)  # noqa: S307 - it is shown to be run
    assert options.Job(model="model", **again).warmup == warmup
    assert again == {
        "examples": ["data/*"],
        "server": {"images": ["tensorflow/serving:2.16.1"], "environment": ["TOKEN=***", "HOME"], "platform": "docker"},
        "warmup": {"existing": "keep", "batch_sizes": [1, 8]},
        "gates": {"latency": {"p99_ms": 5.0}},
    }


def test_a_name_that_is_not_utf_8_is_shown_escaped() -> None:
    """JSON could not hold it; Python keeps such bytes of file names as surrogates."""
    recorder = provenance.Recorder()
    recorder.begin("checks")
    run = recorder.run(provenance.of_command(["infraval", "validate", "--model", "m\udcff"]))
    assert run.asked == "infraval validate --model 'm\\udcff'"
