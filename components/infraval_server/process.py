"""The server's process: argv to exit code, signals, and what is set before TensorFlow is imported."""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.metadata
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from infraval_server import ending, flags, log, status, version

EXIT_OK = 0
EXIT_FAILURE = 255

_END_SIGNALS = {signal.SIGTERM, signal.SIGINT}

_HOLD_INTERVAL_S = 0.01


def main(argv: Sequence[str]) -> int:
    """Serves models until a signal ends it; to be called once, from the process's main thread.

    SIGTERM and SIGINT end the process here with exit code 0, without return: TensorFlow may be in the middle of a
    load, which nothing can interrupt. What says nothing about the model ends it without return too, see `ending`.

    Args:
      argv: the arguments without the program's name.

    Returns:
      The exit code, see `infraval_server`.
    """
    try:
        options, unknown = flags.parse(argv)
    except flags.FlagValueError as error:
        log.error(str(error))
        log.plain(flags.usage())
        return EXIT_FAILURE
    if options.help:
        sys.stdout.write(f"{flags.usage()}\n")
        return EXIT_OK
    if options.version:
        sys.stdout.write(f"infraval embedded server: {version.VERSION}\n")
        # Its distribution has several names, tensorflow-cpu among them.
        tensorflow = importlib.metadata.packages_distributions()["tensorflow"][0]
        sys.stdout.write(f"TensorFlow Library: {importlib.metadata.version(tensorflow)}\n")
        return EXIT_OK
    for flag in flags.ignored(argv):
        log.warning(f"{flag} has no effect on this server.")
    if unknown:
        log.plain(f"unknown argument: {unknown[0]}")
        log.plain(flags.usage())
    # Blocked, and so inherited by every thread to come, the signals reach only the thread that waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
    listening = threading.Event()
    sockets = (options.grpc_socket_path, options.rest_api_socket_path)
    threading.Thread(target=_end_on_signal, args=(sockets, listening), daemon=True).start()
    _quieten_tensorflow()
    try:
        return _serve(options, listening)
    except status.StatusError as error:
        if error.unregistered_op:
            ending.for_unregistered_op(error.unregistered_op)
        log.plain(f"Failed to start server. Error: {error}")
        return EXIT_FAILURE
    except Exception as error:  # noqa: BLE001 - whatever it is, the exit code must not be that of a refused model
        ending.for_bug(error)


def _end_on_signal(sockets: Sequence[str], listening: threading.Event) -> None:
    received = signal.sigwait(_END_SIGNALS)
    log.info(f"Ended by {signal.Signals(received).name}.")
    for socket_path in sockets if listening.is_set() else ():  # before that, a path may be another server's
        if socket_path:
            Path(socket_path).unlink(missing_ok=True)
    sys.stdout.flush()
    os._exit(EXIT_OK)


def _quieten_tensorflow() -> None:
    # 3 is fatal errors only: at 2, TensorFlow without a GPU starts with three errors about CUDA plugins, and what
    # fails in a graph is in this server's own log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _serve(options: flags.Options, listening: threading.Event) -> int:
    """Loads and serves; sets `listening` when the socket is its own.

    Raises:
      StatusError: the server cannot start, or the model does not load.
    """
    # TensorFlow takes seconds to import, and asking for help or a wrong flag does not need it.
    with log.held_back():
        from infraval_server import core, endpoints, loading, service, xla  # noqa: PLC0415 - see above
    has_rest = options.rest_api_port != 0 or options.rest_api_socket_path
    if has_rest:  # before the load, so that REST comes up at once after it
        from infraval_server import rest, rest_server  # noqa: PLC0415 - without REST there is no need for Tornado

    endpoints.check(options)
    parameters = loading.check(options)
    _import_ops(options.import_ops)
    while options.hold_until and not Path(options.hold_until).exists():
        time.sleep(_HOLD_INTERVAL_S)
    if not (options.xla_cpu_compilation_enabled or options.xla_gpu_compilation_enabled):
        xla.disable_compilation()
    gc.freeze()  # what is there now stays: when a version is unloaded, only what came later is searched for garbage
    models = core.Core(options, parameters)
    models.start()
    server = endpoints.create_server(options)
    listening.set()
    service.add(server, models, health=options.enable_grpc_healthcheck_service)
    server.start()
    if has_rest:
        rest_server.start(options, functools.partial(rest.answer, models))
    server.wait_for_termination()
    return EXIT_OK


def _import_ops(modules: Sequence[str]) -> None:
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception as error:  # the module's code may raise anything
        raise status.invalid_argument(
            f"--import-ops={module} cannot be imported: {type(error).__name__}: {error}"
        ) from error
