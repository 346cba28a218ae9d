"""The command line, parsed as `tensorflow_model_server` parses its own (source: main.cc, command_line_flags.cc)."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

_MAX_INT64 = 2**63 - 1
_OWN = {"import-ops": "import_ops", "hold-until": "hold_until"}
"""Flags that TensorFlow Serving does not have, as they are spelled, and their fields."""
_TRUE = ("", "true", "1")
_FALSE = ("false", "0")
_TYPE_NAMES = {bool: "bool", int: "int64", str: "string", tuple: "string"}


def _flag(default: Any, usage: str) -> Any:
    return dataclasses.field(default=default, metadata={"usage": usage})


IGNORED = frozenset(
    {
        "enable_profiler",
        "enable_serialization_as_tensor_content",
        "flush_filesystem_caches",
        "grpc_channel_arguments",
        "mixed_precision",
        "num_load_threads",
        "num_tflite_interpreters_per_pool",
        "num_tflite_pools",
        "num_unload_threads",
        "per_process_gpu_memory_fraction",
        "platform_config_file",
        "prefer_tflite_model",
        "remove_unused_fields_from_bundle_metagraph",
        "rest_api_timeout_in_ms",
        "skip_initialize_tpu",
        "ssl_config_file",
        "tensorflow_inter_op_parallelism",
        "tensorflow_intra_op_parallelism",
        "tensorflow_session_config_file",
        "tensorflow_session_parallelism",
        "thread_pool_factory_config_file",
        "use_alts_credentials",
    }
)
"""Flags of TensorFlow Serving, up to 2.20, that have no effect here; their values are not looked at."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Values of the flags. Each field has the name of its flag; its metadata holds the usage text."""

    port: int = _flag(8500, "TCP port for gRPC; 0 to disable.")
    host: str = _flag("127.0.0.1", "Address to bind TCP ports to; not a flag of TensorFlow Serving.")
    grpc_socket_path: str = _flag("", "Path of a UNIX socket for gRPC, at most 107 bytes; empty to disable.")
    grpc_max_threads: int = _flag(4 * (os.cpu_count() or 1), "Number of gRPC requests handled at the same time.")
    rest_api_port: int = _flag(0, "TCP port for the REST API, different from --port; 0 to disable.")
    rest_api_num_threads: int = _flag(4 * (os.cpu_count() or 1), "Number of REST requests handled at the same time.")
    rest_api_socket_path: str = _flag(
        "",
        "Path of a UNIX socket for the REST API, beside or instead of its port; not a flag of TensorFlow Serving.",
    )
    rest_api_enable_cors_support: bool = _flag(False, "Let pages of any origin read what the REST API answers.")
    monitoring_config_file: str = _flag("", "MonitoringConfig text proto: whether Prometheus finds metrics, and where.")
    model_name: str = _flag("default", "Name under which the model is served.")
    model_base_path: str = _flag("", "Absolute path of the directory that holds the numbered versions.")
    model_config_file: str = _flag(
        "", "ModelServerConfig text proto; --model_name and --model_base_path are not looked at then."
    )
    model_config_file_poll_wait_seconds: int = _flag(0, "Seconds between two readings of that file; 0 for one only.")
    file_system_poll_wait_seconds: int = _flag(
        1, "Seconds between two looks for versions; 0 for one look only, negative for none."
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "Allow a new label of a version that is not available yet, without which none can be there at the start."
    )
    enable_grpc_healthcheck_service: bool = _flag(False, "Answer grpc.health.v1.Health/Check.")
    saved_model_tags: str = _flag("serve", "Comma-separated tags of the meta graph to load.")
    enable_model_warmup: bool = _flag(True, "Replay assets.extra/tf_serving_warmup_requests before serving.")
    num_request_iterations_for_warmup: int = _flag(0, "How often each warmup record is replayed; 0 means once.")
    max_num_load_retries: int = _flag(5, "How often a failed load is tried again.")
    load_retry_interval_micros: int = _flag(
        60_000_000, "Microseconds between two attempts to load; no wait if negative."
    )
    enable_batching: bool = _flag(False, "Run requests in batches, padded to the allowed batch sizes.")
    batching_parameters_file: str = _flag("", "BatchingParameters text proto; needs --enable_batching.")
    enable_per_model_batching_parameters: bool = _flag(
        False, "Batch by each model's own batching_params.pbtxt, and not at all without one; needs --enable_batching."
    )
    xla_cpu_compilation_enabled: bool = _flag(
        False, "Allow XLA to compile for the CPU; if not, functions that need it fail."
    )
    xla_gpu_compilation_enabled: bool = _flag(False, "The same; TensorFlow Serving has it since 2.18, for CPU and GPU.")
    enable_signature_method_name_check: bool = _flag(
        False, "Refuse requests whose method does not match the signature's method_name."
    )
    import_ops: tuple[str, ...] = _flag((), "Python module to import because it registers custom ops; repeatable.")
    hold_until: str = _flag("", "File for which to wait once TensorFlow is imported, before anything is loaded.")
    version: bool = _flag(False, "Print the versions and exit.")
    help: bool = _flag(False, "Print this text and exit.")


