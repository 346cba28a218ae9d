"""What serves the model: one variant of options per platform.

A variant is a subclass of `ServerOptions` that declares `platform: Literal["NAME"] = "NAME"`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny

from infraval import errors
from infraval.options import base

DEFAULT_MODEL_NAME = "infra-validation-model"
"""The model name TFX's InfraValidator serves under when its ServingSpec names none."""

DEFAULT_PLATFORM = "process"


class ServerOptions(base.Options):
    """What serves the model: the options of every platform, and the base of each platform's own."""

    group: ClassVar[str] = "server"
    _variants: ClassVar[dict[str, type[ServerOptions]]] = {}

    platform: Annotated[str, base.Flag("--platform", choices=lambda: tuple(ServerOptions.variants()))] = Field(
        default=DEFAULT_PLATFORM, description="Where the server under test runs."
    )
    model_name: Annotated[str, base.Flag("--model-name")] = Field(
        default=DEFAULT_MODEL_NAME, min_length=1, description="Name to serve the model under."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Makes the class a variant."""
        (platform,) = get_args(cls.model_fields["platform"].annotation)
        ServerOptions._variants[platform] = cls

    @staticmethod
    def variants() -> Mapping[str, type[ServerOptions]]:
        """The options of each platform, those of the default one first."""
        return dict(sorted(ServerOptions._variants.items(), key=lambda item: item[0] != DEFAULT_PLATFORM))

    @classmethod
    def alternatives(cls) -> tuple[type[base.Options], ...]:
        """The base, and then each platform's variant."""
        return (ServerOptions, *ServerOptions.variants().values())

    @classmethod
    def unknown(cls, key: str) -> base.Mistake:
        """Names the platform whose option it is, if there is one."""
        owners = [platform for platform, variant in cls.variants().items() if key in variant.model_fields]
        if not owners:
            return super().unknown(key)
        return base.Mistake(
            "{} is an option of the {owners} platform only; drop it or choose that platform.",
            owners=" or ".join(owners),
        )

    @classmethod
    def from_json(cls, text: str) -> ServerOptions:
        """Parses the options of whatever platform the JSON object names.

        Raises:
          OptionError: this is not a JSON object, or it has a key or a value that its platform does not take.
        """
        values = base.read_object(cls.group, text)
        return make(values) if cls is ServerOptions else cls(**values)

    def model_post_init(self, context: Any, /) -> None:
        """Counts the platform among what was set: JSON without it would be another platform's."""
        del context
        self.model_fields_set.add("platform")

    def complete(self) -> ServerOptions:
        """Itself, once nothing is missing; the component completes the options from InfraValidator's protos first.

        Raises:
          Mistake: something is missing.
        """
        return self


def make(values: Mapping[str, Any]) -> ServerOptions:
    """The options of the platform that the values name.

    Raises:
      OptionError: there is no such platform, or it does not take the values.
    """
    try:
        variant = _variant(values)
    except base.Mistake as mistake:
        raise errors.OptionError(mistake.sentence((), ServerOptions.named)) from None
    return variant(**values)


def _variant(values: Mapping[str, Any]) -> type[ServerOptions]:
    platform = values.get("platform", DEFAULT_PLATFORM)
    variant = ServerOptions.variants().get(platform) if isinstance(platform, str) else None
    if variant is None:
        raise base.Mistake(
            "{platform} must be one of {known}, not {value}.",
            known=", ".join(ServerOptions.variants()),
            value=reprlib.repr(platform),
        )
    return variant


def _read(given: Any) -> Any:
    return _variant(given).model_validate(dict(given)) if isinstance(given, Mapping) else given


AnyServer = Annotated[
    SerializeAsAny[ServerOptions], BeforeValidator(_read), AfterValidator(lambda server: server.complete())
]
"""The complete options of any platform; a dict is taken, too."""
