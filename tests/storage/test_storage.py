"""Files by path, through Beam's file systems, and through TFX's: the same behaviour."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infraval import storage


@pytest.fixture(params=["path", "file", "beam"])
def base(request: pytest.FixtureRequest, tmp_path: Path, folder_store: Any) -> str:
    """A directory that is not there yet: a path, `file://`, and a URI of Beam's."""
    del folder_store  # it is empty
    return {"path": f"{tmp_path}/base", "file": f"file://{tmp_path}/base", "beam": "folder://bucket/base"}[
        request.param
    ]


def put(location: str, content: bytes = b"") -> None:
    """Writes a file."""
    with storage.writing(location) as file:
        file.write(content)


def names(pattern: str) -> list[str]:
    """Names of what matches, with those of their directories."""
    return sorted("/".join(found.split("/")[-2:]) for found in storage.find(pattern))


def test_what_was_written_is_found_and_read_and_can_be_removed(base: str) -> None:
    """In parts, and as often as it is written; nothing else is left beside it."""
    for _ in range(2):
        put(f"{base}/a", b"abcdef")
    assert storage.find(f"{base}/*") == storage.find(f"{base}/a") == [storage.path_of(f"{base}/a")]
    assert storage.size(f"{base}/a") == 6
    with storage.reading(f"{base}/a") as file:
        assert [file.read(4), file.read(4), file.read(4)] == [b"abcd", b"ef", b""]
    assert storage.exists(f"{base}/a")
    storage.remove_folder(base)
    storage.remove_folder(base)
    assert not storage.exists(f"{base}/a")
    assert storage.find(f"{base}/*") == []
    assert storage.size(f"{base}/a") == 0


def test_what_a_glob_matches(base: str) -> None:
    """Files of that directory, but not hidden ones, and any name if its special characters are escaped."""
    for name in ("one[1]/a.gz", "one[1]/b", "one[1]/.hidden", "one[1]/_TEMP", "one1/c", "one[1]/deep/d"):
        put(f"{base}/{name}")
    assert names(f"{base}/one[[]1]/*") == ["one[1]/_TEMP", "one[1]/a.gz", "one[1]/b"]
    assert names(f"{base}/one[[]1]/.h*") == ["one[1]/.hidden"]
    assert names(f"{base}/one[[]1]/?") == ["one[1]/b"]
    assert names(f"{base}/one1/[a-c]") == names(f"{base}/one[1]/*") == ["one1/c"]
    assert names(f"{base}/nowhere/x") == []


def test_a_writer_that_fails_leaves_nothing(base: str) -> None:
    """Neither the file nor a part of it; what another has written stays."""
    put(f"{base}/kept", b"1")

    def fail(location: str) -> None:
        with storage.writing(location) as file:
            file.write(b"half")
            raise ZeroDivisionError

    for name in ("kept", "new"):
        with pytest.raises(ZeroDivisionError):
            fail(f"{base}/{name}")
    assert names(f"{base}/*") == ["base/kept"]
    with storage.reading(f"{base}/kept") as file:
        assert file.read() == b"1"


def test_what_fails_is_an_os_error_that_says_why(folder_store: Any) -> None:
    """Whatever the file system itself raises."""
    put("folder://bucket/a", b"a")
    folder_store.refuses = staticmethod(lambda operation, _: operation in {"read", "write", "list", "delete"})

    def read() -> None:
        with storage.reading("folder://bucket/a") as file:
            file.read()

    for action in (read, lambda: put("folder://bucket/b"), lambda: storage.find("folder://bucket/*")):
        with pytest.raises(OSError, match="the store refuses to") as caught:
            action()
        assert caught.value.errno == errno.EIO
        assert "refuses" in caught.value.strerror


def test_a_folder_that_cannot_be_removed_is_a_warning(folder_store: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is no reason to fail."""
    put("folder://bucket/sample/a", b"a")
    folder_store.refuses = staticmethod(lambda operation, _: operation == "delete")
    storage.remove_folder("folder://bucket/sample")
    assert "folder://bucket/sample could not be removed" in caplog.text


def test_a_scheme_that_nothing_knows() -> None:
    """The error names those that are known."""
    with pytest.raises(storage.UnknownSchemeError, match=r"nowhere://.* but for .*gs, "):
        storage.find("nowhere://x")


def test_s3_without_credentials_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam would try again for ten minutes, far beyond the time that a test has."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(OSError, match="AWS_PROFILE"):
        storage.find("s3://bucket/examples/*")


def test_nothing_is_imported_for_paths(tmp_path: Path) -> None:
    """Neither Beam nor TFX, both of which take seconds."""
    (tmp_path / "a").write_bytes(b"")
    code = (
        "import sys; from infraval import storage\n"
        f"assert storage.find('file://{tmp_path}/*') and storage.find('{tmp_path}/*')\n"
        "print({'apache_beam', 'tensorflow', 'tfx'} & {*sys.modules})"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "set()\n"
