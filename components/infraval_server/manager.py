"""Loads and unloads the versions of models, and lends them to requests.

A new version is loaded, and warmed up, before an old one is unloaded, and no version is unloaded while a request uses
it. Source: core/aspired_versions_manager.cc, core/availability_preserving_policy.cc, core/basic_manager.cc and
core/servable_state_monitor.cc.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import gc
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from infraval_server import ending, log, requests, source, status


class State(enum.IntEnum):
    """Of a version; the numbers are those of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(eq=False)
class Version:
    """One version of a model, from when it is first wanted.

    Attributes:
      name: the model's name.
      number: the version's number.
      path: directory of the version.
      wanted: whether it still is.
      state: where it is between START and END.
      failure: why it did not load.
      servable: what answers, while it is AVAILABLE.
      users: requests that use it now.
      changed: number of the change that brought the state, counted over all versions.
    """

    name: str
    number: int
    path: Path
    wanted: bool = True
    state: State = State.START
    failure: status.StatusError | None = None
    servable: requests.Servable | None = None
    users: int = 0
    changed: int = 0

    @property
    def id(self) -> str:
        """As TensorFlow Serving's log names it."""
        return f"{{name: {self.name} version: {self.number}}}"


Load = Callable[[Version], requests.Servable]
"""Loads a version and warms it up; raises StatusError."""


