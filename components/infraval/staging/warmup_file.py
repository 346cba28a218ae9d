"""The warmup file of the staged model: new requests, those that came with the model, or both."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from infraval import errors, evidence, options
from infraval.requests import prediction_logs
from infraval.tensorflow_protos import prediction_log_pb2

_log = logging.getLogger(__name__)


def write(
    path: Path,
    requests: Sequence[prediction_log_pb2.PredictionLog],
    warmup: options.WarmupOptions,
    constants: Collection[str] = (),
) -> evidence.Warmup:
    """Writes the warmup file, by the policy for one that came with the model, and returns what it holds now.

    The requests and `constants` are those of `model.stage`. The file exists if it came with the model.

    Raises:
      ModelError: the records that came with the model cannot be read, but must be merged with the new ones.
      OptionError: the file may not have a record for every cell besides those that came with the model.
    """
    policy = warmup.existing if path.exists() else None
    if policy is options.ExistingWarmup.KEEP:
        return keep(path)
    dropped = keep(path).records if policy is options.ExistingWarmup.REPLACE else 0
    if dropped:
        _log.warning("%d warmup records that came with the model are replaced.", dropped)
    kept = 0
    known: set[bytes] = set()
    covered: set[options.Cell | None] = set()
    for log in prediction_logs.read(path) if policy is options.ExistingWarmup.MERGE else ():
        kept += 1
        known.add(_digest(log))
        covered.add(prediction_logs.cell(log, constants))
    new = {
        position: prediction_logs.cell(log, constants)
        for position, log in enumerate(requests)
        if not known or _digest(log) not in known
    }
    firsts = {cell: position for position, cell in reversed(new.items())}
    uncovered = len(firsts.keys() - covered)
    # A cut at max_records leaves no cell out.
    order = sorted(new, key=lambda position: (new[position] in covered, firsts[new[position]] != position))
    if kept + uncovered > warmup.max_records:
        limit = f"--max-warmup-records (warmup.max_records) is {warmup.max_records}"
        if not kept:
            raise errors.OptionError(
                f"{uncovered} cells (signature x batch size) need a warmup record each, but {limit}. Use fewer "
                "signatures, batch sizes or examples."
            )
        more = f", and {uncovered} cells (signature x batch size) need one more each" if uncovered else ""
        raise errors.OptionError(
            f"{options.WARMUP_FILE}, which came with the model, has {kept} records{more}, but {limit}. Raise it, "
            "or drop the model's own records with --existing-warmup replace (warmup.existing)."
        )
    logs = itertools.chain(
        prediction_logs.read(path) if kept else (),
        (requests[position] for position in order[: warmup.max_records - kept]),
    )
    cells = _Cells(constants)
    records = prediction_logs.write(path, map(cells.count, logs))
    return evidence.Warmup(records=records, from_model=kept, dropped=dropped, cells=cells.found())


def _digest(log: prediction_log_pb2.PredictionLog) -> bytes:
    return hashlib.sha256(prediction_logs.serialize(log)).digest()


def keep(path: Path) -> evidence.Warmup:
    """What a file that came with the model holds; if it is malformed, the server will refuse it."""
    records, cells = 0, _Cells()
    with contextlib.suppress(errors.ModelError):
        for log in prediction_logs.read(path):
            cells.count(log)
            records += 1
    return evidence.Warmup(records=records, from_model=records, cells=cells.found())


class _Cells:
    """Counts records and bytes by cell."""

    def __init__(self, constants: Collection[str] = ()) -> None:
        self._constants = constants
        self._sizes: dict[options.Cell, list[int]] = {}

    def count(self, log: prediction_log_pb2.PredictionLog) -> prediction_log_pb2.PredictionLog:
        """Counts a log, which it returns."""
        cell = prediction_logs.cell(log, self._constants)
        if cell is not None:
            self._sizes.setdefault(cell, []).append(log.ByteSize())
        return log

    def found(self) -> tuple[evidence.WarmupCell, ...]:
        """What was counted."""
        return tuple(evidence.WarmupCell(cell, len(sizes), sum(sizes)) for cell, sizes in self._sizes.items())
