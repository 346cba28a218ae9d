"""How the supervisor tells how a server ended, and how that is read."""

from __future__ import annotations

import signal

from hypothesis import given
from hypothesis import strategies as st

from infraval.sandbox import base
from infraval.sandbox.process import supervisor

SIGNALS = st.sampled_from(sorted(signal.valid_signals()))


@given(SIGNALS)
def test_a_signal_comes_through(number: int) -> None:
    """An end by any signal is read as that signal."""
    code = supervisor.exit_code(wait_status=number)
    assert 0 <= code <= 255
    assert base.server_exit(code) == base.ServerExit(code=None, signal=number)


@given(st.integers(0, supervisor.SIGNAL_BASE) | st.integers(supervisor.SIGNAL_BASE + signal.NSIG, 255))
def test_an_exit_code_comes_through(code: int) -> None:
    """An exit code is read as it was, apart from those that mean a signal in a shell too."""
    assert base.server_exit(supervisor.exit_code(wait_status=code << 8)) == base.ServerExit(code, signal=None)


@given(SIGNALS)
def test_a_killed_supervisor_stands_for_its_server(number: int) -> None:
    """A supervisor that was killed took the server along, and is read as the server's end."""
    assert base.server_exit(-number) == base.ServerExit(code=None, signal=number)
