r"""What a `tensorflow_model_server` log says about the load of a model; the embedded server writes the same texts.

Pure functions over the log's text. They never raise: a text that is not there gives None or False.

source: tensorflow_serving/model_servers/{main,server_core}.cc, servables/tensorflow/saved_model_warmup_util.cc,
sources/storage_path/file_system_storage_path_source.cc
"""

from __future__ import annotations

import dataclasses
import re

_FAILED = re.compile(r"^Failed to start server\. Error: (?P<error>.*)", re.MULTILINE | re.DOTALL)
# The message may hold anything, also line breaks and "}, }": only the last of these closes it.
_REFUSED = re.compile(
    r"UNKNOWN: \d+ servable\(s\) did not become available: "
    r"\{\{\{name: [^\n]*? version: \d+\} due to error: (?P<code>[A-Z_]+): (?P<message>.*)\}, \}",
    re.DOTALL,
)
_WARMUP_END = re.compile(
    r"No warmup data file found at |"
    r"Finished reading warmup data for model at [^\n]*\. Number of warmup records read: (?P<records>\d+)\."
)
_UNREGISTERED_OP = re.compile(r"Op type not registered '(?P<op>[^'\n]+)'")
_NO_VERSION = re.compile(r"No versions of servable [^\n]* found under base path ")


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A server's definite statement that it does not load the model.

    Attributes:
      code: name of the gRPC status code, such as INVALID_ARGUMENT.
      message: the load error's text; may hold values of requests.
    """

    code: str
    message: str


def refusal(log: str) -> Refusal | None:
    """Why the server refused the model; None if it did not, also when it failed to start for another reason."""
    failed = _FAILED.search(log)
    refused = failed and _REFUSED.match(failed["error"])
    return Refusal(code=refused["code"], message=refused["message"]) if refused else None


def start_failure(log: str) -> str | None:
    """Why the server did not get as far as loading the model; None if it did."""
    failed = _FAILED.search(log)
    if failed is None or _REFUSED.match(failed["error"]):
        return None
    return failed["error"].strip()


def warmup_records_read(log: str) -> int | None:
    """How many warmup records the last load replayed, 0 without a warmup file; None if no load got past them."""
    ends = [*_WARMUP_END.finditer(log)]
    return int(ends[-1]["records"] or 0) if ends else None


def unregistered_op(log: str) -> str | None:
    """The op that the log says is not registered; only text, which a model may have printed."""
    found = _UNREGISTERED_OP.search(log)
    return found["op"] if found else None


def no_version_found(log: str) -> bool:
    """Whether the server found no version directory to serve, and waits for one for ever."""
    return _NO_VERSION.search(log) is not None
