"""An object store behind a scheme of its own, registered with TFX as its plugins are; and artifacts to put there."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.io import filesystem, filesystem_registry
from tfx.types import standard_artifacts

SCHEME = "remotetest://"


class _Object(io.BytesIO):
    """Is in the store once it is closed; also if an exception closes it, as with TensorFlow's files on GCS."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def close(self) -> None:
        if self.closed:
            return
        content = self.getvalue()
        super().close()
        ObjectStore.put(self._key, content)


class ObjectStore(filesystem.Filesystem):
    """Keys and values: no directories but markers (`folder/`), no rename but copy and removal, each of which may fail.

    TFX calls static methods of the class, so its state is the class's.
    """

    SUPPORTED_SCHEMES = [SCHEME]  # noqa: RUF012 - as TFX declares it

    objects: dict[str, bytes] = {}  # noqa: RUF012 - see above
    written: list[str] = []  # noqa: RUF012
    needs_directories: bool = False
    """Whether a file can only be written below a marker, as in HDFS."""
    refuses: Callable[[str, str], bool]
    """Whether an operation (read, write, remove) on a key fails."""

    @classmethod
    def reset(cls) -> None:
        """Empty, and without a fault."""
        cls.objects, cls.written, cls.needs_directories = {}, [], False
        cls.refuses = staticmethod(lambda _operation, _key: False)

    @classmethod
    def upload(cls, directory: Path, uri: str) -> None:
        """Puts the files of a directory there."""
        for path in directory.rglob("*"):
            if path.is_file():
                cls.objects[f"{uri}/{path.relative_to(directory)}"] = path.read_bytes()

    @classmethod
    def download(cls, uri: str, directory: Path) -> None:
        """Writes what is below a URI to a directory."""
        for name, content in cls.below(uri).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @classmethod
    def below(cls, uri: str) -> dict[str, bytes]:
        """What is below a URI, markers left out."""
        start = uri.rstrip("/") + "/"
        return {
            key[len(start) :]: value
            for key, value in cls.objects.items()
            if key.startswith(start) and not key.endswith("/")
        }

    @classmethod
    def _check(cls, operation: str, key: str) -> None:
        if cls.refuses(operation, key):
            raise OSError(f"the store refuses to {operation} {key}")

    @classmethod
    def put(cls, key: str, content: bytes) -> None:
        """Puts an object there, if half of it only."""
        if cls.refuses("write", key):
            cls.objects[key] = content[: len(content) // 2]
        cls._check("write", key)
        cls.objects[key] = content
        cls.written.append(key)

    @classmethod
    def _children(cls, path: str) -> list[str]:
        start = path.rstrip("/") + "/"
        rest = (key[len(start) :].partition("/") for key in cls.objects if key.startswith(start))
        return sorted({name + slash for name, slash, _ in rest if name})

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        """Opens an object; one that is written is there once it is closed."""
        if "w" in mode:
            if ObjectStore.needs_directories and f"{name.rpartition('/')[0]}/" not in ObjectStore.objects:
                raise filesystem.NotFoundError
            file: io.BytesIO = _Object(name)
        else:
            ObjectStore._check("read", name)
            if name not in ObjectStore.objects:
                raise filesystem.NotFoundError
            file = io.BytesIO(ObjectStore.objects[name])
        return file if "b" in mode else io.TextIOWrapper(file)

    @staticmethod
    def copy(src: str, dst: str, overwrite: bool = False) -> None:  # noqa: FBT002 - TFX's interface, here and below
        """Copies one object."""
        if dst in ObjectStore.objects and not overwrite:
            raise OSError(f"{dst} exists")
        with ObjectStore.open(src, "rb") as reader, ObjectStore.open(dst, "wb") as writer:
            writer.write(reader.read())

    @staticmethod
    def exists(path: str) -> bool:
        """Whether there is an object, or one below."""
        return path in ObjectStore.objects or ObjectStore.isdir(path)

    @staticmethod
    def isdir(path: str) -> bool:
        """Whether there is an object below, a marker included."""
        return any(key.startswith(path.rstrip("/") + "/") for key in ObjectStore.objects)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """Names of objects and folders; those of folders end with a slash, as on GCS."""
        if not ObjectStore.isdir(path):
            raise filesystem.NotFoundError
        return ObjectStore._children(path)

    @staticmethod
    def makedirs(path: str) -> None:
        """Writes the markers of a folder and its parents."""
        for count in range(len(SCHEME.split("/")), path.rstrip("/").count("/") + 2):
            ObjectStore.objects.setdefault("/".join(path.split("/")[:count]) + "/", b"")

    mkdir = makedirs

    @staticmethod
    def remove(path: str) -> None:
        """Removes one object."""
        ObjectStore._check("remove", path)
        if ObjectStore.objects.pop(path, None) is None:
            raise filesystem.NotFoundError

    @staticmethod
    def rmtree(path: str) -> None:
        """Removes one object after the other."""
        if not ObjectStore.isdir(path):
            raise filesystem.NotFoundError
        for key in [key for key in ObjectStore.objects if key.startswith(path.rstrip("/") + "/")]:
            ObjectStore.remove(key)

    @staticmethod
    def rename(src: str, dst: str, overwrite: bool = False) -> None:  # noqa: FBT002
        """Copies and removes one object after the other."""
        for key in [key for key in ObjectStore.objects if key == src or key.startswith(f"{src}/")]:
            ObjectStore.copy(key, dst + key[len(src) :], overwrite)
            ObjectStore.remove(key)

    @staticmethod
    def walk(
        top: str,
        topdown: bool = True,  # noqa: FBT002
        onerror: Callable[..., None] | None = None,
    ) -> Iterable[tuple[str, list[str], list[str]]]:
        """Folder after folder."""
        assert topdown
        names = ObjectStore._children(top)
        folders = [name for name in names if name.endswith("/")]
        yield top, folders, [name for name in names if not name.endswith("/")]
        for folder in folders:
            yield from ObjectStore.walk(f"{top.rstrip('/')}/{folder}", topdown, onerror)


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(ObjectStore, priority=1)


@pytest.fixture
def store() -> Iterator[type[ObjectStore]]:
    """An empty store."""
    ObjectStore.reset()
    yield ObjectStore
    ObjectStore.reset()


@pytest.fixture
def remote_model(store: type[ObjectStore], taxi_model: Path) -> standard_artifacts.Model:
    """The taxi model, with variables and assets in folders, as Trainer leaves it."""
    artifact = standard_artifacts.Model()
    artifact.uri = f"{SCHEME}bucket/Trainer/model"
    store.upload(taxi_model, f"{artifact.uri}/Format-Serving")
    return artifact


@pytest.fixture
def remote_examples(store: type[ObjectStore], taxi_examples: Path) -> standard_artifacts.Examples:
    """Two gzip shards of taxi Examples, as ExampleGen leaves them."""
    artifact = standard_artifacts.Examples()
    artifact.uri = f"{SCHEME}bucket/CsvExampleGen/examples"
    artifact.split_names = '["eval"]'
    for shard in sorted((taxi_examples / "Split-eval").iterdir())[:2]:
        store.objects[f"{artifact.uri}/Split-eval/{shard.name}"] = shard.read_bytes()
    return artifact
