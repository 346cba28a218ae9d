"""What every sandbox knows about `tensorflow_model_server`: its name, its flags, and how it tells its version."""

from __future__ import annotations

import re

from infraval.production import model_config
from infraval.sandbox import base

TF_SERVING = "tensorflow_model_server"

_MODEL_CONFIG = "model_config_file"

EMBEDDED = "infraval embedded server"

EXIT_FAILURE = 255
"""The server ends with this code if it refuses a flag or the model."""

EMBEDDED_STANDS_IN_FOR = "2.16.1"
"""The version of TF Serving that the embedded server behaves as, whichever TensorFlow it runs on."""

EMBEDDED_EXIT_UNREGISTERED_OP = 64
"""The embedded server ends with this code if its TensorFlow lacks an op that the model needs."""

EMBEDDED_EXIT_BUG = 70
"""The embedded server ends with this code after a bug of its own. A model can print any line, but not an exit code."""


def files(launch: base.Launch, base_path: str) -> dict[str, bytes]:
    """The files that the server reads besides the model, which it sees at that base path, by name.

    Names of models do not start with a dot, so they can be in one directory.
    """
    found = {_file_name(flag): content for flag, content in launch.files.items()}
    if launch.model_config:
        text = model_config.with_base_path(launch.model_config, base_path)
        found[_file_name(_MODEL_CONFIG)] = text.encode()
    return found


def flags(launch: base.Launch, directory: str) -> list[str]:
    """The flags that are the same wherever the server runs, which sees its `files` in that directory."""
    flags = ["--max_num_load_retries=0", f"--grpc_max_threads={launch.grpc_max_threads}"]
    if launch.labels:
        # Without it, the server does not start with labels: they are checked before anything is loaded.
        flags.append("--allow_version_labels_for_unavailable_models")
    if "batching_parameters_file" in launch.files:
        flags.append("--enable_batching")
    names = [*launch.files, *([_MODEL_CONFIG] if launch.model_config else [])]
    flags += [f"--{name}={directory}/{_file_name(name)}" for name in names]
    if launch.saved_model_tags:
        flags.append(f"--saved_model_tags={','.join(launch.saved_model_tags)}")
    return flags


def _file_name(flag: str) -> str:
    return f".{flag.removesuffix('_file')}"


def grpc_max_threads(concurrency: int) -> int:
    """Threads for that many requests at the same time, so that the server turns none of them away.

    gRPC also needs threads to wait for requests, and keeps those of ended ones for a while. Only those that are needed
    are started.
    """
    return max(64, 4 * concurrency)


def flag_types(usage: str) -> dict[str, str]:
    """The flags in the output of `--help`, with their dashes, and the type of each, such as `bool`."""
    return dict(re.findall(r"^\t(--\w+)[^\t\n]*\t(\w*)\t", usage, re.MULTILINE))


def version(output: str) -> str | None:
    """The version in the output of `--version`; None if no `tensorflow_model_server` wrote it.

    source: tensorflow_serving/model_servers/main.cc
    """
    server = re.search(r"^TensorFlow ModelServer: (\S+)$", output, re.MULTILINE)
    library = re.search(r"^TensorFlow Library: (\S+)$", output, re.MULTILINE)
    if server is None:
        return None
    return server[1] if library is None else f"{server[1]}, TensorFlow {library[1]}"
