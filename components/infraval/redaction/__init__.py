"""Text of a model server made safe to show: what occurs in the requests that were sent is removed, the rest is shown.

infraval built the requests, so it knows what a message may quote (`values`). It looks for that in
the message in every form in which it may have been printed (`search`), and takes out what it finds (`redactor`).

This guards against accidents, not against a model that sets out to leak: one that sorts the characters of its input, or
encrypts them, gets them past any such search. See docs/adr/0021-redaction-knows-what-was-sent.md.
"""

from infraval.escape import MAX_MESSAGE_LENGTH
from infraval.redaction.redactor import REDACTED, Redactor

__all__ = ["MAX_MESSAGE_LENGTH", "REDACTED", "Redactor"]
