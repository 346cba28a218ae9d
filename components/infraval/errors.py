"""Every error infraval raises on purpose.

An exception always means "could not judge": a model that was judged and failed is a `Verdict`, never an
exception. The command line turns each of these into exit code 2, the component lets them fail its execution.

    InfravalError
     ├── InputError             what was asked for cannot be done with what was given
     │    ├── OptionError         an option or a combination of them
     │    ├── ModelError          the SavedModel
     │    ├── ExamplesError       the examples
     │    └── OutputError         the place for the results
     ├── SandboxError           the sandbox, not the model, is at fault
     │    ├── ServerStartError    the server did not start for a reason of its own
     │    └── ServerLostError     the server ended under way and the model is not known to be the cause
     ├── UnregisteredOpError    the embedded server lacks an op that production may have
     ├── PlatformNotBuiltError  a serving platform infraval knows but does not run yet
     ├── WarmupFileError        infraval wrote a warmup file that the server rejects: a bug of infraval's
     └── AbortedError           a signal asked the process to end, or another image could not judge

Each class has a `code`, and what is raised may have a finer one. A code never changes its meaning; `--json` prints it.

Messages say what happened, where, and what to do next. They never hold request payloads: text that comes from a
server passes `infraval.redaction` first.
"""

from __future__ import annotations


class InfravalError(Exception):
    """Base of every error raised on purpose; means that no verdict was reached.

    Args:
      message: what happened, where, and what to do next.
      code: a finer code than the class has.

    Attributes:
      code: stable name of what happened, `AREA/WHAT`.
    """

    code = "infraval/bug"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InputError(InfravalError):
    """What was asked for cannot be done with what was given."""

    code = "input/invalid"


class OptionError(InputError):
    """An option or a combination of them makes no sense."""

    code = "option/invalid"


class ModelError(InputError):
    """The model directory is not a SavedModel that can be asked what was requested."""

    code = "model/unreadable"


class ExamplesError(InputError):
    """The examples are missing, unreadable, or cannot feed the requested signatures."""

    code = "examples/unreadable"


class OutputError(InputError):
    """The results cannot be written where they were asked for."""

    code = "output/unwritable"


class SandboxError(InfravalError):
    """The sandbox, not the model, is at fault."""

    code = "sandbox/unavailable"


class ServerStartError(SandboxError):
    """The model server did not start, for a reason that is not the model's."""

    code = "sandbox/start"


class ServerLostError(SandboxError):
    """The model server ended under way and the model is not known to be the cause."""

    code = "sandbox/lost"


class UnregisteredOpError(InfravalError):
    """The embedded server lacks an op that the model needs and a production server may well have."""

    code = "model/unregistered-op"


class PlatformNotBuiltError(InfravalError):
    """A serving platform that infraval knows but does not run yet."""

    code = "platform/not-built"


class WarmupFileError(InfravalError):
    """The server rejects a warmup file that infraval wrote although it answers the same requests."""

    code = "warmup/refused"


class AbortedError(InfravalError):
    """A signal asked the process to end, or another image could not judge; what was started has been cleaned up."""

    code = "aborted"
