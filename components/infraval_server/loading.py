"""From a version's directory to a servable that is warm: retries, batching, warmup, and their log lines.

Source: model_servers/server.cc, core/loader_harness.cc, core/basic_manager.cc and util/retrier.cc.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from infraval_server import batching, flags, log, manager, metrics, model, requests, status, warmup

_Result = TypeVar("_Result")

_OWN_BATCHING_PARAMETERS = "batching_params.pbtxt"
"""In a version's directory, if each model has batching parameters of its own; without the file it is not batched."""


def check(options: flags.Options) -> batching.Parameters | None:
    """Checks the options that say what to load.

    Returns:
      The batching parameters, None without batching.

    Raises:
      StatusError: the server cannot start with these options.
    """
    if not (options.model_base_path or options.model_config_file):
        raise status.invalid_argument(
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    parameters = None
    if options.enable_batching:
        path = options.batching_parameters_file
        parameters = batching.read_parameters(path) if path else batching.Parameters()
    elif options.batching_parameters_file:
        raise status.invalid_argument(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    return parameters


def load(options: flags.Options, parameters: batching.Parameters | None, version: manager.Version) -> requests.Servable:
    """Loads one version and replays its warmup, with retries.

    Args:
      options: say how often to try and whether to warm up.
      parameters: for batching; None for none.
      version: what to load.

    Raises:
      StatusError: what went wrong at the last try.
    """
    _reserve(options, version)
    log.info(f"Approving load for servable version {version.id}")
    log.info(f"Loading servable version {version.id}")
    servable = _retry(options, f"Loading servable: {version.id}", lambda: _load_once(options, parameters, version))
    log.info(f"Successfully loaded servable version {version.id}")
    return servable


def _reserve(options: flags.Options, version: manager.Version) -> None:
    """What TensorFlow Serving does before it loads: it looks how large the files are."""
    try:
        _retry(options, f"Reserving resources for servable: {version.id}", lambda: _list(version.path))
    except status.StatusError as error:
        failure = status.StatusError(
            error.code,
            f"Error while attempting to reserve resources to load servable {version.id}: {error.message}",
        )
        log.warning(str(failure))
        raise failure from error
    log.info(f"Successfully reserved resources to load servable {version.id}")


def _list(path: Path) -> None:
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise status.from_os_error(error, str(path)) from error


def _retry(options: flags.Options, description: str, attempt: Callable[[], _Result]) -> _Result:
    retries = options.max_num_load_retries
    tries = 0
    while True:
        if tries > 0:
            time.sleep(max(options.load_retry_interval_micros, 0) / 1e6)
            log.info(f"Retrying of {description} retry: {tries}")
        failure = None
        try:
            result = attempt()
        except status.StatusError as error:
            log.error(f"{description} failed: {error}")
            failure = error
            if error.unregistered_op:
                raise
        tries += 1
        if tries == retries + 1:
            log.info(f"Retrying of {description} exhausted max_num_retries: {retries}")
        if failure is None:
            return result
        if tries > retries:
            raise failure


def _load_once(
    options: flags.Options, parameters: batching.Parameters | None, version: manager.Version
) -> requests.Servable:
    if options.enable_batching and options.enable_per_model_batching_parameters:
        own = version.path / _OWN_BATCHING_PARAMETERS
        parameters = batching.read_parameters(str(own)) if own.exists() else None
    with metrics.loading(str(version.path)):
        loaded = model.load(version.path, (options.saved_model_tags or "serve").split(","))
    if parameters is not None:
        loaded = dataclasses.replace(loaded, run=batching.wrap(loaded.run, parameters))
    servable = requests.Servable(version.name, version.number, loaded, options.enable_signature_method_name_check)
    if options.enable_model_warmup:
        warmup.replay(servable, version.path, options.num_request_iterations_for_warmup)
    return servable
