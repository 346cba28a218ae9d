"""The command line's options for a model of options: names, types, limits, defaults and help come from its fields."""

from __future__ import annotations

import enum
import json
import pathlib
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

import click
from pydantic.fields import FieldInfo

from infraval import errors
from infraval.cli import uris
from infraval.options import base


def make(model: type[base.Options]) -> list[click.Parameter]:
    """An option for every field that has a `Flag`; a group that has one is one option."""
    return [*(_option(name, each.field, each.flag) for name, each in _own(model).items() if each.flag), *_groups(model)]


def secret(model: type[base.Options]) -> set[str]:
    """The flags whose values must not be shown."""
    return {each.flag.name for each in base.describe(model).values() if each.flag and not each.field.repr}


def _own(model: type[base.Options]) -> dict[str, base.Described]:
    """The options with a flag of their own."""
    return {name: each for name, each in base.describe(model).items() if each.flag and " " not in each.flag.name}


def _groups(model: type[base.Options]) -> list[click.Parameter]:
    found: list[click.Parameter] = []
    for name, field in model.model_fields.items():
        flag = base.flag_of(field)
        if flag is not None and base.group_of(field) is not None:
            help_text = field.description
            found.append(click.Option([flag.name, name], multiple=True, metavar=flag.metavar, help=help_text))
    return found


def read(model: type[base.Options], context: click.Context) -> Any:
    """Makes the model from a command line; only the options that were given are set in it.

    Raises:
      OptionError: the options are invalid; each line names its options as they are on the command line.
    """
    described = base.describe(model)
    flags = {name: each.flag.name for name, each in described.items() if each.flag}
    values: dict[str, Any] = {}
    for name in _own(model):
        if _parameter(name) not in context.params:  # the verb leaves it out
            continue
        if context.get_parameter_source(_parameter(name)) is not click.core.ParameterSource.DEFAULT:
            *groups, field = name.split(".")
            inner = values
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[field] = context.params[_parameter(name)]
    for option in _groups(model):
        group = str(option.name)
        for text in context.params.get(group, ()):
            _assign(text, group, option.opts[0], values.setdefault(group, {}), described, flags)
    return model.parse(values, flags)


def _assign(
    text: str,
    group: str,
    flag: str,
    values: dict[str, Any],
    described: Mapping[str, base.Described],
    flags: dict[str, str],
) -> None:
    """Reads `NAME.FIELD=VALUE`, an option of a group, into the values of that group."""
    key, equals, value = text.partition("=")
    name, _, field = key.partition(".")
    if not equals or not name or not field:
        known = ", ".join(each.partition(" ")[2] for each in flags.values() if each.startswith(f"{flag} "))
        raise errors.OptionError(f"{flag} must be NAME.FIELD=VALUE, not {text!r}; there are {known}.")
    inner = values.setdefault(name, {})
    if field in inner:
        raise errors.OptionError(f"{flag} {key} is given twice; give it once.")
    each = described.get(f"{group}.{key}")
    inner[field] = _json_or_string(value, lists=each is not None and typing.get_origin(each.field.annotation) is tuple)
    # What is not known is called the way that the user wrote it too.
    flags |= {f"{group}.{name}": f"{flag} {name}", f"{group}.{key}": f"{flag} {key}"}


def _json_or_string(text: str, *, lists: bool) -> Any:
    """The JSON value, or the string itself if it is not JSON, or if a list or object is wanted and it is neither."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if lists and not isinstance(value, (list, dict)) else value


def _parameter(name: str) -> str:
    return name.replace(".", "__")


def _option(name: str, field: FieldInfo, flag: base.Flag) -> click.Option:
    settings: dict[str, Any] = {"help": field.description, "required": field.is_required()}
    default = field.get_default()
    if field.annotation is bool:
        settings |= {"is_flag": True, "flag_value": not default, "default": default}
    else:
        multiple = typing.get_origin(field.annotation) is tuple and flag.parse is None
        value = FieldInfo.from_annotation(typing.get_args(field.annotation)[0]) if multiple else field
        settings |= {"multiple": multiple, "type": _type(value, flag), "metavar": flag.metavar or None}
        settings["show_default"] = flag.default or True
        if default not in {(), "", None} and flag.parse is None and not field.is_required():
            settings["default"] = default.value if isinstance(default, enum.Enum) else default
    return click.Option([flag.name, _parameter(name)], **settings)


def _type(field: FieldInfo, flag: base.Flag) -> Any:
    """What click reads the value with: one of its types, or a function."""
    kind = field.annotation
    if flag.parse is not None:
        return _reader(flag.parse)
    if flag.choices is not None:
        return click.Choice(flag.choices())
    if typing.get_origin(kind) is Literal:
        return click.Choice(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return click.Choice([member.value for member in kind])
    if kind in {int, float} or int in typing.get_args(kind):
        return (click.FloatRange if kind is float else click.IntRange)(**_limits(field))
    return uris.PathOrUri() if pathlib.Path in {kind, *typing.get_args(kind)} else click.STRING


def _limits(field: FieldInfo) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for each in field.metadata:
        for bound, side in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if hasattr(each, bound):
                limits |= {side: getattr(each, bound), f"{side}_open": bound in {"gt", "lt"}}
    return limits


def _reader(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read
