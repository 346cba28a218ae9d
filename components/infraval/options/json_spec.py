"""What the specs share: a JSON form, and checks whose failure is an OptionError."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from infraval import errors

if TYPE_CHECKING:
    from typing_extensions import Self

Choice = TypeVar("Choice", bound=enum.Enum)


class JsonSpec:
    """A frozen dataclass of strings, numbers, enums and tuples of strings or numbers, with a JSON form."""

    def to_json(self) -> str:
        """This spec as one JSON object with sorted keys; fields that hold their default are left out."""
        changed = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
            if getattr(self, field.name) != field.default
        }
        return json.dumps(changed, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses what `to_json` wrote, or the same written by hand.

        Raises:
          OptionError: the text is no JSON object, or has a key or a value that the spec does not take.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise errors.OptionError(f"{cls.__name__} is not valid JSON ({error}); give an object.") from None
        if not isinstance(values, Mapping):
            raise errors.OptionError(f"{cls.__name__} has to be a JSON object, not {type(values).__name__}.")
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise errors.OptionError(
                f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}."
            )
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def require(condition: bool, message: str) -> None:
    """Raises OptionError with the message unless the condition holds."""
    if not condition:
        raise errors.OptionError(message)


def whole(value: Any, least: int) -> bool:
    """Whether the value is a whole number of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def choice(name: str, value: Any, choices: type[Choice]) -> Choice:
    """The member of an enum that a field's value stands for; an OptionError names the field and the members."""
    try:
        return choices(value)
    except ValueError:
        names = ", ".join(str(member.value) for member in choices)
        raise errors.OptionError(f"{name} has to be one of {names}, not {value!r}.") from None
