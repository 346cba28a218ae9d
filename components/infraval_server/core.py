"""What is served: models by their config, versions by number and by label (source: model_servers/server_core.cc)."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from infraval_server import batching, config, ending, flags, loading, log, manager, requests, source, status


class Core:
    """The models that a server serves.

    Args:
      options: say which models, how often to look for changes, and how to load.
      parameters: for batching; None for none.
      second_s: seconds of the intervals' seconds; tests make them shorter.
    """

    def __init__(self, options: flags.Options, parameters: batching.Parameters | None, second_s: float = 1.0) -> None:
        self._options = options
        self._reloading = threading.Lock()
        self._config: Any = None
        self._started = False
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._manager = manager.Manager(functools.partial(loading.load, options, parameters))
        self._source = source.Source(self._manager.want, options.file_system_poll_wait_seconds * second_s)
        self._config_interval_s = options.model_config_file_poll_wait_seconds * second_s
        self._closed = threading.Event()

    def start(self) -> None:
        """Loads what the options say, and looks for changes from then on.

        Raises:
          StatusError: a model did not load, or the config is wrong.
        """
        options = self._options
        if options.model_config_file:
            first = config.read(options.model_config_file)
        else:
            first = config.of_one_model(options.model_name, options.model_base_path)
        try:
            self.reload(first)
        except status.StatusError:
            self.close()
            raise
        if options.model_config_file and self._config_interval_s > 0:
            threading.Thread(target=self._poll, name="config file", daemon=True).start()

    def close(self) -> None:
        """Unloads everything."""
        self._closed.set()
        self._source.close()
        self._manager.close()

    def _poll(self) -> None:
        try:
            while not self._closed.wait(self._config_interval_s):
                self._reload_file()
        except Exception as error:  # noqa: BLE001 - nobody would notice that the file is no longer read
            ending.for_bug(error)

    def _reload_file(self) -> None:
        try:
            new = config.read(self._options.model_config_file)
        except status.StatusError as error:
            log.error(f"Failed to read ModelServerConfig file: {error.message}")
            return
        try:
            self.reload(new)
        except status.StatusError as error:
            log.error(f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error.message}")

    def reload(self, new: Any) -> None:
        """Serves what a ModelServerConfig says from now on; returns once its new models are loaded.

        Raises:
          StatusError: the config is wrong, a label's version is not available, or a new model did not load.
        """
        with self._reloading:
            kind = new.WhichOneof("config")
            if self._config is not None and kind != "model_config_list":
                raise status.StatusError(
                    status.Code.FAILED_PRECONDITION,
                    "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to "
                    "another.",
                )
            if kind is None:
                log.info("Taking no action for empty config.")
                return
            models = new.model_config_list.config
            config.check(models, () if self._config is None else self._config.model_config_list.config)
            self._config = new
            self._labels = self._labels_of(models)
            log.info("Adding/updating models.")
            if kind == "custom_model_config":
                log.fatal("ModelServer does not yet support custom model config.")
            self._serve(models)
            log.info("Finished adding/updating models")

    def _serve(self, models: Sequence[Any]) -> None:
        for model in models:
            log.info(f" (Re-)adding model: {model.name}")
        config.check_platforms(models)
        new = [model.name for model in models if model.name not in self._source.names]
        since = self._manager.changes
        self._source.watch(models)
        failed = self._manager.wait_until_loaded(new, since)
        first = not self._started
        if first:
            self._manager.end_start()
            self._started = True
        if failed:
            reasons = "".join(f"{{{version.id} due to error: {version.failure}}}, " for version in failed)
            raise status.StatusError(
                status.Code.UNKNOWN,
                f"{len(failed)} {'servable' if first else 'model'}(s) did not become available: {{{reasons}}}",
            )

    def _labels_of(self, models: Sequence[Any]) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for model in models:
            versions = self._manager.versions(model.name)
            available = {version.number for version in versions if version.state is manager.State.AVAILABLE}
            for label, number in sorted(model.version_labels.items(), key=lambda item: item[1]):
                moves = self._labels.get(model.name, {}).get(label, number) != number
                may_be_unavailable = self._options.allow_version_labels_for_unavailable_models and not moves
                if number not in available and not may_be_unavailable:
                    raise status.StatusError(
                        status.Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, which is not currently "
                        "available for inference",
                    )
                labels.setdefault(model.name, {})[label] = number
        return labels

    def using(self, model_spec: Any) -> contextlib.AbstractContextManager[requests.Servable]:
        """What answers a request, for as long as it takes.

        Args:
          model_spec: the request's ModelSpec: a name, and a version, a label or neither.

        Raises:
          StatusError: there is no such version, or it is not available.
        """
        name = model_spec.name
        if not name:
            raise status.invalid_argument("ModelSpec has no name specified.")
        number = model_spec.version.value if model_spec.HasField("version") else None
        if model_spec.WhichOneof("version_choice") == "version_label":
            label = model_spec.version_label
            number = self._labels.get(name, {}).get(label)
            if number is None:
                raise status.invalid_argument(f"Unrecognized servable version label: {label}")
        return self._manager.using(name, number)

    def versions(self, model_spec: Any) -> list[manager.Version]:
        """The versions that a ModelSpec means, the highest number first; a label makes no difference.

        Raises:
          StatusError: there are none.
        """
        name = model_spec.name
        versions = self._manager.versions(name)
        if model_spec.HasField("version"):
            number = model_spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                raise status.StatusError(status.Code.NOT_FOUND, f"Could not find version {number} of model {name}")
        if not versions:
            raise status.StatusError(status.Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return versions
