"""The staged model: copied in, given its warmup file, fingerprinted. What is judged is what ships."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from infraval import evidence, options
from infraval.staging import copying, warmup_file
from infraval.tensorflow_protos import prediction_log_pb2

_DEFAULT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class StagedModel:
    """What every server serves, and what ships.

    Attributes:
      directory: the SavedModel directory, with its warmup file; the only entry of a model base path.
      digest: of that directory.
      warmup: the warmup file.
    """

    directory: Path
    digest: str
    warmup: evidence.Warmup

    @property
    def base_path(self) -> Path:
        """The model base path."""
        return self.directory.parent

    @property
    def warmup_path(self) -> Path:
        """Where the server looks for the warmup file; it does not exist if the model has no records."""
        return self.directory / options.WARMUP_FILE


def stage(
    job: options.Job,
    logs: Sequence[prediction_log_pb2.PredictionLog],
    base_path: Path,
    constants: Collection[str] = (),
) -> StagedModel:
    """Copies a model and gives it its warmup file.

    Args:
      job: the model, and what its warmup file is to hold.
      logs: the requests, those that cover every cell first.
      base_path: the model base path to make.
      constants: inputs of the requests that are not the batch, `SIGNATURE/INPUT` each.

    Raises:
      ModelError: a file of the model cannot be read, or is not part of it.
      OptionError: the warmup file may not have as many records as there are cells.
    """
    base_path.mkdir()
    directory = base_path / _version(job)
    copying.copy(job.model, directory, job.allow_links_to)
    path = directory / options.WARMUP_FILE
    if job.make_warmup and logs:
        written = warmup_file.write(path, logs, job.warmup, constants)
    else:
        written = warmup_file.keep(path) if path.exists() else evidence.Warmup()
    return StagedModel(directory, digest(directory), written)


def stage_as_it_is(job: options.Job, model: Path, base_path: Path) -> StagedModel:
    """Copies a model to be served in the place of the job's, with the warmup file that came with it if there is one.

    Raises:
      ModelError: a file of the model cannot be read, or is not part of it.
    """
    base_path.mkdir()
    directory = base_path / _version(job)
    copying.copy(model, directory, job.allow_links_to)
    path = directory / options.WARMUP_FILE
    return StagedModel(directory, digest(directory), warmup_file.keep(path) if path.exists() else evidence.Warmup())


def size_bytes(staged: StagedModel) -> int:
    """Bytes of all files but the warmup file."""
    warmup = staged.warmup_path
    return size(staged.directory) - (warmup.lstat().st_size if warmup.exists() else 0)


def digest(directory: Path) -> str:
    """SHA-256, as hex, over the relative path and the content of every file, and every directory's path."""
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        name = os.fsencode(path.relative_to(directory))
        if path.is_symlink():
            kind, content = b"link", hashlib.sha256(os.fsencode(path.readlink()))
        elif path.is_dir():
            kind, content = b"directory", hashlib.sha256()
        else:
            kind, content = b"file", _file_hash(path)
        total.update(kind + len(name).to_bytes(8, "big") + name + content.digest())
    return total.hexdigest()


def size(directory: Path) -> int:
    """Bytes of all files in a directory together."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def without_warmup(staged: StagedModel, base_path: Path) -> Path:
    """Makes a model base path with the staged model minus its warmup file, unless it exists.

    The files are hard links, because a model can be large.
    """
    if not base_path.exists():
        base_path.mkdir()
        shutil.copytree(
            staged.directory,
            base_path / staged.directory.name,
            copy_function=os.link,
            ignore=lambda directory, names: [name for name in names if Path(directory, name) == staged.warmup_path],
        )
    return base_path


def to_swap(baseline: StagedModel, candidate: StagedModel, base_path: Path, number: int) -> Path:
    """Makes a model base path with the baseline as a version, and the candidate under a name that is not a version.

    The files are hard links. Renamed to a number, the candidate appears all at once.

    Returns:
      The candidate's directory.
    """
    hidden = base_path / ".candidate"
    for staged, path in ((baseline, base_path / str(number)), (candidate, hidden)):
        shutil.copytree(staged.directory, path, copy_function=os.link)
    return hidden


def _version(job: options.Job) -> str:
    """The name of the model's directory in its base path."""
    return str(job.server.model_version or _DEFAULT_VERSION)


def _file_hash(path: Path) -> hashlib._Hash:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            content.update(chunk)
    return content
