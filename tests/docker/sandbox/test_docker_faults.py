"""What comes of a validation whose server or engine fails: a verdict or an error, and nothing left in either case."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

import infraval
from infraval import errors, evidence, options, verdict
from infraval.sandbox import base, serving_log
from infraval.sandbox.docker import sandbox as docker_sandbox
from infraval.sandbox.docker import watch as docker_watch
from infraval.trial import counters

pytestmark = pytest.mark.docker

Boot = Callable[..., "base.ServerExit | None"]
ContainerOf = Callable[..., Container]
MakeSandbox = Callable[..., docker_sandbox.DockerSandbox]

TcpEngine = tuple[str, "subprocess.Popen[str]"]

TWICE = options.Limits(num_tries=2)
SHORT_REQUESTS = options.Limits(num_tries=2, request_timeout_s=2)

ABORT_SERVER = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    if b"/faulty/fakes.py" in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
        os.kill(int(folder.name), signal.SIGABRT)
"""


@pytest.fixture
def validate(base_url: str, faulty_image: str, taxi_model: Path, taxi_examples: Path) -> Callable[..., verdict.Verdict]:
    """Validates the taxi model with a server that behaves as named; further arguments are DockerServer's."""

    def run(
        behaviour: str,
        limits: options.Limits = TWICE,
        progress: Callable[[str], None] = print,
        image: str = faulty_image,
        output: Path | None = None,
        **given: object,
    ) -> verdict.Verdict:
        server = options.DockerServer(
            **{"images": image, "base_url": base_url, "environment": (f"BEHAVIOUR={behaviour}",), **given}
        )
        job = infraval.Job(
            model=taxi_model,
            examples=taxi_examples / "Split-eval" / "*",
            requests=options.RequestOptions(signatures=("predict",), num_examples=3),
            make_warmup=False,
            server=server,
            limits=limits,
            # The stand-in's answers are not the model's, and it has no counters.
            gates={"outputs": {"enabled": False}, "warm": {"enabled": False}},
            output=output,
        )
        return infraval.validate(job, progress=progress)

    return run


Validate = Callable[..., verdict.Verdict]


def test_a_server_that_answers_is_blessed(validate: Validate, engine: docker.DockerClient, faulty_image: str) -> None:
    """The counter-proof to all that follows; and the image that judged is on record."""
    judged = validate("serve")

    assert judged.blessed, judged.failures
    server = judged.servers[0].evidence.server
    assert (server.name, server.version) == ("tensorflow_model_server", "2.16.1-fake, TensorFlow 2.16.2")
    assert (server.image, server.image_id) == (faulty_image, engine.images.get(faulty_image).id)


