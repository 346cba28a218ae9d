"""Watches the models' base paths for versions (source: sources/storage_path/file_system_storage_path_source.cc)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infraval_server import ending, log, status

Versions = Sequence[tuple[int, Path]]
"""Numbers of versions and their directories; of two with one number the first counts."""

Want = Callable[[str, Versions], None]
"""Takes a model's name and the versions of it that are wanted from now on, and no others."""

_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1


class Source:
    """Tells which versions are wanted, again and again.

    Args:
      want: see there.
      interval_s: seconds between two looks at the base paths; one look only if 0, none if negative.
    """

    def __init__(self, want: Want, interval_s: float) -> None:
        self._want = want
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._models: list[Any] = []
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def names(self) -> set[str]:
        """The models that it watches."""
        return {model.name for model in self._models}

    def watch(self, models: Sequence[Any]) -> None:
        """Watches the base paths of these ModelConfigs from now on; no version of any other model is wanted."""
        with self._lock:
            removed = self.names - {model.name for model in models}
            self._models = list(models)
            for name in sorted(removed):
                self._want(name, ())
        if self._thread is None and self._interval_s >= 0:
            self._thread = threading.Thread(target=self._run, name="file system", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stops watching."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self.poll()
                if self._interval_s == 0:
                    break
                self._closed.wait(self._interval_s)
        except Exception as error:  # noqa: BLE001 - nobody would notice that no version is found any more
            ending.for_bug(error)

    def poll(self) -> None:
        """Looks at the base paths now."""
        with self._lock:
            try:
                wanted = [(model.name, versions(model)) for model in self._models]
            except status.StatusError as error:  # also keeps what was found of other models from being told
                log.error(f"FileSystemStoragePathSource encountered a filesystem access error: {error.message}")
                return
            for name, found in wanted:
                self._want(name, found)


def versions(model: Any) -> Versions:
    """The versions under a ModelConfig's base path that its policy asks for.

    Raises:
      StatusError: the base path cannot be read.
    """
    base_path = Path(model.base_path)
    try:
        if not base_path.exists():
            raise status.StatusError(
                status.Code.NOT_FOUND,
                f"Could not find base path {base_path} for servable {model.name} with error NOT_FOUND: {base_path} "
                "not found",
            )
        names = sorted(child.name for child in base_path.iterdir())
    except OSError as error:
        raise status.from_os_error(error, str(base_path)) from error
    found = [(int(name), base_path / name) for name in names if _NUMBER.fullmatch(name)]
    found = [(number, path) for number, path in found if _MIN_INT64 <= number <= _MAX_INT64]
    wanted = _chosen(model, found)
    if not wanted:
        log.warning(
            f"No versions of servable {model.name} found under base path {base_path}. Did you forget to name your leaf "
            "directory as a number (eg. '/1/')?"
        )
    return wanted


def _chosen(model: Any, found: Versions) -> Versions:
    policy = model.model_version_policy
    by_number: dict[int, Path] = {}
    for number, path in found:
        if number in by_number:
            log.warning(
                f"Duplicate version directories detected. Version {number} will be loaded from {path.name}, "
                f"{by_number[number].name} will be ignored."
            )
        by_number[number] = path
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return found  # of two with one number the first, whatever the warning says
    if choice == "specific":
        for number in policy.specific.versions:
            if number not in by_number:
                log.warning(
                    f"Version {number} of servable {model.name}, which was requested to be served as a 'specific' "
                    "version in the servable's version policy, was not found in the file system"
                )
        numbers = set(policy.specific.versions)
        return [(number, path) for number, path in by_number.items() if number in numbers]
    return sorted(by_number.items())[-max(policy.latest.num_versions, 1) :]
