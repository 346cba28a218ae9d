"""What serves the model: one variant of options per platform.

A variant is a subclass of `ServerOptions` that declares `platform: Literal["NAME"] = "NAME"` and is in `VARIANTS`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, model_validator
from typing_extensions import Self

from infraval.options import base

DEFAULT_MODEL_NAME = "infra-validation-model"
"""The model name TFX's InfraValidator serves under when its ServingSpec names none."""

DEFAULT_PLATFORM = "process"

VARIANTS: dict[str, type[ServerOptions]] = {}
"""The options of each platform, by its name; a new platform adds its subclass of `ServerOptions`."""

FILES = ("model_config_file", "monitoring_config_file", "platform_config_file")
"""Options that name a file of production, each called like the flag that the server gets it with."""

_INFRAVAL_SETS_IT = "infraval sets it; drop it"
_TLS = "infraval connects without TLS; drop it"
_OWN_FLAGS = {
    "port": _INFRAVAL_SETS_IT,
    "grpc_socket_path": _INFRAVAL_SETS_IT,
    "model_base_path": _INFRAVAL_SETS_IT,
    "model_config_file": "set {server.model_config_file} instead",
    "monitoring_config_file": "set {server.monitoring_config_file} instead",
    "platform_config_file": "set {server.platform_config_file} instead",
    "model_name": "set {server.model_name} instead",
    "saved_model_tags": "set {requests.tag_set} instead",
    "batching_parameters_file": "set {warmup.batching_parameters_file} instead",
    "import_ops": "set {server.import_ops} instead",
    "hold_until": _INFRAVAL_SETS_IT,
    "ssl_config_file": _TLS,
    "use_alts_credentials": _TLS,
    "help": "the server would not serve; drop it",
    "version": "the server would not serve; drop it",
}
"""Flags of the server that are not for the user to set, and what to do."""


def _check_own_flags(arguments: tuple[str, ...]) -> tuple[str, ...]:
    for argument in arguments:
        flag = argument.partition("=")[0]
        instead = _OWN_FLAGS.get(flag.lstrip("-").replace("-", "_"))
        if instead is not None:
            raise base.Mistake(f"{{}} must not contain {{flag}}: {instead}.", flag=flag)
    return arguments


_TRUE = ("", "true", "1")
"""How TensorFlow's flags spell true (command_line_flags.cc)."""

_Argument = base.checked(lambda value: value.startswith("-"), "a flag such as --name=value")


class ServerOptions(base.Options):
    """What serves the model: the options of every platform, and the base of each platform's own."""

    group: ClassVar[str] = "server"

    platform: Annotated[str, base.Flag("--platform", choices=lambda: tuple(VARIANTS))] = DEFAULT_PLATFORM
    """Where the server under test runs."""
    model_name: Annotated[str, base.Flag("--model-name"), Field(min_length=1)] = DEFAULT_MODEL_NAME
    """Name to serve the model under; with `model_config_file`, the model of that name in it."""
    model_version: Annotated[
        int | None,
        base.Flag("--model-version", default="the version that the model config file names, else 1"),
        Field(ge=1, lt=2**63),
    ] = None
    """Version to serve the model as, which the requests then ask for unless they ask for a label."""
    model_config_file: Annotated[base.PathOrUri, base.Flag("--model-config-file", metavar="PATH")] = ""
    """Production's ModelServerConfig text proto: the server gets the entry of this model, with the staged copy as its
    base path."""
    version_label: Annotated[str, base.Flag("--version-label", metavar="LABEL")] = ""
    """Label in `model_config_file` that the requests ask for, as production's clients do."""
    monitoring_config_file: Annotated[base.PathOrUri, base.Flag("--monitoring-config-file", metavar="PATH")] = ""
    """Production's MonitoringConfig text proto, which the server boots with."""
    platform_config_file: Annotated[base.PathOrUri, base.Flag("--platform-config-file", metavar="PATH")] = ""
    """Production's PlatformConfigMap text proto, which the server boots with; in TF Serving it takes the place of the
    flags about batching, warmup and sessions."""
    server_arguments: Annotated[
        base.Strings, _Argument, AfterValidator(_check_own_flags), base.Flag("--server-argument", metavar="FLAG")
    ] = ()
    """Further flags of tensorflow_model_server, such as those of production; if one is given twice, the last one
    counts."""

    def __new__(cls, /, **_: Any) -> Self:
        """Refuses to make the base itself."""
        if cls is ServerOptions:
            raise TypeError("Make the options of one platform, such as ProcessServer, or call ServerOptions.parse.")
        return super().__new__(cls)

    @model_validator(mode="wrap")
    @classmethod
    def _choose_variant(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        """Makes a mapping the options of the platform that it names."""
        if cls is not ServerOptions or not isinstance(given, Mapping):
            return handler(given)
        platform = given.get("platform", DEFAULT_PLATFORM)
        variant = VARIANTS.get(platform) if isinstance(platform, str) else None
        if variant is None:
            known, value = ", ".join(VARIANTS), reprlib.repr(platform)
            raise base.Mistake("{server.platform} must be one of {known}, not {value}.", known=known, value=value)
        return variant.model_validate(dict(given))

    @classmethod
    def alternatives(cls) -> Sequence[type[base.Options]]:
        """The base may be any platform's variant."""
        return (cls, *VARIANTS.values()) if cls is ServerOptions else (cls,)

    @classmethod
    def unknown(cls, key: str) -> str:
        """Names the platform that has this option, if there is one."""
        owners = " or ".join(platform for platform, variant in VARIANTS.items() if key in variant.model_fields)
        if not owners:
            return super().unknown(key)
        return f"is an option of the {owners} platform only; drop it or choose that platform."

    def turns_on(self, flag: str) -> bool:
        """Whether `server_arguments` set a boolean flag, given without its dashes, to true; the last one counts."""
        given = [each.partition("=") for each in self.server_arguments]
        values = [value for name, _, value in given if name == f"--{flag}"]
        return bool(values) and values[-1] in _TRUE

    @model_validator(mode="after")
    def _check_label(self) -> Self:
        if self.version_label and not self.model_config_file:
            raise base.Mistake(
                "{server.version_label} needs {server.model_config_file}: TF Serving knows labels from that file only."
            )
        return self

    def model_post_init(self, context: Any, /) -> None:
        """Counts the platform among what was set, so that the JSON of every variant names it."""
        del context
        self.model_fields_set.add("platform")

    def complete(self) -> ServerOptions:
        """Returns itself if nothing is missing; the component first completes the options from InfraValidator's protos.

        Raises:
          Mistake: something is missing.
        """
        return self
