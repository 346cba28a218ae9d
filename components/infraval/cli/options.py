"""The command line's options for a model of options: names, types, limits, defaults and help come from its fields."""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable
from typing import Any, Literal

import click
from pydantic.fields import FieldInfo

from infraval.cli import uris
from infraval.options import base


def make(model: type[base.Options]) -> list[click.Parameter]:
    """An option for every field that has a `Flag`."""
    return [_option(name, each.field, each.flag) for name, each in base.describe(model).items() if each.flag]


def read(model: type[base.Options], context: click.Context) -> Any:
    """Makes the model from a command line; only the options that were given are set in it.

    Raises:
      OptionError: the options are invalid; each line names its options as they are on the command line.
    """
    flags = {name: each.flag.name for name, each in base.describe(model).items() if each.flag}
    values: dict[str, Any] = {}
    for name in flags:
        if context.get_parameter_source(_parameter(name)) is not click.core.ParameterSource.DEFAULT:
            *groups, field = name.split(".")
            inner = values
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[field] = context.params[_parameter(name)]
    return model.parse(values, flags)


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
