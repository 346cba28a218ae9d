"""How malformed requests were taken."""

from __future__ import annotations

import dataclasses

from infraval import options


@dataclasses.dataclass(frozen=True)
class Killer:
    """A malformed request that the server did not survive, or did not answer.

    Attributes:
      signature: key of the signature; several, separated by commas, for MultiInference.
      method: the RPC.
      input: alias of the input that is wrong; empty if that is the request as a whole.
      what: what is wrong.
      request: the request as compact JSON, without values of examples.
      cause: what the server died of; empty if it lives and did not answer in time.
      said: the last line of its log, redacted.
    """

    signature: str
    method: options.Method
    input: str
    what: str
    request: str
    cause: str
    said: str = ""


@dataclasses.dataclass(frozen=True)
class Robustness:
    """How the server took malformed requests.

    Attributes:
      sent: how many it was sent.
      left: how many were not sent; those of a kind of which one was a killer are left out and not counted.
      boots: how often the model was booted for them.
      killers: those that it did not survive, one of each kind.
      lost: why no more was sent or what became of a server that was not the model's doing, a sentence each.
    """

    sent: int
    left: int
    boots: int
    killers: tuple[Killer, ...] = ()
    lost: tuple[str, ...] = ()
