"""The command line's options of a model of options: names, types, limits, defaults and help come from its fields."""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

import click
from pydantic.fields import FieldInfo

from infraval.options import base


def make(model: type[base.Options]) -> list[click.Parameter]:
    """An option for every field that has a `Flag`."""
    return [_option(each, each.flag) for each in base.describe(model) if each.flag is not None]


def read(model: type[base.Options], context: click.Context) -> Any:
    """The model that a command line describes; only what was given is set in it.

    Raises:
      OptionError: the options make no sense; each line names its options as they are on the command line.
    """
    flags = {each.path: each.flag.name for each in base.describe(model) if each.flag is not None}
    values: dict[str, Any] = {}
    for path in flags:
        name = _name(path)
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            group = values
            for part in path[:-1]:
                group = group.setdefault(part, {})
            group[path[-1]] = context.params[name]
    return model.parse(values, lambda path: flags.get(path, ".".join(path)))


def _name(path: base.Path) -> str:
    return "__".join(path)


def _option(described: base.Described, flag: base.Flag) -> click.Option:
    field = described.field
    constant = field.get_default(call_default_factory=True)
    shown: bool | str = flag.default or not (constant is None or constant in ((), ""))
    kind = field.annotation
    settings: dict[str, Any] = {}
    if kind is bool:
        settings = {"is_flag": True, "flag_value": not constant, "show_default": False}
    else:
        multiple = typing.get_origin(kind) is tuple and flag.parse is None
        inner = FieldInfo.from_annotation(typing.get_args(kind)[0]) if multiple else field
        settings = {"multiple": multiple, "type": _type(inner, flag), "show_default": shown}
        settings["metavar"] = flag.metavar or None
    if not field.is_required() and not settings.get("multiple"):
        settings["default"] = constant.value if isinstance(constant, enum.Enum) else constant
        if flag.parse is not None or constant in ((), "", None):
            settings["default"] = None
    return click.Option(
        [flag.name, _name(described.path)], help=field.description, required=field.is_required(), **settings
    )


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
    if kind in {int, float}:
        return (click.IntRange if kind is int else click.FloatRange)(**_limits(field))
    return click.Path(path_type=pathlib.Path) if pathlib.Path in {kind, *typing.get_args(kind)} else click.STRING


def _limits(field: FieldInfo) -> Mapping[str, Any]:
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
