"""What every model of options is: frozen, strict, and refused with one line per mistake.

A field says everything about its option once: name, type, limits, default, in its docstring the meaning, and with a
`Flag` what it is called on the command line. The Python API, the JSON of RuntimeParameters, the command line's options
with their help, JSON Schema and docs/reference/options.md are all made from that.

Code names an option by its full name from `Job` on, such as `warmup.batch_sizes`; what the user calls it is looked up
only when a mistake is reported.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pydantic
from typing_extensions import Self

from infraval import errors


@dataclasses.dataclass(frozen=True)
class Flag:
    """What an option is called on the command line; goes into the field's annotation.

    Attributes:
      name: with its dashes. `--no-…` of a field that is True by default sets it to False. `--gate warm.ratio` is
        given as `--gate warm.ratio=VALUE`; the field that holds a group has the flag `--gate` for all options in it.
      metavar: stands for the value in the help text; empty for the name of the type.
      default: describes a default that is not a constant.
      parse: makes the field's value from the given string; its ValueError says what is wrong.
      choices: the possible values, for a field whose type does not list them.
    """

    name: str
    metavar: str = ""
    default: str = ""
    parse: Callable[[str], Any] | None = None
    choices: Callable[[], Sequence[str]] | None = None


class Mistake(ValueError):  # noqa: N818 - becomes a line of an OptionError, and is not raised to callers
    """Raised by a check of a field or model.

    Args:
      template: the sentence, in which `{warmup.seed}` becomes the user's name for that option, `{}` the one for the
        option that is checked, and `{value}` the value of that name.
      values: values to show.
    """

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template)
        self._template = template
        self._values = values

    def sentence(self, option: str, names: Mapping[str, str]) -> str:
        """The sentence for a user who has other names for some options."""

        def replace(found: re.Match[str]) -> str:
            key = found[1] or option
            return str(self._values[key]) if key in self._values else names.get(key, key)

        return re.sub(r"\{([a-z0-9_.]*)\}", replace, self._template)


class Options(pydantic.BaseModel):
    """Base of every model of options; the constructor raises OptionError with one line per mistake."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    group: ClassVar[str] = ""
    """What these options are called as a group: a field of `Job`, and an argument of the component."""

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise _refusal(type(self), error, {}) from None

    # Nested models are validated without this constructor, so that the mistakes in all of them are reported together.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark

    @classmethod
    def parse(cls, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Self:
        """The same as the constructor, for a user who calls some options something else.

        Args:
          values: by field; those of a nested model as a mapping.
          names: the user's name for an option, such as `--batch-size` for `warmup.batch_sizes`.

        Raises:
          OptionError: the values are invalid.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise _refusal(cls, error, names or {}) from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses what `to_json` wrote, or the same written by hand.

        Raises:
          OptionError: this is not a JSON object, or it has an invalid key or value.
        """
        return cls.parse(read_object(cls.group or "The job", text))

    def to_json(self) -> str:
        """The options that were set, as one JSON object with sorted keys."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), sort_keys=True)

    def given(self) -> dict[str, Any]:
        """The options that were set, by name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}

    @classmethod
    def alternatives(cls) -> Sequence[type[Options]]:
        """The models that a field of this type may hold: this one, and then its variants."""
        return (cls,)

    @classmethod
    def unknown(cls, key: str) -> str:
        """The rest of the sentence about a field that this model does not have."""
        del key
        known = {name for model in cls.alternatives() for name in model.model_fields}
        return f"is not an option; there are {', '.join(sorted(known))}."


def read_object(name: str, text: str) -> dict[str, Any]:
    """Parses one JSON object.

    Raises:
      OptionError: it is something else; the message names the option.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.OptionError(f"{name} is not valid JSON ({error}); give an object.") from None
    if not isinstance(values, dict):
        raise errors.OptionError(f"{name} must be a JSON object, not {type(values).__name__}.")
    return values


@dataclasses.dataclass(frozen=True)
class Described:
    """One option of the model `holder`; `flag` is None if it cannot be given on the command line."""

    field: pydantic.fields.FieldInfo
    flag: Flag | None
    holder: type[Options]


def describe(cls: type[Options]) -> dict[str, Described]:
    """Every option of a model, its variants and the models in it, by full name and in the order of the fields."""
    found: dict[str, Described] = {}
    for variant in cls.alternatives():
        for name, field in variant.model_fields.items():
            flag, group = flag_of(field), group_of(field)
            if group is None:
                found.setdefault(_full_name(variant, name), Described(field, flag, variant))
                continue
            inner = describe(group)
            if flag is not None:
                start = len(group.group) + 1
                inner = {
                    key: dataclasses.replace(each, flag=dataclasses.replace(flag, name=f"{flag.name} {key[start:]}"))
                    for key, each in inner.items()
                }
            found |= inner
    return found


def group_of(field: pydantic.fields.FieldInfo) -> type[Options] | None:
    """The model of options that a field holds; None if it holds something else."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Options) else None


