"""What every model of options is: frozen, strict, and refused with one line per mistake.

A field says everything about its option once: name, type, limits, default and meaning, and with a `Flag` what it is
called on the command line. The Python API, the JSON of RuntimeParameters, the command line's options with their help,
JSON Schema and docs/reference/options.md are all made from that.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pydantic

from infraval import errors

if TYPE_CHECKING:
    from typing_extensions import Self

Path = tuple[str, ...]
"""Where an option is: names of fields, from the outermost model inwards."""

Namer = Callable[[Path], str]
"""What the user calls an option."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """What an option is called on the command line; goes into the field's annotation.

    Attributes:
      name: with its dashes. `--no-…` of a field that is True by default sets it to False.
      metavar: what stands for the value in the help text; empty for the name of the type.
      default: describes a default that is not a constant.
      parse: makes the field's value of the string that was given; its ValueError says what is wrong.
      choices: the values there are, for a field whose type does not say.
    """

    name: str
    metavar: str = ""
    default: str = ""
    parse: Callable[[str], Any] | None = None
    choices: Callable[[], Sequence[str]] | None = None


class Mistake(ValueError):  # noqa: N818 - becomes a line of an OptionError; it never leaves a check as it is
    """Raised by a check of a field or model.

    Args:
      template: the sentence. `{}` stands for what the user calls the field or model that is checked, `{name}` for what
        the user calls a field in it (`{outer.inner}` for one further in), or for a value if one of that name is given.
      values: values to show.
    """

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template)
        self._template = template
        self._values = values

    def sentence(self, path: Path, name: Namer) -> str:
        """The sentence, in the user's words.

        Args:
          path: of what was checked.
          name: what the user calls an option.
        """

        def replace(found: re.Match[str]) -> str:
            key = found[1]
            if key in self._values:
                return str(self._values[key])
            return name((*path, *key.split("."))) if key else name(path)

        return re.sub(r"\{([a-z_.]*)\}", replace, self._template)


class Options(pydantic.BaseModel):
    """Base of every model of options; construction raises OptionError with one line per mistake."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    group: ClassVar[str] = ""
    """What these options are called as a group: a field of `Job`, and an argument of the component."""

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise _refusal(type(self), error, self.named) from None

    # Nested models are validated without this constructor, so that the mistakes in all of them come out together.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark

    @classmethod
    def parse(cls, values: Mapping[str, Any], name: Namer) -> Self:
        """The same as the constructor for a user who calls the options something else, such as `--batch-size`.

        Raises:
          OptionError: the values make no sense.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise _refusal(cls, error, name) from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses what `to_json` wrote, or the same written by hand.

        Raises:
          OptionError: this is not a JSON object, or it has a key or a value that these options do not take.
        """
        return cls(**read_object(cls.named(()), text))

    def to_json(self) -> str:
        """The options that were set, as one JSON object with sorted keys."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), sort_keys=True)

    def given(self) -> dict[str, Any]:
        """The options that were set, by name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}

    @classmethod
    def named(cls, path: Path) -> str:
        """What a user of Python or JSON calls an option of this model."""
        return ".".join(filter(None, (cls.group, *path))) or "The job"

    @classmethod
    def alternatives(cls) -> tuple[type[Options], ...]:
        """The models that a field of this type may hold: itself, and then its variants."""
        return (cls,)

    @classmethod
    def unknown(cls, key: str) -> Mistake:
        """What is wrong with a field that this model does not have."""
        del key
        return Mistake("{} is not an option; there are {known}.", known=", ".join(sorted(cls.model_fields)))


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


def _refusal(cls: type[Options], error: pydantic.ValidationError, name: Namer) -> errors.OptionError:
    return errors.OptionError("\n".join(dict.fromkeys(_line(cls, each, name) for each in error.errors())))


