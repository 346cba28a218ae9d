"""`SIGNATURE/INPUT=VALUE`, as --feature and --input take it. Both names may hold `/` and `=`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from infraval import errors, escape
from infraval.requests import signatures


def split(
    given: Iterable[str], available: Mapping[str, signatures.Signature], option: str, value: str
) -> Iterator[tuple[str, str, str]]:
    """Splits each into the key of the signature, the alias of the input, and what is after the `=`.

    The longest name of an input that fits is meant.

    Args:
      given: as the user wrote them.
      available: the model's signatures, by key.
      option: for messages.
      value: for messages, what is after the `=`.

    Raises:
      OptionError: one of them names no input, more than one, or one that was named before.
    """
    inputs: dict[str, list[tuple[str, str]]] = {}
    for key, signature in available.items():
        for alias in signature.inputs:
            inputs.setdefault(f"{key}/{alias}", []).append((key, alias))
    seen = set()
    for each in given:
        ends = [place for place, character in enumerate(each) if character == "=" and each[:place] in inputs]
        if not ends:
            # What is after the "=" may be data.
            raise errors.OptionError(
                f"{option} {each.partition('=')[0]!r} does not name an input of the model. Write SIGNATURE/INPUT="
                f"{value}. The model's inputs: {escape.names(inputs)}."
            )
        name, rest = each[: ends[-1]], each[ends[-1] + 1 :]
        if len(inputs[name]) > 1:
            meant = " or ".join(f"{alias!r} of signature {key!r}" for key, alias in inputs[name][:2])
            raise errors.OptionError(
                f"{option} {name!r} can mean the input {meant}. Export the model with other names to use this option "
                "for them."
            )
        if name in seen:
            raise errors.OptionError(f"{option} names the input {name} twice. Name it once.")
        seen.add(name)
        ((key, alias),) = inputs[name]
        yield key, alias, rest
