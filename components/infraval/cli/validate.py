"""`infraval validate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from infraval import errors, options
from infraval.cli import docker_options, guard

_BLESSED, _NOT_BLESSED = 0, 1

_ON_WARMUP = ("existing_warmup", "max_warmup_records")
_ON_REQUESTS = (
    *("signatures", "multi_inference", "features", "max_dead_letter_share", "batch_sizes", "num_examples", "seed"),
    *_ON_WARMUP,
)
_ON_PROCESS = ("server", "import_ops")
_ON_DOCKER = ("images", *docker_options.NAMES)


@click.command(cls=guard.Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="SavedModel directory.")
@click.option(
    "--examples",
    multiple=True,
    metavar="GLOB",
    help="TFRecord files (.gz: gzip) of serialized examples to build requests of; with none the model is only loaded.",
)
@click.option(
    "--signature",
    "signatures",
    multiple=True,
    metavar="NAME[:METHOD]",
    help="Signature to call, by predict, classify or regress; all stands for every one that the examples can feed.  "
    "[serving_default, by the method that it declares]",
)
@click.option(
    "--multi-inference",
    multiple=True,
    metavar="NAME,NAME",
    help="Pair of signatures to ask in one MultiInference.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME/INPUT=FEATURE",
    help="Feature of the tf.Examples that feeds an input; nothing behind = is the whole record.  [of the same name]",
)
@click.option(
    "--max-dead-letter-share",
    type=click.FloatRange(0, 1),
    default=options.RequestSpec.max_dead_letter_share,
    show_default=True,
    help="Share of the records that may be unfit for what is to be called.",
)
@click.option("--tag-set", metavar="TAG,TAG", help="Tags of the MetaGraphDef to use  [those of the only one]")
@click.option(
    "--batch-size",
    "batch_sizes",
    multiple=True,
    type=click.IntRange(min=1),
    help="Examples per request  [every allowed_batch_sizes of the batching parameters file, else 1]",
)
@click.option(
    "--num-examples",
    type=click.IntRange(min=1),
    default=options.RequestSpec.num_examples,
    show_default=True,
    help="Distinct examples to send per signature and batch size.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=options.WarmupSpec.seed, show_default=True, help="Of the sample."
)
@click.option(
    "--batching-parameters-file",
    type=click.Path(path_type=Path),
    help="TF Serving's BatchingParameters text proto; the server boots with it.",
)
@click.option(
    "--existing-warmup",
    type=click.Choice([choice.value for choice in options.ExistingWarmup]),
    default=options.WarmupSpec.existing.value,
    show_default=True,
    help="What to do with a warmup file that came with the model.",
)
@click.option(
    "--max-warmup-records",
    type=click.IntRange(1, options.MAX_WARMUP_RECORDS),
    default=options.WarmupSpec.max_records,
    show_default=True,
    help="The warmup file never holds more.",
)
@click.option(
    "--compare-cold",
    is_flag=True,
    help="Boot once without the warmup file as well, and report the first requests of both boots.",
)
@click.option("--no-warmup", is_flag=True, help="Only validate; the model gets no new warmup records.")
@click.option(
    "--platform",
    type=click.Choice([platform.value for platform in options.Platform]),
    default=options.ServingSpec.platform.value,
    show_default=True,
    help="Where the server under test runs.",
)
@click.option(
    "--model-name", default=options.ServingSpec.model_name, show_default=True, help="Name to serve the model under."
)
@click.option(
    "--server",
    default=options.ProcessSpec.server,
    show_default=True,
    help="auto (tensorflow_model_server from PATH, else embedded), embedded, or the path of a tensorflow_model_server.",
)
@click.option(
    "--import-ops", multiple=True, metavar="MODULE", help="Module whose custom ops the embedded server registers."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="REFERENCE",
    help="Image of a model server, such as tensorflow/serving:2.16.1; with several, all have to bless the model.",
)
@docker_options.add
@click.option(
    "--max-loading-time",
    type=click.FloatRange(min=0, min_open=True),
    default=options.ValidationSpec.max_loading_time_s,
    show_default=True,
    help="Seconds until the model has to be AVAILABLE.",
)
@click.option(
    "--num-tries",
    type=click.IntRange(min=1),
    default=options.ValidationSpec.num_tries,
    show_default=True,
    help="Boots at most; a definite refusal is not tried again.",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=options.ValidationSpec.request_timeout_s,
    show_default=True,
    help="Seconds that one request may take.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=options.ValidationSpec.concurrency,
    show_default=True,
    help="Requests under way at once.",
)
@click.option("--output", type=click.Path(path_type=Path), help="New or empty directory for the results.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def validate(
    *,
    model: Path,
    examples: tuple[str, ...],
    signatures: tuple[str, ...],
    multi_inference: tuple[str, ...],
    features: tuple[str, ...],
    max_dead_letter_share: float,
    tag_set: str | None,
    batch_sizes: tuple[int, ...],
    num_examples: int,
    seed: int,
    batching_parameters_file: Path | None,
    existing_warmup: str,
    max_warmup_records: int,
    compare_cold: bool,
    no_warmup: bool,
    platform: str,
    model_name: str,
    server: str,
    import_ops: tuple[str, ...],
    images: tuple[str, ...],
    max_loading_time: float,
    num_tries: int,
    request_timeout: float,
    concurrency: int,
    output: Path | None,
    as_json: bool,
    **docker: Any,
) -> None:
    """Judge a model by really serving it with its warmup file.

    Exit code: 0 blessed, 1 not blessed, 2 could not judge.
    """

    def run() -> int:
        _check_combination(click.get_current_context())
        requests = options.RequestSpec(
            signatures=signatures or (() if multi_inference else (options.DEFAULT_SIGNATURE,)),
            num_examples=num_examples,
            tag_set=tuple(tag_set.split(",")) if tag_set else (),
            multi_inference=multi_inference,
            features=features,
            max_dead_letter_share=max_dead_letter_share,
        )
        warmup = options.WarmupSpec(
            batch_sizes=batch_sizes,
            batching_parameters_file=str(batching_parameters_file or ""),
            seed=seed,
            existing=options.ExistingWarmup(existing_warmup),
            max_records=max_warmup_records,
            compare_cold=compare_cold,
        )
        process = options.ProcessSpec(server, import_ops)
        serving = options.ServingSpec(
            options.Platform(platform), model_name, process, images, docker_options.to_spec(docker)
        )
        limits = options.ValidationSpec(max_loading_time, num_tries, request_timeout, concurrency)
        from infraval import publish, validation  # noqa: PLC0415 - takes seconds
        from infraval.report import data, terminal  # noqa: PLC0415 - the same

        job = options.Job(
            model, examples, requests, not no_warmup, warmup, serving=serving, validation=limits, output=output
        )
        with terminal.progress() as progress:
            judged = validation.validate(job, progress=progress)
        with guard.writing():
            if as_json:
                click.echo(json.dumps(data.to_json(judged)))
            else:
                terminal.show_report(data.report(judged))
                if output is not None:
                    click.echo(f"written {output / (publish.STAMPED_MODEL if judged.blessed else data.REPORT)}")
        return _BLESSED if judged.blessed else _NOT_BLESSED

    sys.exit(guard.guarded(run, as_json=as_json))


def _check_combination(context: click.Context) -> None:
    """Refuses options that others leave without effect, even where the default is spelled out."""
    given = {
        option.name: option.opts[0]
        for option in context.command.params
        if context.get_parameter_source(option.name or "") is not click.core.ParameterSource.DEFAULT
    }
    for names, contradicted, why in (
        (_ON_REQUESTS, "examples" not in given, "is about the requests, and there are no --examples to build them of"),
        (_ON_WARMUP, "no_warmup" in given, "is about the warmup file, and --no-warmup wants none written"),
        (_ON_PROCESS, context.params["platform"] != options.Platform.PROCESS, "is of the process --platform only"),
        (_ON_DOCKER, context.params["platform"] != options.Platform.DOCKER, "is of the docker --platform only"),
    ):
        for name in names:
            if contradicted and name in given:
                raise errors.OptionError(f"{given[name]} {why}; drop the one or the other.")
