"""What one server finds of the staged model: the order of boots, and the gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, verdict
from infraval.gates import load, responses, unchanged, warmup
from infraval.staging import model as staging
from infraval.trial import boot


@dataclasses.dataclass(frozen=True)
class Staged:
    """What every server is given.

    Attributes:
      model: the staged SavedModel directory, with its warmup file.
      digest: of that directory.
      logs: the requests.
      written: the warmup file.
      examples: the source of the requests; None if none were given.
    """

    model: Path
    digest: str
    logs: Sequence[prediction_log_pb2.PredictionLog]
    written: verdict.Warmup
    examples: verdict.Examples | None


def judge(
    staged: Staged, booter: boot.Booter, platform: str, directory: Path, *, compare_cold: bool
) -> verdict.Verdict:
    """Boots the model on one server and judges what comes of it.

    Args:
      staged: the model and the requests.
      booter: boots it on that server.
      platform: the kind of sandbox it boots in.
      directory: where a copy of the model without its warmup file may be made; exists.
      compare_cold: boot that copy first, for comparison.

    Raises:
      SandboxError: no result, for a reason that is not the model's.
      UnregisteredOpError: the embedded server cannot judge this model.
      WarmupFileError: the server refuses infraval's own warmup file and nothing else.
    """
    cold = _boot_cold(staged, booter, directory) if compare_cold and staged.written.records else None
    booted, tries = booter.boot_until_definite(staged.logs, measure=cold is not None)
    written = dataclasses.replace(staged.written, records_replayed=booted.records_replayed)
    if isinstance(booted.failure, load.Refused) and staging.warmup_file(staged.model).exists():
        booted, reasons = _judge_without_warmup(staged, booter, directory, booted, booted.failure)
    else:
        reasons = _reasons(booted, len(staged.logs)) or (
            *warmup.judge(written),
            *unchanged.judge(staged.digest, staging.digest(staged.model)),
        )
    server = booted.server
    return verdict.Verdict(
        reasons=reasons,
        server=verdict.Server(
            server.name, server.version, platform, server.image, server.image_id, server.image_digest
        ),
        tries=tries,
        load_time_s=booted.load_time_s,
        warmup=written,
        examples=staged.examples,
        outcomes=booted.outcomes,
        digest=staged.digest,
        cold=_compare(cold, booted),
        server_log=booted.server_log,
    )


def _boot_cold(staged: Staged, booter: boot.Booter, directory: Path) -> boot.Boot:
    booted, _ = booter.boot_until_definite(
        staged.logs, measure=True, model_base_path=_without_warmup(staged, directory)
    )
    return booted


def cold_base_path(directory: Path) -> Path:
    """The model base path that `judge` makes in its directory for a copy without the warmup file."""
    return directory / "cold"


def _without_warmup(staged: Staged, directory: Path) -> Path:
    """A model base path with the staged model minus its warmup file, made if need be."""
    base_path = cold_base_path(directory)
    if not base_path.exists():
        base_path.mkdir()
        staging.without_warmup(staged.model, base_path / staged.model.name)
    return base_path


def _compare(cold: boot.Boot | None, warm: boot.Boot) -> verdict.Cold | None:
    if cold is None or cold.load_time_s is None or not warm.latencies:
        return None
    return verdict.Cold(cold.load_time_s, cold.latencies, warm.latencies)


def _judge_without_warmup(
    staged: Staged, booter: boot.Booter, directory: Path, refused: boot.Boot, refusal: load.Refused
) -> tuple[boot.Boot, tuple[verdict.Reason, ...]]:
    """Boots once more without the warmup file, to tell whether the model or the file is at fault.

    Returns:
      The boot that decides, and the reasons against the model.

    Raises:
      WarmupFileError: the model answers every request, and all of the file is infraval's.
    """
    booted, _ = booter.boot_until_definite(staged.logs, model_base_path=_without_warmup(staged, directory))
    reasons = _reasons(booted, len(staged.logs))
    if reasons:
        return booted, reasons
    if staged.written.records > staged.written.from_model == 0:
        raise errors.WarmupFileError(
            f"The server refuses the model with its warmup file ({refusal.code}: {refusal.message}) but answers the "
            "same requests without it. The file is infraval's own, so this is a bug of infraval's: please report it."
        )
    return refused, warmup.judge_refusal(refusal.code, refusal.message, staged.written)


def _reasons(booted: boot.Boot, requests: int) -> tuple[verdict.Reason, ...]:
    if booted.failure is not None:
        return load.judge(booted.failure)
    return responses.judge(booted.outcomes, requests, booted.death)
