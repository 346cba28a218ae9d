"""From a model base path to a servable that is warm: versions, retries, batching, warmup, and their log lines.

Source: model_servers/server.cc, sources/storage_path/file_system_storage_path_source.cc, core/loader_harness.cc,
core/basic_manager.cc and util/retrier.cc.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from infraval_server import batching, flags, log, metrics, model, requests, status, warmup

_MAX_INT64 = 2**63 - 1


def check(options: flags.Options) -> batching.Parameters | None:
    """Checks the options that say what to load.

    Returns:
      The batching parameters, None without batching.

    Raises:
      StatusError: the server cannot start with these options.
    """
    if not options.model_base_path:
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
    if not Path(options.model_base_path).is_absolute():
        raise status.invalid_argument(
            f"Expected model {options.model_name} to have an absolute path or URI; got base_path()="
            f"{options.model_base_path}"
        )
    return parameters


def newest_version(options: flags.Options) -> tuple[int, Path] | None:
    """The highest number among the directories under the base path, and its directory; None, and logged, if none."""
    base_path = Path(options.model_base_path)
    try:
        names = sorted(child.name for child in base_path.iterdir())
    except OSError as error:
        log.error(
            "FileSystemStoragePathSource encountered a filesystem access error: Could not find base path "
            f"{base_path} for servable {options.model_name} with error {status.from_os_error(error, str(base_path))}"
        )
        return None
    versions = {
        int(name): base_path / name
        for name in names
        if re.fullmatch(r"[+-]?[0-9]+", name) and abs(int(name)) <= _MAX_INT64
    }
    if not versions:
        log.warning(
            f"No versions of servable {options.model_name} found under base path {base_path}. Did you forget to name "
            "your leaf directory as a number (eg. '/1/')?"
        )
        return None
    return max(versions.items())


def load(options: flags.Options, parameters: batching.Parameters | None, version: int, path: Path) -> requests.Servable:
    """Loads one version and replays its warmup, with retries.

    Args:
      options: names the model, and says how often to try and whether to warm up.
      parameters: for batching; None for none.
      version: number of the version.
      path: directory of the version.

    Raises:
      StatusError: all tries failed; of UNKNOWN code with the last try's error in the message, as the server prints it.
    """
    servable_id = f"{{name: {options.model_name} version: {version}}}"
    retries = options.max_num_load_retries
    if retries == 0:
        log.info(f"Retrying of Reserving resources for servable: {servable_id} exhausted max_num_retries: 0")
    log.info(f"Successfully reserved resources to load servable {servable_id}")
    log.info(f"Approving load for servable version {servable_id}")
    log.info(f"Loading servable version {servable_id}")
    for attempt in range(max(retries, 0) + 1):
        if attempt > 0:
            time.sleep(max(options.load_retry_interval_micros, 0) / 1e6)
            log.info(f"Retrying of Loading servable: {servable_id} retry: {attempt}")
        failure = None
        try:
            servable = _load_once(options, parameters, version, path)
        except status.StatusError as error:
            log.error(f"Loading servable: {servable_id} failed: {error}")
            failure = error
            if error.unregistered_op:
                raise
        if attempt == retries:
            log.info(f"Retrying of Loading servable: {servable_id} exhausted max_num_retries: {retries}")
        if failure is None:
            log.info(f"Successfully loaded servable version {servable_id}")
            return servable
    log.info(f"Encountered an error for servable version {servable_id}: {failure}")
    log.error(f"Servable {servable_id} cannot be loaded: {failure}")
    log.info("Unload all remaining servables in the manager.")
    raise status.StatusError(
        status.Code.UNKNOWN,
        f"1 servable(s) did not become available: {{{{{servable_id} due to error: {failure}}}, }}",
    )


def _load_once(
    options: flags.Options, parameters: batching.Parameters | None, version: int, path: Path
) -> requests.Servable:
    with metrics.loading(str(path)):
        loaded = model.load(path, (options.saved_model_tags or "serve").split(","))
    if parameters is not None:
        loaded = model.Model(loaded.signatures, batching.wrap(loaded.run, parameters))
    servable = requests.Servable(options.model_name, version, loaded, options.enable_signature_method_name_check)
    if options.enable_model_warmup:
        warmup.replay(servable, path, options.num_request_iterations_for_warmup)
    return servable
