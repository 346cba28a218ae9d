"""What may vary in a known message: the slots of the templates.

A template is the literal text of a message with a `$slot` for each part that varies:

  `$name` `$names` `$path`             are shown if `vocabulary` knows them; `$names` is a list with commas
  `$number` `$measure` `$dtype` `$shape` `$unknown`
                                       are shown if they are of the type that `PATTERNS` says
  `$message` `$messages`               are messages in their own right, the latter one a line
  `$value`                             is never shown

A slot reaches to the next literal, so a template that ends in `$value` covers whatever follows, over any number of
lines. Of the templates that fit, the one with most literal text is taken.
"""

from __future__ import annotations

import re

REDACTED = "<redacted>"
"""Takes the place of whatever a slot may not show."""

STATUS_CODES = (
    ("CANCELLED", "Cancelled"),
    ("UNKNOWN", "Unknown"),
    ("INVALID_ARGUMENT", "Invalid argument"),
    ("DEADLINE_EXCEEDED", "Deadline exceeded"),
    ("NOT_FOUND", "Not found"),
    ("ALREADY_EXISTS", "Already exists"),
    ("PERMISSION_DENIED", "Permission denied"),
    ("RESOURCE_EXHAUSTED", "Resource exhausted"),
    ("FAILED_PRECONDITION", "Failed precondition"),
    ("ABORTED", "Aborted"),
    ("OUT_OF_RANGE", "Out of range"),
    ("UNIMPLEMENTED", "Unimplemented"),
    ("INTERNAL", "Internal"),
    ("UNAVAILABLE", "Unavailable"),
    ("DATA_LOSS", "Data loss"),
    ("UNAUTHENTICATED", "Unauthenticated"),
)
"""absl's names of the gRPC status codes, and how TensorFlow spelled them before 2.12."""

_DTYPE = (
    r"float(?:16|32|64|8_e5m2|8_e4m3fn)?|double|half|bfloat16|string|bool|resource|variant|complex(?:64|128)"
    r"|u?int(?:4|8|16|32|64)|qint(?:8|16|32)|quint(?:8|16)"
)
"""tensorflow/core/framework/types.proto as messages spell it, and numpy's spellings."""

# Four digits hold an index, an axis or a batch, but no date, telephone, account or card number: a dimension may come
# from a request's values (tf.fill, tf.broadcast_to).
_DIMENSION = r"(?:-?\d{1,4}|\?)"

PATTERNS = {
    "number": re.compile(r"-?\d{1,4}", re.ASCII),
    "measure": re.compile(r"\d{1,19}", re.ASCII),
    "dtype": re.compile(_DTYPE),
    "shape": re.compile(rf"\[\]|\[{_DIMENSION}(?:, ?{_DIMENSION}){{0,11}}\]|<unknown>", re.ASCII),
    "unknown": re.compile(r"<unknown>|\(unknown\)"),
}
"""Slots by name. `measure` is for numbers that the server itself counts: times, sizes, offsets, versions."""
