r"""What a `tensorflow_model_server` log says about loading a model; the embedded server writes the same messages.

Pure functions over the log. They never raise: a message that is not there gives None or False.

What a server says before it begins to load is its own: no model can have printed it. Later lines may be a model's.

source: tensorflow_serving/model_servers/{main,server,server_core}.cc, servables/tensorflow/saved_model_warmup_util.cc
"""

from __future__ import annotations

import re

# The message may contain anything, including line breaks and "}, }": only the last of these closes it.
_REFUSED = re.compile(
    r"^Failed to start server\. Error: UNKNOWN: \d+ servable\(s\) did not become available: "
    r"\{\{\{name: [^\n]*? version: \d+\} due to error: (?P<code>[A-Z_]+): (?P<message>.*)\}, \}",
    re.MULTILINE | re.DOTALL,
)
_WARMUP_END = re.compile(
    r"No warmup data file found at |"
    r"Finished reading warmup data for model at [^\n]*\. Number of warmup records read: (?P<records>\d+)\."
    r"(?: Elapsed time \(microseconds\): (?P<micros>\d{1,15})\.)?"
)
_BEGINS_TO_LOAD = re.compile(r"Building single TensorFlow model file config:|Adding/updating models\.")
"""The first is written only without a model config file."""

_UNKNOWN_ARGUMENT = re.compile(r"^unknown argument: (?P<argument>[^\n]*)$", re.MULTILINE)
_IGNORED_FLAG = re.compile(r": W (?P<flag>--\w+) has no effect on this server\.$", re.MULTILINE)
_LISTENS = re.compile(r"Running gRPC ModelServer at (?:UNIX socket (?P<path>\S+)|\S*:(?P<port>\d+)) \.\.\.")
_UNREGISTERED_OP = re.compile(r"Op type not registered '(?P<op>[^'\n]+)'")


def begins_to_load(log: str) -> bool:
    """Whether the server has begun to load the model."""
    return _BEGINS_TO_LOAD.search(log) is not None


def unknown_argument(log: str) -> str | None:
    """The first argument that the server does not know; None if there is none or it is no longer in the log."""
    found = _UNKNOWN_ARGUMENT.search(_before_load(log))
    return found["argument"] if found else None


def ignored_flags(log: str) -> tuple[str, ...]:
    """The flags of TensorFlow Serving that the embedded server says it ignores."""
    return tuple(dict.fromkeys(_IGNORED_FLAG.findall(_before_load(log))))


def _before_load(log: str) -> str:
    found = _BEGINS_TO_LOAD.search(log)
    return log[: found.start()] if found else ""


def refusal(log: str) -> tuple[str, str] | None:
    """The name of the gRPC status code and the load error, which may quote values from requests.

    None if the server did not say that it will not load the model, or failed to start for another reason.
    """
    refused = _REFUSED.search(log)
    return (refused["code"], refused["message"]) if refused else None


def warmup_records_read(log: str) -> int | None:
    """How many warmup records the last load replayed, 0 without a warmup file; None if no load got past them."""
    end = _warmup_end(log)
    return int(end["records"] or 0) if end else None


def warmup_seconds(log: str) -> float:
    """How long the warmup of the last load took, as the server says; 0 if there was none."""
    end = _warmup_end(log)
    return int(end["micros"] or 0) / 1e6 if end else 0.0


def _warmup_end(log: str) -> re.Match[str] | None:
    """What the log says of the warmup of the last load."""
    ends = [*_WARMUP_END.finditer(log)]
    return ends[-1] if ends else None


def addresses(log: str) -> set[str]:
    """The ports and the paths of sockets that the log says the server listens at; a model may have printed it."""
    return {found["port"] or found["path"] for found in _LISTENS.finditer(log)}


def unregistered_op(log: str) -> str | None:
    """The op that the log says is not registered; only text, which a model may have printed."""
    found = _UNREGISTERED_OP.search(log)
    return found["op"] if found else None
