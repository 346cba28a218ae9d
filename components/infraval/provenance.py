"""When and where a validation ran, and what asked for it: enough to run it again, and nothing secret."""

from __future__ import annotations

import datetime as dt
import enum
import importlib.metadata
import os
import platform
import re
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from infraval import evidence, options, version

HIDDEN = "***"

_PACKAGES = ("tensorflow", "tfx", "apache-beam")

_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY = re.compile(r"(?<=\?)[^\s'\"]+")
_NAME = re.compile(r"(?<!\w)\w+=")
_VALUE = re.compile(r"[^\s'\"]*")
_SIGNED = re.compile(r"signature|token|credential", re.IGNORECASE)
_SECRET = re.compile(r"secret|token|passw|credential|api_?key|access_key", re.IGNORECASE)
"""Of a command line: who logs in where, a signed URL's query, and values whose names say that they are secret.

Each takes a time in proportion to the text, which can be long.
"""


class Recorder:
    """Notes when each stage began.

    Args:
      clock: seconds; times the stages.
      now: the time of day.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc),
    ) -> None:
        self._clock = clock
        self._started, self._started_s = now(), clock()
        self._begun: list[tuple[str, float]] = []

    def begin(self, stage: str) -> None:
        """Begins a stage, and so ends the one before."""
        self._begun.append((stage, self._clock() - self._started_s))

    def run(self, asked: str) -> evidence.Run:
        """The run so far; `asked` is what asked for it."""
        seconds = self._clock() - self._started_s
        ends = [start for _, start in self._begun[1:]] + [seconds]
        return evidence.Run(
            started=self._started.isoformat(timespec="seconds"),
            seconds=seconds,
            # A name of a file may be no UTF-8, which JSON cannot hold.
            asked=asked.encode(errors="backslashreplace").decode(),
            system=platform.platform(),
            cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            versions={"infraval": version.VERSION, "python": platform.python_version(), **dict(_versions(_PACKAGES))},
            stages=tuple(
                evidence.Stage(name, start, end - start) for (name, start), end in zip(self._begun, ends, strict=True)
            ),
        )


def of_command(arguments: Iterable[str], secret_flags: Collection[str] = ()) -> str:
    """A command line as one types it, without what is secret.

    Args:
      arguments: of the command, its name included.
      secret_flags: flags whose value, or what comes after `=` in it, is not shown.
    """
    shown, hides = [], False
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if hides:
            shown.append(_hidden(argument))
        elif equals and flag in secret_flags:
            shown.append(f"{flag}={_hidden(value)}")
        else:
            shown.append(_without_secrets(argument))
        hides = not hides and argument in secret_flags
    return shlex.join(shown)


def of_job(job: options.Job, name: str, leave_out: Collection[str] = ()) -> str:
    """The call of Python that asks for a job, without what is secret.

    Args:
      job: what was asked for.
      name: of the function.
      leave_out: fields of the job that are not arguments of it.
    """
    given = {key: value for key, value in _given(job).items() if key not in leave_out and value != {}}
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def _given(asked: options.Options) -> dict[str, Any]:
    """The options that were set, as plain values."""
    found: dict[str, Any] = {}
    for name, value in asked.given().items():
        if isinstance(value, options.Options):
            found[name] = _given(value)
        elif not type(asked).model_fields[name].repr:
            found[name] = [_hidden(each) for each in value] if isinstance(value, tuple) else HIDDEN
        else:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it; options take all of them in this form, too."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (str, os.PathLike)):
        return _without_secrets(os.fspath(value))
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _hidden(value: str) -> str:
    """`NAME=VALUE` without the value."""
    name, equals, _ = value.partition("=")
    return f"{name}={HIDDEN}" if equals else value


def _without_secrets(text: str) -> str:
    text = _LOGIN.sub(HIDDEN, text)
    text = _QUERY.sub(lambda found: HIDDEN if _SIGNED.search(found[0]) else found[0], text)
    shown, end = [], 0
    for name in _NAME.finditer(text):
        if name.start() >= end and _SECRET.search(name[0]) and (value := _VALUE.match(text, name.end())) and value[0]:
            shown += [text[end : name.end()], HIDDEN]
            end = value.end()
    return "".join([*shown, text[end:]])


def _versions(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of those that are installed."""
    for package in packages:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
