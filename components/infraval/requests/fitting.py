"""Whether examples fit a model that nobody said how to call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infraval import errors, options
from infraval.requests import acceptance, batch_sizes, graph, record_kinds, shards, signatures, targets
from infraval.tensorflow_protos import example_pb2


def misfit(job: options.Job) -> str | None:
    """Why some of the examples may not fit the requests that a job makes; None if the graph shows that they all do.

    Raises:
      ModelError: the model cannot be read.
      ExamplesError: the examples cannot be read.
    """
    meta_graph = signatures.meta_graph(job.model, job.requests.tag_set)
    available = signatures.of(meta_graph)
    parsing = graph.of(meta_graph)
    paths, _ = shards.part(shards.find(job.examples), job.requests.max_shards, job.requests.max_records)
    records = list(shards.peek(paths))
    try:
        called, _ = targets.resolve(job.requests, available, records, batch_sizes.batch_sizes(job), parsing)
    except errors.ModelError as error:
        return str(error)
    for cause in filter(None, map(acceptance.Acceptance(called).cause_of_rejection, records)):
        return f"A record does not fit: {cause}."
    for fed in targets.fed(called):
        name = f"the input {fed.input!r} of signature {fed.signature!r}"
        if fed.feature is None:
            parsed = parsing(fed.signature, fed.input)
            if parsed is None or parsed.features is None:
                return f"The graph does not show which features {name} needs."
            cause = _lacking(parsed.features, records)
            if cause:
                return f"A record does not fit {name}: {cause}."
        elif fed.feature != fed.input:
            return f"No feature has the name of {name}."
    return None


def _lacking(needed: Mapping[str, graph.Feature], records: Sequence[bytes]) -> str:
    """Why some record does not have what is parsed; empty if all have. Names features, never a value."""
    seen = set()
    for example in _examples(records):
        if example is None:
            return "not a tf.Example"
        features = example.features.feature
        seen.update(features)
        for name, feature in needed.items():
            cause = _cause(name, feature, features)
            if cause:
                return cause
    return "" if not needed or seen & needed.keys() else "it has none of the features that the graph parses"


def _examples(records: Sequence[bytes]) -> Iterator[example_pb2.Example | None]:
    """The tf.Examples that the server makes of records; None for a record that is something else."""
    for record in records:
        example = record_kinds.example(record)
        examples = record_kinds.example_list(record) if example is None else None
        if examples is None:
            yield example
        else:
            yield from record_kinds.merged(examples)


def _cause(name: str, needed: graph.Feature, features: Any) -> str:
    kind = features[name].WhichOneof("kind") if name in features else None
    if kind is None:
        return f"it has no feature {name!r}" if needed.required else ""
    if kind != needed.kind:
        return f"its feature {name!r} has kind {kind}, but the graph parses {needed.kind or 'another kind'}"
    if needed.count is not None and len(getattr(features[name], kind).value) != needed.count:
        return f"its feature {name!r} does not have the {needed.count} values that the graph parses"
    return ""
