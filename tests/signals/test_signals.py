"""A signal raises where that is safe, is never lost, and a second one does not wait."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from infraval import signals

ENDINGS = {
    signal.SIGTERM: signals.SignalledError,
    signal.SIGHUP: signals.SignalledError,
    signal.SIGINT: KeyboardInterrupt,
}


@pytest.fixture(autouse=True, params=ENDINGS)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose handler is Python's default, and is so again afterwards."""
    default = signal.default_int_handler if request.param is signal.SIGINT else signal.SIG_DFL
    before = signal.signal(request.param, default)
    yield request.param
    assert signal.getsignal(request.param) is default
    signal.signal(request.param, before)


def test_a_signal_raises(number: signal.Signals) -> None:
    """An ending that no `except Exception` swallows, with the exit code of a shell."""
    with pytest.raises(ENDINGS[number]) as raised, signals.abort_on_signal():
        signal.raise_signal(number)
    assert not isinstance(raised.value, Exception)
    assert number is signal.SIGINT or raised.value.code == 128 + number


def test_a_deferred_signal_raises_after_the_block(number: signal.Signals) -> None:
    """Also after the outermost of nested blocks only."""
    done = []

    def work() -> None:
        with signals.deferred():
            with signals.deferred():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        done.append("after")

    with pytest.raises(ENDINGS[number]), signals.abort_on_signal():
        work()
    assert done == ["inner", "outer"]


def test_a_signal_does_not_replace_an_error_on_its_way(number: signal.Signals) -> None:
    """The contexts of an error clean up to the end; after that it counts."""
    cleaned = []

    def fail() -> None:
        try:
            with signals.deferred():
                signal.raise_signal(number)
                raise OSError
        finally:
            with signals.deferred():
                cleaned.append(True)
            cleaned.append(True)

    with pytest.raises(ENDINGS[number]), signals.abort_on_signal():
        fail()
    assert cleaned == [True, True]


def test_a_swallowed_signal_is_raised_again(number: signal.Signals) -> None:
    """A library's bare `except` only delays it to the next deferred block."""
    went_on = []

    def work() -> None:
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)
        went_on.append("to the next block")
        with signals.deferred():
            pass
        went_on.append("after it")

    with pytest.raises(ENDINGS[number]), signals.abort_on_signal():
        work()
    assert went_on == ["to the next block"]


@pytest.mark.parametrize("kind", [RuntimeError, None])
def test_the_end_of_the_block_knows_the_signal(number: signal.Signals, kind: type[Exception] | None) -> None:
    """Whether a library made another exception of it, or nothing."""

    def work() -> None:
        try:
            signal.raise_signal(number)
        except BaseException as error:
            if kind is not None:
                raise kind from error

    with pytest.raises(ENDINGS[number]), signals.abort_on_signal():
        work()


def test_an_ignored_signal_stays_ignored(number: signal.Signals) -> None:
    """As under nohup."""
    default = signal.signal(number, signal.SIG_IGN)
    with signals.abort_on_signal():
        signal.raise_signal(number)
    assert signal.signal(number, default) is signal.SIG_IGN


def test_other_handlers_and_threads_are_left_alone(number: signal.Signals) -> None:
    """Python handles signals in the main thread; a caller's own handler is the caller's business."""
    seen = []
    default = signal.signal(number, lambda *_: seen.append(True))
    with signals.abort_on_signal():
        signal.raise_signal(number)

    def elsewhere() -> None:
        with signals.abort_on_signal(), signals.deferred():
            seen.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    signal.signal(number, default)
    assert seen == [True, True]


def _end(number: signal.Signals, body: str) -> tuple[int, str]:
    script = f"""
import os, signal, time
from infraval import signals
number = signal.Signals({int(number)})
signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
say = lambda sentence: os.write(1, sentence.encode())
{body}
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


def test_before_anything_was_begun_the_process_ends_at_once(number: signal.Signals) -> None:
    """Imports take seconds, and some swallow what is raised in them."""
    body = """
with signals.abort_on_signal(say):
    try:
        signal.raise_signal(number)
    except BaseException:
        say("swallowed")
"""
    code, said = _end(number, body)
    assert code == 128 + number
    assert number.name in said
    assert "swallowed" not in said


def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    """While a clean-up hangs; but two at once are one request."""
    body = """
signals._ONE_REQUEST_S = 0.1
with signals.abort_on_signal(say), signals.deferred():
    signal.raise_signal(number)
    signal.raise_signal(number)
    say("first ")
    time.sleep(0.2)
    signal.raise_signal(number)
    say("not reached")
"""
    code, said = _end(number, body)
    assert code == 128 + number
    assert said.startswith("first ")
    assert number.name in said
    assert "not reached" not in said