def _line(cls: type[Options], mistake: Mapping[str, Any], name: Namer) -> str:
    path = tuple(part for part in mistake["loc"] if isinstance(part, str))
    holder, field = _find(cls, path)
    known = mistake.get("ctx", {}).get("error")
    if isinstance(known, Mistake):
        return known.sentence(path, name)
    if mistake["type"] == "extra_forbidden":
        return holder.unknown(path[-1]).sentence(path, name)
    if mistake["type"] == "missing":
        return f"{name(path)} is missing."
    must = {
        "string_too_short": "must not be empty",
        "tuple_type": "must be a list",
        "path_type": "must be a path",
    }.get(mistake["type"], mistake["msg"].replace("Input should", "must", 1))
    if mistake["type"] == "model_type":
        return f"{name(path)} {must}, not {type(mistake['input']).__name__}."
    secret = field is not None and not field.repr
    return f"{name(path)} {must}." if secret else f"{name(path)} {must}, not {reprlib.repr(mistake['input'])}."


def _find(cls: type[Options], path: Path) -> tuple[type[Options], pydantic.fields.FieldInfo | None]:
    """The model that a path ends in, and the field there if it, or a variant of it, has one."""
    field = None
    for part in path:
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Options):
            cls = field.annotation
        variants = (variant.model_fields for variant in cls.alternatives())
        field = next((fields[part] for fields in variants if part in fields), None)
    return cls, field


def _as_tuple(value: Any) -> Any:
    """A tuple of strings, of how people write one."""
    if isinstance(value, (str, os.PathLike)):
        value = (value,)
    return tuple(map(_as_string, value)) if isinstance(value, (list, tuple)) else value


def _as_string(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _list_as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _name_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise Mistake("{} names {value} twice; name it once.", value=value)
    return values


def checked(
    holds: Callable[[str], object], what: str, show: Callable[[str], str] = lambda value: value
) -> pydantic.AfterValidator:
    """Marks a string, or strings, that must be something in particular; an empty one by itself counts as not given.

    Args:
      holds: whether a string is that.
      what: what it must be.
      show: the part of a string that may be told.
    """

    def check(value: Any) -> Any:
        for each in value if isinstance(value, tuple) else filter(None, (value,)):
            if not holds(each):
                raise Mistake("{} must be {what}, not {value}.", what=what, value=repr(show(each)))
        return value

    return pydantic.AfterValidator(check)


Once = pydantic.AfterValidator(_name_once)
"""Marks a list in which nothing may be twice."""

AsTuple = pydantic.BeforeValidator(_list_as_tuple)
"""Marks a tuple that may be given as a list."""

Strings = Annotated[tuple[Annotated[str, pydantic.Field(min_length=1)], ...], pydantic.BeforeValidator(_as_tuple)]
"""Strings, none empty: given as a list, a tuple or one string; a path counts as its string."""

PathOrUri = Annotated[str, pydantic.BeforeValidator(_as_string)]
"""A string, or a path that counts as its string."""

Lax = pydantic.Field(strict=False)
"""Marks a field that also takes what makes its value: a dict for a model, a string for an enum or a path."""


@dataclasses.dataclass(frozen=True)
class Described:
    """One option.

    Attributes:
      path: where it is.
      field: its type, limits, default and meaning.
      flag: what it is called on the command line; None if it cannot be given there.
      holder: the model that it is a field of.
    """

    path: Path
    field: pydantic.fields.FieldInfo
    flag: Flag | None
    holder: type[Options]


def describe(cls: type[Options], path: Path = ()) -> Iterable[Described]:
    """Every option of a model and of the models in it, in the order of the fields."""
    for name, field in cls.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Options):
            found: dict[Path, Described] = {}
            for variant in annotation.alternatives():
                for each in describe(variant, (*path, name)):
                    found.setdefault(each.path, each)
            yield from found.values()
        else:
            flag = next((each for each in field.metadata if isinstance(each, Flag)), None)
            yield Described((*path, name), field, flag, cls)
