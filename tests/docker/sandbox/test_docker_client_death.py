"""What becomes of containers and volumes whose client is killed, in each phase of a validation."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infraval import options
from infraval.sandbox.docker import sandbox as docker_sandbox

pytestmark = pytest.mark.docker

StartClient = Callable[..., contextlib.AbstractContextManager["subprocess.Popen[str]"]]
StartValidation = Callable[[str, str], "subprocess.Popen[str]"]
Leftovers = Callable[..., list[str]]

PHASES = ["check", "load", "replay"]
BEHAVIOURS = {"check": "serve", "load": "hang-at-load", "replay": "hang-in-request"}


@pytest.fixture
def started(start_client: StartClient, silent_registry: str) -> StartClient:
    """Starts a client that blocks in the phase, once it is there."""

    @contextlib.contextmanager
    def start(phase: str) -> Iterator[subprocess.Popen[str]]:
        # In its check, a client blocks only where an image has to be pulled.
        given = {"image": f"{silent_registry}/model-server:1"} if phase == "check" else {}
        with start_client(phase, BEHAVIOURS[phase], **given) as client:
            assert client.stdout is not None
            last = "Pulling" if phase == "check" else phase
            assert any(line.startswith(last) for line in client.stdout), "it ended before it got there"
            yield client

    return start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_is_asked_to_end_leaves_nothing(
    phase: str, number: signal.Signals, started: StartClient, leftovers: Leftovers
) -> None:
    """It is gone soon, with its container and volume, and no verdict."""
    with started(phase) as client:
        assert len(leftovers()) == {"check": 0, "load": 2, "replay": 2}[phase]
        client.send_signal(number)
        client.communicate(timeout=120)
    # Python itself ends by SIGINT if nobody handles KeyboardInterrupt.
    assert client.returncode == (-number if number is signal.SIGINT else 128 + number)
    assert leftovers() == []


@pytest.mark.parametrize("transfer", ["mount", "copy"])
def test_a_signal_at_any_moment_leaves_nothing(
    transfer: str, base_url: str, faulty_image: str, models: Path, private_directory: Path, leftovers: Leftovers
) -> None:
    """While containers are made, filled, started and removed: what was begun is finished, and then removed."""
    server = options.DockerServer(
        base_url=base_url, model_transfer=options.ModelTransfer(transfer), environment=("BEHAVIOUR=hang-at-load",)
    )
    command = [sys.executable, str(Path(__file__).with_name("sandbox_loop.py"))]
    command += [str(models), faulty_image, server.to_json()]
    environment = {**os.environ, "TMPDIR": str(private_directory)}
    (models / "1" / "saved_model.pb").chmod(0o644)  # a mount that the container's user cannot read is refused
    before = list(private_directory.iterdir())
    moments = random.Random(transfer)  # noqa: S311 - moments, not secrets
    for _ in range(25):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as client:
            assert client.stdout is not None
            client.stdout.readline()
            time.sleep(moments.uniform(0, 0.7))  # one boot takes about half a second
            client.terminate()
            client.communicate(timeout=120)
        assert client.returncode == 128 + signal.SIGTERM
        assert leftovers() == []
        assert list(private_directory.iterdir()) == before


@pytest.mark.parametrize("phase", PHASES)
def test_what_a_killed_client_leaves_is_gone_at_the_next_start(
    phase: str, started: StartClient, leftovers: Leftovers, base_url: str, faulty_image: str
) -> None:
    """SIGKILL gives no time to clean up; the next check does it, and says so."""
    with started(phase) as client:
        client.kill()
        client.wait()
        left = len(leftovers())
        assert left == {"check": 0, "load": 2, "replay": 2}[phase]
        said = check(base_url, faulty_image)
    assert [line.rpartition(" ")[2] for line in said] == ([str(left)] if left else [])
    assert leftovers() == []


def test_the_reaper_leaves_the_living_alone(
    started: StartClient, leftovers: Leftovers, base_url: str, faulty_image: str
) -> None:
    """Another client's start takes nothing from one that is at work."""
    with started("load") as client:
        before = leftovers()
        assert check(base_url, faulty_image) == []
        assert leftovers() == before != []
        client.terminate()
        client.communicate(timeout=120)


def check(base_url: str, image: str) -> list[str]:
    """What a validation is told at its start."""
    said: list[str] = []
    docker_sandbox.check(options.DockerServer(images=image, base_url=base_url), said.append)
    return said


@pytest.fixture
def start_validation(
    infraval_command: Path, upper_model: Path, secret_examples: Path, faulty_image: str, private_directory: Path
) -> Iterator[StartValidation]:
    """Starts `infraval validate` with a server that behaves as named, on the engine at an address."""
    running = []

    def start(behaviour: str, address: str) -> subprocess.Popen[str]:
        command = [infraval_command, "validate", "--model", upper_model, "--examples", secret_examples]
        command += ["--platform", "docker", "--image", faulty_image, "--env", f"BEHAVIOUR={behaviour}"]
        process = subprocess.Popen(
            [*command, "--docker-host", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(private_directory)},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("behaviour", "said"), [("hang-at-load", "Booting"), ("hang-in-request", "Sending")])
def test_a_second_signal_does_not_wait_for_an_engine_that_hangs(
    behaviour: str,
    said: str,
    start_validation: StartValidation,
    tcp_engine: tuple[str, subprocess.Popen[str]],
    base_url: str,
    leftovers: Leftovers,
    private_directory: Path,
) -> None:
    """The first waits for the clean-up, in vain; what is left is told, and the next validation removes it."""
    address, proxy = tcp_engine
    before = set(private_directory.iterdir())
    client = start_validation(behaviour, address)
    assert client.stderr is not None
    assert any(said in line for line in client.stderr), "it ended before it got there"

    proxy.send_signal(signal.SIGSTOP)  # it still takes connections, and never answers
    client.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        client.wait(timeout=3)
    client.send_signal(signal.SIGINT)
    _, errors = client.communicate(timeout=6)  # a tenth of the time that a call of the engine may take

    assert client.returncode == 128 + signal.SIGINT
    assert re.search(r"^infraval: Ended by a second signal, SIGINT[^.\n]*left[^.\n]*\.\n\Z", errors, re.MULTILINE), (
        errors
    )
    left = leftovers()
    assert left
    assert set(private_directory.iterdir()) > before

    proxy.send_signal(signal.SIGCONT)
    # The removal that it was asked for may have reached the proxy, so some of it may be gone by now.
    succeeding = start_validation("serve", base_url)
    output, errors = succeeding.communicate(timeout=300)
    assert succeeding.returncode == 0, output + errors
    assert leftovers() == []
    assert set(private_directory.iterdir()) == before
