"""What every sandbox knows about `tensorflow_model_server`: its name, its flags, and how it tells its version."""

from __future__ import annotations

import re

from infraval.sandbox import base

TF_SERVING = "tensorflow_model_server"

EMBEDDED = "infraval embedded server"

EXIT_FAILURE = 255
"""The server ends with this code if it refuses a flag or the model."""

EMBEDDED_STANDS_IN_FOR = "2.16.1"
"""The version of TF Serving that the embedded server behaves as, whichever TensorFlow it runs on."""

EMBEDDED_EXIT_UNREGISTERED_OP = 64
"""The embedded server ends with this code if its TensorFlow lacks an op that the model needs."""

EMBEDDED_EXIT_BUG = 70
"""The embedded server ends with this code after a bug of its own. A model can print any line, but not an exit code."""


def flags(launch: base.Launch, batching_parameters_file: str | None) -> list[str]:
    """The flags that are the same wherever the server runs, with the path at which it sees the batching file."""
    flags = ["--max_num_load_retries=0", f"--grpc_max_threads={launch.grpc_max_threads}"]
    if batching_parameters_file is not None:
        flags += ["--enable_batching", f"--batching_parameters_file={batching_parameters_file}"]
    if launch.saved_model_tags:
        flags.append(f"--saved_model_tags={','.join(launch.saved_model_tags)}")
    return flags


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
