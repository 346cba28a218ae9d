"""The latest run as ML Metadata has it: tables for a person, and what of earlier runs can go."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import rich.box
import rich.console
import rich.table
import tensorflow_model_analysis as tfma
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

import config
from infraval import benchmark, escape, options
from infraval.report import data, page
from infraval.report.terminal import cold_table, show_benchmark
from infraval.trial import bench

_BENCH_S = 2.0
"""Seconds of requests to the model that was pushed."""


@dataclasses.dataclass(frozen=True)
class Component:
    """What a component did in a run.

    Attributes:
      name: its id in the pipeline.
      seconds: from its registration until its results were published.
      cached: whether the results of an earlier run were taken.
      outputs: its artifacts by output key; this pipeline has no key with several.
    """

    name: str
    seconds: float
    cached: bool
    outputs: Mapping[str, metadata_store_pb2.Artifact]


Run = Mapping[str, Component]
"""Components by name, in the order of their execution."""


def latest_run(store: metadata_store.MetadataStore) -> Run:
    """Reads the components of the run that was started last."""
    context = max(store.get_contexts_by_type("pipeline_run"), key=lambda each: each.id)
    executions = sorted(store.get_executions_by_context(context.id), key=lambda each: each.id)
    return {component.name: component for component in (_component(store, each) for each in executions)}


def _component(store: metadata_store.MetadataStore, execution: metadata_store_pb2.Execution) -> Component:
    (kind,) = store.get_execution_types_by_id([execution.type_id])
    keys = {
        event.artifact_id: event.path.steps[0].key
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    }
    return Component(
        name=kind.name.rpartition(".")[2],
        seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000,
        cached=execution.last_known_state == metadata_store_pb2.Execution.CACHED,
        outputs={keys[artifact.id]: artifact for artifact in store.get_artifacts_by_id(list(keys))},
    )


def prune(run: Run, pipeline_root: Path) -> None:
    """Removes the artifacts that the run neither made nor took from the cache, and TFX's working folders.

    Also those of a run that was interrupted, which ML Metadata never heard of. TFX takes nothing from the cache that
    is no longer on disk.
    """
    used = {Path(artifact.uri) for component in run.values() for artifact in component.outputs.values()}
    unused = {sibling for folder in used for sibling in folder.parent.iterdir()} - used
    working = {pipeline_root / name / ".system" for name in run}
    for folder in unused | working | {pipeline_root / "_wheels"}:
        shutil.rmtree(folder, ignore_errors=True)


def show(run: Run, locations: config.Locations, console: rich.console.Console) -> bool:
    """Prints times, latencies, verdicts, and where the model was pushed.

    Returns:
      Whether it is there.
    """
    _show_components(list(run.values()), console)
    _show_evaluation(run["Evaluator"], console)
    _show_validation(run["WarmupInfraValidator"], console)
    return _show_pushed(run["Pusher"], locations, console)


def _show_components(components: Sequence[Component], console: rich.console.Console) -> None:
    table = rich.table.Table("component", box=rich.box.SIMPLE_HEAD)
    table.add_column("time", justify="right")
    for component in components:
        table.add_row(component.name, "cached" if component.cached else f"{component.seconds:.1f} s")
    console.print(table)
    cached = sum(component.cached for component in components)
    if cached:
        console.print(
            f"{cached} of {len(components)} components were cached: what they depend on has not changed since an "
            "earlier run. Start over with --clean.\n"
        )


def _show_evaluation(evaluator: Component, console: rich.console.Console) -> None:
    metrics = tfma.load_eval_result(evaluator.outputs["evaluation"].uri).get_metrics_for_slice()
    accuracy = metrics["sparse_categorical_accuracy"]["doubleValue"]
    blessed = evaluator.outputs["blessing"].custom_properties["blessed"].int_value
    console.print(
        f"Evaluator: {'BLESSED' if blessed else 'NOT_BLESSED'}, accuracy {accuracy:.1%} on the eval split "
        f"(at least {config.MIN_ACCURACY:.1%})"
    )


def _show_validation(validator: Component, console: rich.console.Console) -> None:
    content = (Path(validator.outputs["blessing"].uri) / data.REPORT).read_text(encoding="utf-8")
    report = data.Report.model_validate_json(content)
    (server,) = report.servers
    judge = escape.one_line(f"{server.server.name} ({server.server.version})")
    console.print(f"WarmupInfraValidator: {report.verdict} by {judge}", markup=False)
    for finding in server.findings:
        for reason in finding.reasons if finding.status == "failed" else ():
            console.print(f"  {finding.gate}: {escape.one_line(reason)}", markup=False)
    console.print(
        f"  requests answered: {sum(cell.answered for cell in server.cells)} of {len(server.requests)}, "
        f"warmup records replayed: {server.records_replayed or 0} of {report.warmup.records}"
    )
    console.print("\nFirst request of a fresh server, without (cold) and with (warm) the warmup file:")
    if server.cold_load_time_s is None:
        console.print("  not compared")
    else:
        console.print(cold_table(server.cells))
    console.print(f"The whole report: {Path(validator.outputs['blessing'].uri) / page.PAGE}", markup=False)


def _bench(model: Path) -> bench.Benchmark:
    """What `infraval bench` finds in a few seconds; the first requests of a cold server are shown already."""
    return benchmark.benchmark(options.Job(model=model), bench.Asked(budget_s=_BENCH_S), cold=False)


def _show_pushed(pusher: Component, locations: config.Locations, console: rich.console.Console) -> bool:
    properties = pusher.outputs["pushed_model"].custom_properties
    if not properties["pushed"].int_value:
        console.print("Pusher: nothing was pushed")
        return False
    destination = Path(properties["pushed_destination"].string_value)
    if not destination.exists():
        console.print(f"Pusher: an earlier run pushed to {destination}, which is gone. Push again with --clean.")
        return False
    console.print(f"Pusher: {'an earlier run pushed' if pusher.cached else 'pushed'} to {destination}")
    console.print("\nHow fast it answers (infraval bench):")
    show_benchmark(_bench(destination), console)
    console.print("\nServe it:")
    console.print(
        f"  infraval serve --port=8500 --model_name={config.NAME} --model_base_path={locations.serving_model}"
    )
    return True
