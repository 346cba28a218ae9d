"""Versions that come and go, without TensorFlow Serving's recordings: the manager and the files that it follows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from infraval_server import manager, model, requests, source, status

TIMEOUT_S = 30.0
State = manager.State


class Loader:
    """Loads nothing, when it is told to.

    Attributes:
      may_load: numbers whose load may go on.
      closed: numbers whose model was closed.
    """

    def __init__(self) -> None:
        self.may_load = {number: threading.Event() for number in range(1, 6)}
        self.closed: list[int] = []

    def load(self, version: manager.Version) -> requests.Servable:
        """See `manager.Load`; version 4 does not load."""
        self.may_load[version.number].wait(TIMEOUT_S)
        if version.number == 4:
            raise status.invalid_argument("no")
        loaded = model.Model({}, lambda _, __: [], lambda: self.closed.append(version.number))
        return requests.Servable(version.name, version.number, loaded)


@pytest.fixture
def loader() -> Loader:
    """One for the test's manager."""
    return Loader()


@pytest.fixture
def managed(loader: Loader) -> Iterator[manager.Manager]:
    """A manager with nothing in it."""
    made = manager.Manager(loader.load)
    yield made
    for may_load in loader.may_load.values():
        may_load.set()
    made.close()


def want(managed: manager.Manager, *numbers: int) -> None:
    """Wants these versions of model `m`."""
    managed.want("m", [(number, Path(str(number))) for number in numbers])


def states(managed: manager.Manager) -> dict[int, State]:
    """The states of the versions of `m`."""
    return {version.number: version.state for version in managed.versions("m")}


def wait_for(managed: manager.Manager, **expected: State) -> None:
    """Waits for states, given as `v1=State.END`."""
    numbers = {int(name.removeprefix("v")): state for name, state in expected.items()}
    waited = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.005)):
        if states(managed) == numbers:
            return
        waited.wait(0.005)
    assert states(managed) == numbers


def answering(managed: manager.Manager, number: int | None = None) -> int:
    """The version that answers a request."""
    with managed.using("m", number) as servable:
        return servable.version


def test_a_new_version_is_there_before_the_old_one_goes(managed: manager.Manager, loader: Loader) -> None:
    """While it loads the old one answers; then the new one does, and the old one is closed."""
    loader.may_load[1].set()
    want(managed, 1)
    wait_for(managed, v1=State.AVAILABLE)
    want(managed, 2)
    wait_for(managed, v1=State.AVAILABLE, v2=State.LOADING)
    assert answering(managed) == 1
    loader.may_load[2].set()
    wait_for(managed, v1=State.END, v2=State.AVAILABLE)
    assert answering(managed) == 2
    assert loader.closed == [1]
    with pytest.raises(status.StatusError) as raised:
        answering(managed, 1)
    assert raised.value.code == status.Code.NOT_FOUND


def test_a_version_is_not_unloaded_under_a_request(managed: manager.Manager, loader: Loader) -> None:
    """It takes no new requests, and goes when the last one that uses it is answered."""
    for number in (1, 2):
        loader.may_load[number].set()
    want(managed, 1)
    wait_for(managed, v1=State.AVAILABLE)
    with managed.using("m", None) as servable:
        want(managed, 2)
        wait_for(managed, v1=State.UNLOADING, v2=State.AVAILABLE)
        assert servable.version == 1
        assert loader.closed == []
        assert answering(managed) == 2
    wait_for(managed, v1=State.END, v2=State.AVAILABLE)
    assert loader.closed == [1]


def test_a_version_that_does_not_load_leaves_the_old_one_alone(managed: manager.Manager, loader: Loader) -> None:
    """The failure is in its state, and it is not tried again while it is wanted."""
    for number in (1, 4):
        loader.may_load[number].set()
    want(managed, 1)
    wait_for(managed, v1=State.AVAILABLE)
    for _ in range(3):
        want(managed, 4)
        wait_for(managed, v1=State.AVAILABLE, v4=State.END)
    failures = {version.number: version.failure for version in managed.versions("m")}
    assert failures[1] is None
    assert failures[4] is not None
    assert failures[4].code == status.Code.INVALID_ARGUMENT
    assert answering(managed) == 1


