"""Text of a model server made safe to show: an allow-list of known messages.

Error texts and log lines of TensorFlow and TF Serving carry request values, in whatever shape the model under test
gives them. So nothing passes because it looks harmless, only because it is known: the wording is the server's own
(`serving_messages`, `tensorflow_messages`), and what varies in it is of a safe type (`slots`) or one of the model's own
names (`vocabulary`).
"""

from infraval.redaction.redactor import MAX_MESSAGE_LENGTH, WITHHELD, Redactor
from infraval.redaction.slots import REDACTED

__all__ = ["MAX_MESSAGE_LENGTH", "REDACTED", "WITHHELD", "Redactor"]
