"""URIs on the command line: what they name is fetched before the work, and results are written after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from infraval import errors, options, signals, storage, streams

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
      InputError: what a URI names cannot be read or written, or nothing has a file system for it.
    """
    model, output, baseline = (given(context, name) for name in ("model", "output", "baseline"))
    if not (model or output or baseline):
        yield job
        return
    from infraval import remote, workspace  # noqa: PLC0415 - few need it

    file_systems = {uri: _file_system(uri) for uri in (model, output, baseline) if uri}
    with contextlib.ExitStack() as stack:
        stack.enter_context(signals.abort_on_signal())
        directory = stack.enter_context(workspace.workspace())
        changes: dict[str, Any] = {}
        if output:
            try:
                found = remote.names(file_systems[output], output)
            except file_systems[output].failures as error:
                raise errors.OutputError(
                    f"{output} cannot be read: {storage.cause(error)}. Check the URI of --output and the permission to "
                    "read and write there."
                ) from error
            if found:
                raise errors.OutputError(
                    f"{output} is not empty. Set --output to a new or empty directory.", code="output/not-empty"
                )
            changes["output"] = stack.enter_context(remote.results(file_systems[output], output, directory / "results"))
        if model:
            progress(f"Fetching {model}")
            changes["model"] = remote.fetch(file_systems[model], model, directory / "model", errors.ModelError)
        if baseline:
            progress(f"Fetching {baseline}")
            changes["baseline"] = remote.fetch(
                file_systems[baseline], baseline, directory / "baseline", errors.ModelError
            )
        yield job.model_copy(update=changes)


def _file_system(uri: str) -> storage.Files:
    """TensorFlow's, or, for a scheme that it does not know, Beam's or TFX's."""
    with streams.held_back():
        import tensorflow as tf  # noqa: PLC0415 - takes seconds

    if uri.partition(_SCHEME)[0] not in tf.io.gfile.get_registered_schemes():
        try:
            return storage.of(uri)
        except storage.UnknownSchemeError as error:
            raise errors.OptionError(f"{uri} cannot be used: {error.strerror}.") from None
    return storage.Files(
        open=tf.io.gfile.GFile,
        exists=tf.io.gfile.exists,
        isdir=tf.io.gfile.isdir,
        listdir=tf.io.gfile.listdir,
        walk=tf.io.gfile.walk,
        makedirs=tf.io.gfile.makedirs,
        remove=tf.io.gfile.remove,
        rmtree=tf.io.gfile.rmtree,
        glob=tf.io.gfile.glob,
        rename=lambda old, new: tf.io.gfile.rename(old, new, overwrite=True),
        size=lambda uri: int(tf.io.gfile.stat(uri).length),
        failures=(tf.errors.OpError, OSError),
        not_found=(tf.errors.NotFoundError, FileNotFoundError),
    )
