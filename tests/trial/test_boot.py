"""One boot on a sandbox and a clock made by hand: when the clock starts, and what the server says of its arguments."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infraval import errors, evidence, options, redaction
from infraval.sandbox import base, registry
from infraval.trial import boot

if TYPE_CHECKING:
    from typing_extensions import Self

BEGINS = "I Building single TensorFlow model file config:  model_name: m model_base_path: /m\n"
IGNORES = "2026-01-01 00:00:00.000000: W --num_load_threads has no effect on this server.\n"
LIMIT_S = 3.0


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Now."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Passes them."""
        self.now_s += seconds


class Sandbox:
    """A server that takes its time to be made, to begin to load, and to load; it writes what it is told to."""

    def __init__(self, clock: Clock, made_s: float, begins_s: float, loads_s: float, log: Sequence[str] = ()) -> None:
        self._clock = clock
        self._made_s = made_s
        self._begins_s = begins_s
        self._loads_s = loads_s
        self._log = "".join(log)
        self.started_s = 0.0
        self.identity = evidence.Server("x", "1", "process", embedded=begins_s > 0)
        self.target = "unix:/nowhere"
        self.ended: base.ServerExit | None = None

    def __enter__(self) -> Self:
        self._clock.sleep(self._made_s)
        self.started_s = self._clock.monotonic()
        self._clock.sleep(0.5)  # such as the question for the version
        return self

    def __exit__(self, *_: object) -> None: ...

    def poll(self) -> base.ServerExit | None:
        """How it ended."""
        return self.ended

    def memory(self) -> evidence.Memory | None:
        """As many bytes as seconds since it started."""
        return evidence.Memory(int(self._clock.monotonic() - self.started_s))

    def log(self) -> str:
        """What it wrote so far."""
        begun = self._clock.monotonic() >= self.started_s + self._begins_s
        return self._log + (BEGINS if begun else "")

    def available(self) -> bool:
        """Whether it has loaded the model."""
        return self._clock.monotonic() >= self.started_s + self._begins_s + self._loads_s


Boot = Callable[..., evidence.Boot]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of everything that waits."""
    made = Clock()
    for module in (boot, base):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def boot_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Boot:
    """Boots once on a sandbox, with a limit of three seconds and those arguments."""

    def run(sandbox: Sandbox, *arguments: str) -> evidence.Boot:
        platform = types.SimpleNamespace(create=lambda *_: sandbox)
        monkeypatch.setattr(registry, "platform", lambda _: platform)
        monkeypatch.setattr(boot.client.Client, "available", lambda _: sandbox.available())
        server = options.ProcessServer(server_arguments=arguments)
        limits = options.Limits(max_loading_time_s=LIMIT_S, num_tries=1)
        launch = base.Launch("m", tmp_path)
        booter = boot.Booter(server, limits, launch, tmp_path, redaction.Redactor(), lambda _: None)
        return booter.boot_until_definite([])[0]

    return run


@pytest.mark.parametrize("begins_s", [0.0, 100.0])
def test_only_the_load_is_load_time(begins_s: float, clock: Clock, boot_on: Boot) -> None:
    """Neither a slow copy or pull, nor the embedded server's own start."""
    booted = boot_on(Sandbox(clock, made_s=1000.0, begins_s=begins_s, loads_s=2.0))
    assert booted.failure is None
    assert booted.load_time_s == pytest.approx(2.0, abs=0.1)
    assert booted.memory == evidence.Memory(int(begins_s) + 2)
    load, requests = booted.timeline.phases
    assert load == evidence.Phase("load", 0.0, booted.load_time_s)
    assert requests.start_s == booted.load_time_s


@pytest.mark.parametrize("begins_s", [0.0, 100.0])
def test_a_late_load_is_late(begins_s: float, clock: Clock, boot_on: Boot) -> None:
    """By the time from the start of the load."""
    booted = boot_on(Sandbox(clock, made_s=0.0, begins_s=begins_s, loads_s=4.0))
    assert booted.failure == evidence.Late(LIMIT_S)
    assert clock.now_s == pytest.approx(1000.0 + begins_s + LIMIT_S, abs=0.2)


def test_an_embedded_server_that_never_begins_to_load_is_no_verdict(clock: Clock, boot_on: Boot) -> None:
    """The machine or a module of --import-ops is slow, not the model."""
    with pytest.raises(errors.ServerLostError):
        boot_on(Sandbox(clock, made_s=0.0, begins_s=10_000.0, loads_s=0.0))


def test_an_embedded_server_that_ends_before_it_loads_is_no_verdict(clock: Clock, boot_on: Boot) -> None:
    """At once, without waiting for it to begin."""
    sandbox = Sandbox(clock, made_s=0.0, begins_s=10_000.0, loads_s=0.0)
    sandbox.ended = base.ServerExit(code=255, signal=None)
    with pytest.raises(errors.ServerStartError, match="255"):
        boot_on(sandbox)


def test_flags_that_the_embedded_server_ignores_are_evidence(clock: Clock, boot_on: Boot) -> None:
    """As it says itself."""
    booted = boot_on(Sandbox(clock, 0.0, 1.0, 0.0, [IGNORES]), "--num_load_threads=2")
    assert booted.server.ignored_flags == ("--num_load_threads",)


@pytest.mark.parametrize("begins_s", [0.0, 1.0])
@pytest.mark.parametrize("loads_s", [0.0, 4.0])
def test_an_argument_that_the_server_does_not_know_is_an_error(
    begins_s: float, loads_s: float, clock: Clock, boot_on: Boot
) -> None:
    """TensorFlow Serving says so in its log and goes on; whether it then loads the model in time or not."""
    log = ["unknown argument: --enable_bathcing\n", "usage: tensorflow_model_server\n"]
    with pytest.raises(errors.OptionError, match="--enable_bathcing"):
        boot_on(Sandbox(clock, 0.0, begins_s, loads_s, log), "--enable_bathcing")


def test_what_a_model_prints_is_not_the_servers_word(clock: Clock, boot_on: Boot) -> None:
    """Lines after the load began may be the model's."""
    forged = [BEGINS, IGNORES, "unknown argument: --enable_batching\n"]
    booted = boot_on(Sandbox(clock, 0.0, 1.0, 0.0, forged), "--enable_batching")
    assert booted.failure is None
    assert booted.server.ignored_flags == ()