class FlagValueError(ValueError):
    """A flag's value is not of the flag's type; the message is TensorFlow's."""


def parse(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """Parses arguments of the form `--flag=value` or `--flag value`, or `--flag` for a boolean.

    Args:
      argv: the arguments without the program's name.

    Returns:
      The options, and the arguments that are not flags of TensorFlow Serving, in their order.

    Raises:
      FlagValueError: a value is not of its flag's type.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Options)}
    values: dict[str, Any] = {}
    unknown = []
    for argument in _with_equals(argv):
        spelled, equals, value = argument.removeprefix("--").partition("=")
        name = _OWN.get(spelled, spelled)
        default = defaults.get(name)
        if argument.startswith("--") and name in IGNORED:
            continue
        if default is None or not argument.startswith("--") or not (equals or isinstance(default, bool)):
            unknown.append(argument)
        elif isinstance(default, tuple):
            values[name] = (*values.get(name, ()), value)
        else:
            values[name] = _convert(name, value, default)
    return Options(**values), unknown


def _with_equals(argv: Sequence[str]) -> list[str]:
    """The arguments with `--flag=value` for `--flag value`, which TensorFlow Serving does not know."""
    booleans = {field.name for field in dataclasses.fields(Options) if isinstance(field.default, bool)}
    takers = {*(field.name for field in dataclasses.fields(Options)), *IGNORED, *_OWN} - booleans
    joined: list[str] = []
    waiting = False
    for argument in argv:
        if waiting and not argument.startswith("--"):
            joined[-1] += f"={argument}"
            waiting = False
        else:
            joined.append(argument)
            waiting = argument.startswith("--") and argument.removeprefix("--") in takers
    return joined


def ignored(argv: Sequence[str]) -> list[str]:
    """Those of the arguments that TensorFlow Serving knows and this server ignores, without their values."""
    names = [argument.partition("=")[0] for argument in _with_equals(argv)]
    return [name for name in names if name.startswith("--") and name.removeprefix("--") in IGNORED]


def _convert(name: str, text: str, default: bool | int | str) -> bool | int | str:
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    elif re.fullmatch(r"\s*[+-]?[0-9]{1,19}", text) and abs(int(text)) <= _MAX_INT64:
        return int(text)
    raise FlagValueError(f"Couldn't interpret value {text} for flag {name}.")


def usage() -> str:
    """The usage text, formatted like TensorFlow Serving's."""
    return "\n".join(("usage: infraval serve", "Flags:", *_usage_lines()))


def _usage_lines() -> Iterable[str]:
    for field in dataclasses.fields(Options):
        default = field.default
        if isinstance(default, bool):
            shown = str(default).lower()
        elif isinstance(default, int):
            shown = str(default)
        else:
            shown = f'"{",".join(default) if isinstance(default, tuple) else default}"'
        # Every field has a default, and its type is that of the flag.
        yield f"\t{f'--{field.name}={shown}':<33}\t{_TYPE_NAMES[type(default)]}\t{field.metadata['usage']}"
    for name in sorted(IGNORED):
        yield f"\t{f'--{name}':<33}\t\tAccepted for compatibility, without effect."