def flag_of(field: pydantic.fields.FieldInfo) -> Flag | None:
    """What a field is called on the command line; None if it cannot be given there."""
    return next((each for each in field.metadata if isinstance(each, Flag)), None)


def _full_name(cls: type[Options], *path: str) -> str:
    return ".".join((cls.group, *path) if cls.group else path)


def _holder(cls: type[Options], path: Sequence[str]) -> type[Options]:
    """The model of the options that a path of fields leads to."""
    if not path:
        return cls
    field = next(each.model_fields[path[0]] for each in cls.alternatives() if path[0] in each.model_fields)
    group = group_of(field)
    return cls if group is None else _holder(group, path[1:])


def _refusal(cls: type[Options], error: pydantic.ValidationError, names: Mapping[str, str]) -> errors.OptionError:
    lines = [line for each in error.errors() for line in _line(cls, each, names).split("\n")]
    return errors.OptionError(*dict.fromkeys(lines))


def _line(cls: type[Options], mistake: Mapping[str, Any], names: Mapping[str, str]) -> str:
    path = [part for part in mistake["loc"] if isinstance(part, str)]
    option = _full_name(cls, *path)
    name = names.get(option, option)
    known = describe(cls)
    own = mistake.get("ctx", {}).get("error")
    if isinstance(own, Mistake):
        return own.sentence(option, names)
    if mistake["type"] == "missing":
        return f"{name} is missing."
    if mistake["type"] == "extra_forbidden":
        holder = _holder(cls, path[:-1])
        return f"{name} {holder.unknown(path[-1])}"
    must = {
        "string_too_short": "must not be empty",
        "string_unicode": "must be valid UTF-8",
        "tuple_type": "must be a list",
        "path_type": "must be a path",
    }.get(mistake["type"], mistake["msg"].replace("Input should", "must", 1))
    if mistake["type"] == "model_type":
        return f"{name} {must}, not {type(mistake['input']).__name__}."
    secret = option in known and not known[option].field.repr
    return f"{name} {must}." if secret else f"{name} {must}, not {reprlib.repr(mistake['input'])}."


def read_bytes(text: str) -> int:
    """A number of bytes as `docker run --memory` takes it, such as 4g.

    Raises:
      ValueError: it is something else.
    """
    found = re.fullmatch(r"([1-9][0-9]*)([bkmg]?)", text.lower())
    if found is None:
        raise ValueError(f"{text!r} is not a number of bytes such as 4g or 512m.")
    return int(found[1]) << {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}[found[2]]


def _as_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return read_bytes(value)
    except ValueError:
        raise Mistake("{} must be a number of bytes such as 4g or 512m, not {value}.", value=repr(value)) from None


def _as_string(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _as_strings(value: Any) -> Any:
    values = (value,) if isinstance(value, (str, os.PathLike)) else value
    return tuple(map(_as_string, values)) if isinstance(values, (list, tuple)) else values


def _name_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise Mistake("{} names {value} twice; name it once.", value=value)
    return values


def checked(
    holds: Callable[[str], object], what: str, show: Callable[[str], str] = lambda value: value
) -> pydantic.AfterValidator:
    """Marks a string, or a list of strings, that must pass a check; an empty string counts as not given.

    Args:
      holds: the check of one string.
      what: what the string must be.
      show: the part of a string that may be shown.
    """

    def check(value: Any) -> Any:
        for each in value if isinstance(value, tuple) else filter(None, (value,)):
            if not holds(each):
                raise Mistake("{} must be {what}, not {value}.", what=what, value=repr(show(each)))
        return value

    return pydantic.AfterValidator(check)


Once = pydantic.AfterValidator(_name_once)
"""Marks a list without duplicates."""

Strings = Annotated[tuple[Annotated[str, pydantic.Field(min_length=1)], ...], pydantic.BeforeValidator(_as_strings)]
"""Strings, none empty: given as a list, a tuple or one string; a path counts as its string."""

PathOrUri = Annotated[str, pydantic.BeforeValidator(_as_string)]
"""A string, or a path that counts as its string."""

Count = Annotated[int, pydantic.Field(ge=1)]
"""How many; at least one."""

Bytes = Annotated[int, pydantic.Field(ge=1), pydantic.BeforeValidator(_as_bytes)]
"""A number of bytes; also as a string such as 512m."""

Seconds = Annotated[float, pydantic.Field(gt=0)]
"""A time limit."""

Lax = pydantic.Field(strict=False)
"""Marks a field that also takes what its value can be made from: a dict for a model, a string for an enum or a path, a
list for a tuple."""
