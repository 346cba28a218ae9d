"""Where the requests and the warmup file came from."""

from __future__ import annotations

import dataclasses

from infraval import options


@dataclasses.dataclass(frozen=True)
class Fed:
    """What feeds an input of the requests.

    Attributes:
      signature: key of the signature.
      method: the RPC.
      input: alias of the input.
      feature: key of the feature in the tf.Examples; None for the whole record.
    """

    signature: str
    method: options.Method
    input: str
    feature: str | None


@dataclasses.dataclass(frozen=True)
class Examples:
    """Where the requests came from.

    Attributes:
      shards: files that the examples have.
      shards_read: how many of them were read; fewer if `max_shards` or `max_records` says so.
      records_per_shard: most records that were read of each, from its beginning; None if all were.
      records_read: records in what was read.
      records_checked: how many of them were looked at: all, or, if there are many, those of a random sample.
      dead_letters: how many of these no request could be built from, by cause.
      dead_letter_share_at_most: of all records, with a confidence of 99 %; None if all were looked at.
      left_out: signatures that `all` left out, and why.
      fed: what feeds each input.
      constants: inputs that get the same value in every request, `SIGNATURE/INPUT` -> its JSON.
      defaults: inputs that the requests leave to the model's defaults, `SIGNATURE/INPUT` each.
    """

    shards: int = 0
    shards_read: int = 0
    records_per_shard: int | None = None
    records_read: int = 0
    records_checked: int = 0
    dead_letters: dict[str, int] = dataclasses.field(default_factory=dict)
    dead_letter_share_at_most: float | None = None
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    fed: tuple[Fed, ...] = ()
    constants: dict[str, str] = dataclasses.field(default_factory=dict)
    defaults: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class WarmupCell:
    """What a warmup file holds for one cell.

    Attributes:
      cell: the cell.
      records: how many it has.
      bytes: of these records.
    """

    cell: options.Cell
    records: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Warmup:
    """The warmup file of the staged model.

    Attributes:
      records: records in the file; 0 if the model has none and so starts cold.
      from_model: how many of them came with the model.
      dropped: records that came with the model and are not in the file.
      cells: what the file holds by cell, in the order of their first records.
    """

    records: int = 0
    from_model: int = 0
    dropped: int = 0
    cells: tuple[WarmupCell, ...] = dataclasses.field(default=(), compare=False)