def test_a_version_without_an_end_is_unknown(
    validate: Validate, faulty_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither fills the memory nor keeps the verdict waiting."""
    monkeypatch.setattr(docker_watch, "_versions", {})  # other tests have asked the same image
    judged = validate("endless-version")

    assert judged.blessed, judged.failures
    assert judged.servers[0].evidence.server.version == f"of {faulty_image}"


def test_a_server_that_exits_at_load_is_no_verdict(validate: Validate, tmp_path: Path) -> None:
    """A reason of its own is not the model's; its last words are in the error."""
    with pytest.raises(errors.ServerStartError, match=r"ended with exit code 255 (?s:.*)Failed to start server"):
        validate("bad-flag", output=tmp_path / "results")

    assert not (tmp_path / "results").exists()


def test_a_server_that_refuses_the_model_ends_with_its_reason(
    make_sandbox: MakeSandbox, boot: Boot, image: str
) -> None:
    """The embedded server's refusal comes with its exit code, at once, and its log is there after all is removed."""
    with make_sandbox(image=image) as sandbox:
        assert boot(sandbox) == base.ServerExit(code=255, signal=None)
    refusal = serving_log.refusal(sandbox.log())
    assert refusal is not None
    assert refusal[0] == "OUT_OF_RANGE"
    assert sandbox.poll() == base.ServerExit(code=255, signal=None)


def test_a_server_that_outgrows_a_limit_that_was_given_is_a_verdict(validate: Validate) -> None:
    """The limit was asked for, so the model is what does not fit."""
    judged = validate("outgrow-memory", memory_bytes=300_000_000)

    assert [finding.gate for finding in judged.failures] == ["load"]
    assert "memory limit of 300000000 bytes" in judged.failures[0].reasons[0]
    assert "Adding/updating models." in judged.servers[0].evidence.boot.server_log


def test_a_server_that_is_killed_from_outside_is_no_verdict(validate: Validate) -> None:
    """A SIGKILL that no memory limit explains is not the model's."""
    with pytest.raises(errors.ServerLostError, match=r"SIGKILL(?s:.*)end of its log:\n(?s:.*)Adding/updating models\."):
        validate("kill-at-load")


def test_a_server_that_hangs_at_load_is_a_verdict(validate: Validate) -> None:
    """The time to load is a gate."""
    judged = validate("hang-at-load", options.Limits(max_loading_time_s=10, num_tries=1))

    assert [finding.gate for finding in judged.failures] == ["load"]
    assert "not AVAILABLE within 10 s" in judged.failures[0].reasons[0]
    assert judged.servers[0].evidence.boot.server_log.endswith("Adding/updating models.")


def test_a_server_that_hangs_in_a_request_is_a_verdict(validate: Validate) -> None:
    """A request that is not answered in time failed."""
    judged = validate("hang-in-request", SHORT_REQUESTS)

    assert [finding.gate for finding in judged.failures] == ["responses"]
    assert "DEADLINE_EXCEEDED" in judged.failures[0].reasons[0]


def test_a_server_that_dies_after_a_request_is_a_verdict(validate: Validate) -> None:
    """One that answers, before all are sent, and then dies, on every try, speaks against the model."""
    validation = options.Limits(max_loading_time_s=60, num_tries=2, request_timeout_s=30, concurrency=1)
    judged = validate("abort-after-one", validation)

    assert [finding.reasons for finding in judged.failures] == [
        ("The server died of SIGABRT with 0 of 3 requests answered.",)
    ]
    assert "Running gRPC ModelServer at" in judged.servers[0].evidence.boot.server_log


def test_a_death_between_requests_is_noticed_without_any(
    make_sandbox: MakeSandbox, boot: Boot, container_of: ContainerOf
) -> None:
    """The end is known at once although nothing is under way, behind a shell that is process 1 too."""
    with make_sandbox() as sandbox:
        assert boot(sandbox) is None
        container = container_of()
        assert b"entrypoint.sh" in container.exec_run(["cat", "/proc/1/cmdline"]).output
        container.exec_run(["python3", "-c", ABORT_SERVER])
        seen_s = time.monotonic() + 60
        assert base.wait_until(lambda: False, sandbox, seen_s) == base.ServerExit(code=None, signal=signal.SIGABRT)


def test_a_log_is_cut_at_its_start(make_sandbox: MakeSandbox, boot: Boot) -> None:
    """Of megabytes of log, standard error included, the end is kept, and still there after all is removed."""
    with make_sandbox("babble") as sandbox:
        assert boot(sandbox) == base.ServerExit(code=3, signal=None)
    assert sandbox.log().endswith("chatter \n…the end\n")
    assert 0.9 * base.LOG_TAIL_BYTES < len(sandbox.log()) <= base.LOG_TAIL_BYTES


def test_two_validations_at_once_do_not_meet(validate: Validate) -> None:
    """Both come to their own verdict."""
    with futures.ThreadPoolExecutor() as pool:
        good = pool.submit(validate, "serve")
        late = pool.submit(validate, "hang-in-request", SHORT_REQUESTS)
        assert good.result().blessed
        assert not late.result().blessed


def test_an_engine_that_is_restarted_during_replay_is_no_verdict(
    validate: Validate,
    second_engine: docker.DockerClient,
    second_engine_url: str,
    build_faulty_image: Callable[..., str],
    restart_second_engine: Callable[[], None],
    leftovers: Callable[..., list[str]],
) -> None:
    """The server is lost with it: could not judge; what was on the engine is removed once it is back."""

    def restart(text: str) -> None:
        if text.startswith("Sending requests"):
            restart_second_engine()

    once = options.Limits(max_loading_time_s=60, num_tries=1, request_timeout_s=60)
    with pytest.raises(errors.ServerLostError):
        validate("hang-in-request", once, restart, build_faulty_image(second_engine), base_url=second_engine_url)
    assert leftovers(second_engine) == []


def test_an_engine_that_is_restarted_is_tried_again(
    validate: Validate,
    second_engine: docker.DockerClient,
    second_engine_url: str,
    build_faulty_image: Callable[..., str],
    restart_second_engine: Callable[[], None],
    leftovers: Callable[..., list[str]],
) -> None:
    """A second try on the engine that is back comes to a verdict."""
    restarts = []

    def restart(text: str) -> None:
        if text.startswith("Sending requests") and not restarts:
            restarts.append(text)
            restart_second_engine()

    judged = validate("serve", TWICE, restart, build_faulty_image(second_engine), base_url=second_engine_url)
    assert judged.blessed, judged.failures
    assert leftovers(second_engine) == []


def test_a_connection_that_breaks_is_made_again(
    make_sandbox: MakeSandbox, boot: Boot, container_of: ContainerOf, tcp_engine: TcpEngine
) -> None:
    """What is between may end connections that are silent for long; the server's end is still noticed at once."""
    address, proxy = tcp_engine
    with make_sandbox(base_url=address) as sandbox:
        assert boot(sandbox) is None
        proxy.send_signal(signal.SIGUSR1)
        with pytest.raises(TimeoutError):
            base.wait_until(lambda: False, sandbox, time.monotonic() + 1)
        container_of().exec_run(["python3", "-c", ABORT_SERVER])
        ended = base.wait_until(lambda: False, sandbox, time.monotonic() + 60)
        assert ended == base.ServerExit(code=None, signal=signal.SIGABRT)


def test_an_engine_that_is_gone_for_good_is_no_verdict(
    make_sandbox: MakeSandbox,
    boot: Boot,
    tcp_engine: TcpEngine,
    engine: docker.DockerClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server is lost; leaving does not raise over it, and says what was left where, for the reaper or a person."""
    address, proxy = tcp_engine
    with make_sandbox(base_url=address) as sandbox:
        assert boot(sandbox) is None
        proxy.kill()
        proxy.wait()
        with pytest.raises(errors.ServerLostError, match=f"engine at {address} was lost"):
            base.wait_until(lambda: False, sandbox, time.monotonic() + 5)
        with pytest.raises(errors.ServerLostError, match="log of the model server could not be read"):
            sandbox.log()
    container, volume = (record.getMessage() for record in caplog.records if "was left" in record.getMessage())
    assert container.endswith(f"was left on the Docker engine at {address}: Connection refused.")
    name = container.partition(" ")[0]
    assert name == volume.partition(" ")[0]
    engine.containers.get(name).remove(force=True)
    engine.volumes.get(name).remove()


@pytest.mark.parametrize("path", ["/faulty:/usr/local/bin", "/faulty:/usr/local/bin:/usr/bin:/bin"])
def test_counters_that_cannot_be_read_are_unknown_with_a_reason(
    path: str, make_sandbox: MakeSandbox, boot: Boot, models: Path
) -> None:
    """Without a bash on PATH, or a REST port; the second time at once, and the server is none the worse for it."""
    launch = base.Launch(model_name="m", model_base_path=models, metrics=None)
    with make_sandbox(launch=launch, environment=(f"PATH={path}",)) as sandbox:
        assert boot(sandbox) is None
        known = counters.read(sandbox)
        assert known is not None
        assert known == evidence.Counters(unknown=known.unknown)
        assert known.unknown
        assert counters.read(sandbox) is None
        assert boot(sandbox) is None


def test_a_directory_or_socket_that_is_taken_is_an_error(make_sandbox: MakeSandbox, private_directory: Path) -> None:
    """Two sandboxes cannot have one run directory, and so no socket in common; the first one's stays."""
    with make_sandbox("hang-at-load"):
        with (
            pytest.raises(errors.ServerStartError, match=r"directory could not be created: .*File exists"),
            make_sandbox(),
        ):
            pass
        assert (private_directory / "r" / "grpc").is_dir()


def test_a_path_too_long_for_a_socket_is_an_error(make_sandbox: MakeSandbox) -> None:
    """It says so before anything is started."""
    with (
        pytest.raises(errors.ServerStartError, match="Set TMPDIR"),
        make_sandbox(name="r" * base.MAX_SOCKET_PATH_BYTES),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus": "all"}, "NVIDIA Container Toolkit"),
        ({"cpus": 1000.0}, "Lower --cpus"),
        ({"memory_bytes": 1}, "Raise --memory"),
    ],
)
def test_what_the_engine_does_not_have_is_an_error(
    make_sandbox: MakeSandbox, given: dict[str, object], message: str
) -> None:
    """The engine's own words, and what to do about it."""
    with pytest.raises(errors.ServerStartError, match=message), make_sandbox(**given):
        pass


def test_an_image_whose_entrypoint_is_missing_is_an_error(
    make_sandbox: MakeSandbox, engine: docker.DockerClient, build_image: Callable[..., str]
) -> None:
    """Such an image is not a model server's."""
    name = build_image(
        engine, "infraval-test/no-such-file:1", {"Dockerfile": b'FROM infraval/model-server\nENTRYPOINT ["/absent"]\n'}
    )
    with pytest.raises(errors.ServerStartError, match="work as tensorflow/serving does"), make_sandbox(image=name):
        pass


@pytest.mark.parametrize("elsewhere", ["", "--port=9000", "--grpc_socket_path=/tmp/s"])
def test_an_image_that_does_not_hand_on_flags_is_an_error(
    elsewhere: str,
    make_sandbox: MakeSandbox,
    boot: Boot,
    faulty_image: str,
    engine: docker.DockerClient,
    build_image: Callable[..., str],
) -> None:
    """Its server runs, and not on the socket: no fault of the model, which would be late for ever."""
    command = f"tensorflow_model_server --model_base_path=/model/m {elsewhere}"
    dockerfile = f'FROM {faulty_image}\nENTRYPOINT ["sh", "-c", "{command}"]\n'
    name = build_image(engine, "infraval-test/keeps-flags:1", {"Dockerfile": dockerfile.encode()})
    with (
        pytest.raises(errors.SandboxError, match=r"not listening on the socket .* pass further flags on"),
        make_sandbox(image=name) as sandbox,
    ):
        boot(sandbox)


def test_nothing_secret_is_in_an_error(make_sandbox: MakeSandbox) -> None:
    """The values of variables are in no message."""
    with (
        pytest.raises(errors.ServerStartError) as raised,
        make_sandbox(environment=("TOKEN=Grace.Hopper.1906",), gpus="all"),
    ):
        pass
    assert "Hopper" not in str(raised.value)