def test_versions_load_at_the_same_time_only_at_the_start(managed: manager.Manager, loader: Loader) -> None:
    """Later ones come one after the other, the highest first."""
    want(managed, 1, 2)
    wait_for(managed, v1=State.LOADING, v2=State.LOADING)
    for number in (1, 2, 5):
        loader.may_load[number].set()
    managed.end_start()
    loader.may_load[5].clear()
    want(managed, 1, 2, 3, 5)
    wait_for(managed, v1=State.AVAILABLE, v2=State.AVAILABLE, v3=State.START, v5=State.LOADING)
    loader.may_load[5].set()
    wait_for(managed, v1=State.AVAILABLE, v2=State.AVAILABLE, v3=State.LOADING, v5=State.AVAILABLE)


def test_a_version_may_come_back(managed: manager.Manager, loader: Loader) -> None:
    """Also if it is wanted again before it is gone."""
    loader.may_load[1].set()
    want(managed, 1)
    wait_for(managed, v1=State.AVAILABLE)
    with managed.using("m", 1):
        want(managed)
        wait_for(managed, v1=State.UNLOADING)
        want(managed, 1)
    wait_for(managed, v1=State.AVAILABLE)
    assert loader.closed == [1]


def test_waiting_tells_what_failed(managed: manager.Manager, loader: Loader) -> None:
    """One version of each model is waited for; what changed before does not count."""
    for number in (1, 4):
        loader.may_load[number].set()
    want(managed, 1)
    assert managed.wait_until_loaded(["m"], 0) == []
    since = managed.changes
    want(managed, 4)
    assert [version.number for version in managed.wait_until_loaded(["m"], since)] == [4]


def model_config(base_path: Path, policy: str = "") -> Any:
    """A ModelConfig with one of the policies."""
    config = model_server_config_pb2.ModelConfig(name="m", base_path=str(base_path))
    if policy == "all":
        config.model_version_policy.all.SetInParent()
    elif policy == "specific":
        config.model_version_policy.specific.versions.extend([1, 3])
    elif policy == "latest":
        config.model_version_policy.latest.num_versions = 2
    return config


@pytest.mark.parametrize(
    ("policy", "numbers"), [("", [10]), ("all", [1, 3, 9, 10]), ("specific", [1, 3]), ("latest", [9, 10])]
)
def test_policy_chooses_versions(policy: str, numbers: list[int], tmp_path: Path) -> None:
    """By number, not by name."""
    for name in ("1", "3", "9", "10", "x", "2x"):
        (tmp_path / name).mkdir()
    found = source.versions(model_config(tmp_path, policy))
    assert sorted(found) == [(number, tmp_path / str(number)) for number in numbers]


@given(
    names=st.lists(st.from_regex(r"[-+ 0-9a-z.]{1,25}", fullmatch=True).filter(lambda name: name not in (".", "..")))
)
def test_any_names_of_directories_are_taken(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever lies under a base path, only 64-bit numbers are versions."""
    base_path = tmp_path_factory.mktemp("base")
    for name in names:
        (base_path / name).mkdir(exist_ok=True)
    found = dict(source.versions(model_config(base_path, "all")))
    assert all(int(path.name) == number and -(2**63) <= number < 2**63 for number, path in found.items())
    assert {str(number) for number in range(100) if str(number) in names} <= {str(number) for number in found}


def test_a_base_path_that_is_not_there_keeps_every_model_waiting(tmp_path: Path) -> None:
    """As in TensorFlow Serving: nothing is told of the others until it appears."""
    told: dict[str, source.Versions] = {}
    (tmp_path / "there" / "1").mkdir(parents=True)
    watched = source.Source(told.__setitem__, interval_s=-1)
    watched.watch(
        [model_server_config_pb2.ModelConfig(name=name, base_path=str(tmp_path / name)) for name in ("there", "late")]
    )
    watched.poll()
    assert told == {}
    (tmp_path / "late").mkdir()
    watched.poll()
    assert told == {"there": [(1, tmp_path / "there" / "1")], "late": []}


def test_a_model_that_is_no_longer_watched_is_no_longer_wanted(tmp_path: Path) -> None:
    """At once, without a look at the files."""
    told: dict[str, source.Versions] = {}
    watched = source.Source(told.__setitem__, interval_s=-1)
    watched.watch([model_config(tmp_path)])
    watched.watch([])
    assert told == {"m": ()}