class Manager:
    """Brings what is loaded in line with what is wanted, in threads of its own.

    Until `end_start` it loads versions at the same time, afterwards one after the other.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._changed = threading.Condition()
        self._changes = 0
        self._wanted: dict[str, source.Versions] = {}
        self._managed: dict[str, dict[int, Version]] = {}
        self._known: dict[str, dict[int, Version]] = {}
        self._starting = True
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="manager", daemon=True)
        self._thread.start()

    def want(self, name: str, versions: source.Versions) -> None:
        """See `source.Want`; returns at once."""
        with self._changed:
            self._wanted[name] = versions
            self._changed.notify_all()

    def versions(self, name: str) -> list[Version]:
        """Every version of a model that was ever wanted, the highest number first."""
        with self._changed:
            known = self._known.get(name, {})
            return [dataclasses.replace(known[number]) for number in sorted(known, reverse=True)]

    @contextlib.contextmanager
    def using(self, name: str, number: int | None) -> Iterator[requests.Servable]:
        """Lends a version that is not unloaded before it is given back.

        Args:
          name: the model's name.
          number: of the version; None for the highest one that is available.

        Raises:
          StatusError: it is not available.
        """
        with self._changed:
            version = self._best(name, number)
            servable = None if version is None else version.servable
            if version is None or servable is None:
                asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise status.StatusError(status.Code.NOT_FOUND, f"Servable not found for request: {asked}")
            version.users += 1
        try:
            yield servable
        finally:
            with self._changed:
                version.users -= 1
                if version.state is State.UNLOADING:
                    self._changed.notify_all()

    def _best(self, name: str, number: int | None) -> Version | None:
        available = (
            version
            for version in self._managed.get(name, {}).values()
            if version.state is State.AVAILABLE and number in (None, version.number)
        )
        return max(available, key=lambda version: version.number, default=None)

    @property
    def changes(self) -> int:
        """How often the state of any version has changed."""
        return self._changes

    def wait_until_loaded(self, names: Collection[str], since: int) -> list[Version]:
        """Waits until of each model a version has loaded or has failed to.

        Args:
          names: of the models.
          since: what `changes` was before; earlier changes do not count.

        Returns:
          The versions that have failed.

        Raises:
          StatusError: the manager is closed.
        """
        with self._changed:
            while True:
                reached = [self._reached(name, since) for name in names]
                loaded = [version for version in reached if version is not None]
                if len(loaded) == len(reached):
                    return [version for version in loaded if version.failure is not None]
                if self._closed:
                    raise status.StatusError(status.Code.CANCELLED, "The server is shutting down")
                self._changed.wait()

    def _reached(self, name: str, since: int) -> Version | None:
        known = self._known.get(name, {})
        for number in sorted(known, reverse=True):
            version = known[number]
            if version.changed > since and (version.state is State.AVAILABLE or version.failure is not None):
                return version
        return None

    def end_start(self) -> None:
        """Waits for every load that is due, and lets later ones come one after the other."""
        with self._changed:
            self._changed.wait_for(lambda: not any(map(self._is_due, self._all())))
            self._starting = False

    @staticmethod
    def _is_due(version: Version) -> bool:
        return version.state is State.LOADING or (version.wanted and version.state is State.START)

    def close(self) -> None:
        """Waits for loads that are under way, and unloads every version; once is enough."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(version.state is not State.LOADING for version in self._all()))
        self._thread.join()
        log.info("Unload all remaining servables in the manager.")
        for version in self._all():
            if version.state is State.AVAILABLE:
                self._unload(version)

    def _all(self) -> list[Version]:
        return [version for versions in self._managed.values() for version in versions.values()]

    def _run(self) -> None:
        try:
            while (due := self._next()) is not None:
                self._act(due)
        except Exception as error:  # noqa: BLE001 - a bug must not look like a model that never loads
            ending.for_bug(error)

    def _next(self) -> Version | None:
        """Waits for something to do: a version to be loaded if it is in state START, else to be unloaded."""
        with self._changed:
            while not self._closed:
                self._take_wanted()
                due = self._due()
                if due is not None:
                    return due
                self._changed.wait()
        return None

    def _act(self, version: Version) -> None:
        if version.state is not State.START:
            self._unload(version)
            return
        self._set(version, State.LOADING)
        if self._starting:
            threading.Thread(target=self._run_load, args=(version,), name="load", daemon=True).start()
        else:
            self._run_load(version)

    def _take_wanted(self) -> None:
        for versions in self._managed.values():
            for number, version in list(versions.items()):
                if not version.wanted and version.state in (State.START, State.END):
                    del versions[number]
        for name, wanted in list(self._wanted.items()):
            managed = self._managed.setdefault(name, {})
            # A version that is wanted again while it is still there must go first, in its own time.
            if any(number in managed and not managed[number].wanted for number, _ in wanted):
                continue
            del self._wanted[name]
            numbers = {number for number, _ in wanted}
            for number, version in managed.items():
                version.wanted = number in numbers
            new: set[int] = set()
            for number, path in wanted:
                if number in new:
                    log.error(
                        f"Internal error: Unable to transfer servable {managed[number].id} to 'basic_manager_': This "
                        f"servable is already being managed: {managed[number].id}"
                    )
                elif number not in managed:
                    new.add(number)
                    managed[number] = Version(name, number, path)
                    self._known.setdefault(name, {})[number] = managed[number]
                    self._set(managed[number], State.START)

    def _due(self) -> Version | None:
        """What comes next: unloads before loads, of one model the lowest number and the highest."""
        for versions in self._managed.values():
            wanted = [version for version in versions.values() if version.wanted]
            if not wanted or any(version.state is State.AVAILABLE for version in wanted):
                for _, version in sorted(versions.items()):
                    if not version.wanted and version.state is State.AVAILABLE:
                        return version
        for _, versions in sorted(self._managed.items(), reverse=True):
            for _, version in sorted(versions.items(), reverse=True):
                if version.wanted and version.state is State.START:
                    return version
        return None

    def _set(self, version: Version, state: State) -> None:
        with self._changed:
            self._changes += 1
            version.changed = self._changes
            version.state = state
            self._changed.notify_all()

    def _run_load(self, version: Version) -> None:
        try:
            version.servable = self._load(version)
        except status.StatusError as error:
            if error.unregistered_op:
                ending.for_unregistered_op(error.unregistered_op)
            log.info(f"Encountered an error for servable version {version.id}: {error}")
            log.error(f"Servable {version.id} cannot be loaded: {error}")
            version.failure = error
            self._set(version, State.END)
        except Exception as error:  # noqa: BLE001 - a bug must not look like a model that does not load
            ending.for_bug(error)
        else:
            self._set(version, State.AVAILABLE)

    def _unload(self, version: Version) -> None:
        log.info(f"Quiescing servable version {version.id}")
        self._set(version, State.UNLOADING)
        with self._changed:
            self._changed.wait_for(lambda: version.users == 0)
        log.info(f"Done quiescing servable version {version.id}")
        log.info(f"Unloading just-loaded servable version {version.id}")
        if version.servable is not None:
            version.servable.model.close()
            version.servable = None
        gc.collect()  # a graph is full of reference cycles
        log.info(f"Done unloading servable version {version.id}")
        self._set(version, State.END)
