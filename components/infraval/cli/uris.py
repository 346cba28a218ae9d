"""URIs on the command line: what they name is fetched before the work, and results are written after it."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from infraval import errors, escape, options, signals, streams

if TYPE_CHECKING:
    from infraval import remote

_META = "infraval.uris"
_SCHEME = "://"


class PathOrUri(click.Path):
    """A path, as a `Path`; if it is a URI, which a `Path` would spoil, `given` has it as it was written."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Keeps a URI in the context."""
        if param is not None and ctx is not None and _SCHEME in str(value):
            ctx.meta.setdefault(_META, {})[param.name] = value
        return super().convert(value, param, ctx)


def given(context: click.Context, name: str) -> str:
    """The URI that a parameter got; empty if it got a path, or nothing."""
    uri: str = context.meta.get(_META, {}).get(name, "")
    return uri


@contextlib.contextmanager
def local_model(model: Path, context: click.Context, name: str) -> Iterator[Path]:
    """The directory of a model, which is a copy if a URI was given.

    Raises:
      ModelError: there is nothing at the URI, or it cannot be read.
    """
    uri = given(context, name)
    if not uri:
        yield model
        return
    from infraval import remote, workspace  # noqa: PLC0415 - few need it

    with signals.abort_on_signal(), workspace.workspace() as directory:
        yield remote.fetch(_file_system(uri), uri, directory / "model", errors.ModelError)


@contextlib.contextmanager
def local_job(job: options.Job, context: click.Context, progress: Callable[[str], None]) -> Iterator[options.Job]:
    """A job with copies in place of the URIs that were given; its results go to theirs once the block has ended.

    Raises:
      InputError: what a URI names cannot be read or written, or a URI has a scheme that TensorFlow does not know.
    """
    model, output = given(context, "model"), given(context, "output")
    uris = [pattern for pattern in job.examples if _SCHEME in pattern]
    if not (model or output or uris):
        yield job
        return
    from infraval import remote, workspace  # noqa: PLC0415 - few need it

    files = _file_system(*filter(None, (model, output, *uris)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(signals.abort_on_signal())
        directory = stack.enter_context(workspace.workspace())
        changes: dict[str, Any] = {}
        if output:
            if remote.names(files, output):
                raise errors.OutputError(
                    f"{output} is not empty. Set --output to a new or empty directory.", code="output/not-empty"
                )
            changes["output"] = stack.enter_context(remote.results(files, output, directory / "results"))
        if model:
            progress(f"Fetching {model}")
            changes["model"] = remote.fetch(files, model, directory / "model", errors.ModelError)
        if uris:
            target = directory / "examples"
            target.mkdir()
            for pattern in uris:
                progress(f"Fetching {pattern}")
                _fetch_matches(files, pattern, target)
            paths = [pattern for pattern in job.examples if pattern not in uris]
            changes["examples"] = (*paths, f"{glob.escape(str(target))}/*")
        yield job.model_copy(update=changes)


def _fetch_matches(files: remote.Files, pattern: str, target: Path) -> None:
    import tensorflow as tf  # noqa: PLC0415 - the caller has imported it

    from infraval import remote  # noqa: PLC0415 - few need it

    try:
        found = [uri for uri in tf.io.gfile.glob(pattern) if not files.isdir(uri)]
    except files.failures as error:
        raise errors.ExamplesError(f"{pattern} cannot be read: {remote.cause(error)}.") from error
    if not found:
        raise errors.ExamplesError(
            f"No file matches {pattern}. Set --examples to TFRecord files of serialized examples.",
            code="examples/missing",
        )
    for uri in found:
        # Numbered, as two folders may have files of one name; the name says whether it is compressed.
        number = sum(1 for _ in target.iterdir())
        remote.fetch(files, uri, target / f"{number:06}-{PurePosixPath(uri).name}", errors.ExamplesError)


def _file_system(*uris: str) -> remote.Files:
    """TensorFlow's, which must know the schemes of all these URIs."""
    with streams.held_back():
        import tensorflow as tf  # noqa: PLC0415 - takes seconds

    from infraval import remote  # noqa: PLC0415 - few need it

    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    for uri in uris:
        scheme = uri.partition(_SCHEME)[0]
        if scheme not in known:
            raise errors.OptionError(
                f"TensorFlow has no file system for {uri}, but for {escape.names(known)}. Copy it from or to there "
                "with the store's own tool, such as aws s3, or mount it."
            )
    return remote.Files(
        open=tf.io.gfile.GFile,
        exists=tf.io.gfile.exists,
        isdir=tf.io.gfile.isdir,
        listdir=tf.io.gfile.listdir,
        walk=tf.io.gfile.walk,
        makedirs=tf.io.gfile.makedirs,
        remove=tf.io.gfile.remove,
        rmtree=tf.io.gfile.rmtree,
        failures=(tf.errors.OpError, OSError),
        not_found=(tf.errors.NotFoundError, FileNotFoundError),
    )
