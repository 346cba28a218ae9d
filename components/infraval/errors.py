"""Every error infraval raises on purpose.

An exception always means "could not judge": a model that was judged and failed is a `Verdict`, never an exception. The
command line turns each of these into exit code 2, the component lets them fail its execution.

Each class has a `code`, and an error may have a finer one. A code never changes its meaning; `--json` prints it.

Messages say what happened, where, and what to do next. They never hold request payloads: text that comes from a
server passes `infraval.redaction` first. Whatever else is in a message, it is safe to print: it is escaped here.
"""

from __future__ import annotations

from infraval import escape


class InfravalError(Exception):
    """Base of every error raised on purpose; means that no verdict was reached.

    Args:
      message: what happened, where, and what to do next; becomes one line.
      lines: further lines, such as the end of a log.
      code: a finer code than the class's.

    Attributes:
      code: stable name of what happened, `AREA/WHAT`.
    """

    code = "infraval/bug"

    def __init_subclass__(cls, code: str | None = None) -> None:
        cls.code = code or cls.code

    def __init__(self, message: str, *lines: str, code: str | None = None) -> None:
        super().__init__(*map(escape.one_line, (message, *lines)))
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return "\n".join(self.args)


class InputError(InfravalError, code="input/invalid"):
    """An option, the model, the examples or the place for the results cannot be used."""


class OptionError(InputError, code="option/invalid"):
    """An option or a combination of options is invalid."""


class ModelError(InputError, code="model/unreadable"):
    """The model directory is not a SavedModel, or not one that can serve the requested signatures."""


class ExamplesError(InputError, code="examples/unreadable"):
    """The examples are missing, unreadable, or cannot feed the requested signatures."""


class OutputError(InputError, code="output/unwritable"):
    """The results cannot be written to the given place."""


class SandboxError(InfravalError, code="sandbox/unavailable"):
    """The sandbox, not the model, is at fault."""


class ServerStartError(SandboxError, code="sandbox/start"):
    """The model server did not start, and the model is not the cause."""


class ServerLostError(SandboxError, code="sandbox/lost"):
    """The model server ended during the trial, and the model is not known to be the cause."""


class UnregisteredOpError(InfravalError, code="model/unregistered-op"):
    """The embedded server lacks an op that the model needs and a production server may well have."""


class PlatformNotBuiltError(InfravalError, code="platform/not-built"):
    """A serving platform that infraval knows but cannot run yet."""


class WarmupFileError(InfravalError, code="warmup/refused"):
    """The server rejects a warmup file that infraval wrote, but answers the same requests: a bug in infraval."""


class UndecidedError(InfravalError, code="gate/undecided"):
    """A gate could not decide, and the options say that this is no verdict."""


class AbortedError(InfravalError, code="aborted"):
    """A signal asked the process to end, or another image could not judge."""
