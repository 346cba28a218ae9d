"""Which feature of the examples feeds which input of a signature: a mapping, the graph, or names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from infraval import errors
from infraval.requests import graph, input_names, record_kinds, signatures

_NAMED_FEATURES = 10
"""Most features that a message lists."""


class Features:
    """Which feature feeds which input.

    Args:
      mappings: `SIGNATURE/INPUT=FEATURE` each; an empty FEATURE means the whole serialized record.
      available: the model's signatures.
      records: some of the examples.
      parsing: what the model's graph does with an input.

    Attributes:
      mapped: the mappings, (signature, input) -> feature.
      are_lists: whether more of the records are ExampleListWithContexts than tf.Examples.
    """

    def __init__(
        self,
        mappings: Collection[str],
        available: Mapping[str, signatures.Signature],
        records: Iterable[bytes],
        parsing: graph.ReadParsing,
    ) -> None:
        split = input_names.split(mappings, available, "--feature (requests.features)", "FEATURE")
        self.mapped: dict[tuple[str, str], str] = {(key, alias): feature for key, alias, feature in split}
        self._parsing = parsing
        self._seen: set[str] = set()
        self._strings: set[str] = set()
        more_lists = 0
        for record in records:
            example = record_kinds.example(record)
            if example is None:
                more_lists += record_kinds.example_list(record) is not None
                continue
            more_lists -= 1
            for name, feature in example.features.feature.items():
                self._seen.add(name)
                if feature.WhichOneof("kind") == "bytes_list":
                    self._strings.add(name)
        self.are_lists = more_lists > 0

    def of(self, key: str, alias: str) -> str | None:
        """The feature that feeds an input: the mapped one, else the one of the same name; "" for the whole record."""
        return self.mapped.get((key, alias), alias if alias in self._seen else None)

    def of_only_string(self, key: str, alias: str, *, vector: bool) -> str:
        """The same for the only input of a signature, if that takes strings.

        A vector takes whole records if the graph parses records from it, or if there are no features at all. Else a
        feature of the input's name or the only feature of strings feeds it.

        Raises:
          ModelError: nothing shows what feeds it, or the graph parses tf.Examples and the records are not any.
        """
        if (key, alias) in self.mapped:
            return self.mapped[key, alias]
        parsing = self._parsing(key, alias) if vector else None
        if parsing and parsing.features is not None and self.are_lists:
            raise errors.ModelError(
                f"Input {alias!r} of signature {key!r} takes tf.Examples, but the records are ExampleListWithContexts, "
                f"from which only Classify and Regress make tf.Examples. Call {key}:classify or {key}:regress, or a "
                "signature that parses ExampleListWithContexts, with --signature (requests.signatures).",
                code="model/not-servable",
            )
        if parsing or (vector and not self._seen):
            return ""
        if alias in self._seen:
            return alias
        if len(self._strings) == 1:
            return next(iter(self._strings))
        among = f"there are {len(self._strings)} string features" if self._strings else "no feature holds strings"
        names = sorted(self._strings)[:_NAMED_FEATURES]
        named = f" ({', '.join(names)}{', …' if len(self._strings) > len(names) else ''})" if names else ""
        whole = f", or --feature {key}/{alias}= if it takes whole records" if vector else ""
        raise errors.ModelError(
            f"Input {alias!r} of signature {key!r} takes strings, but nothing shows which: the graph does not parse "
            f"records from it, no feature has its name, and {among}{named}. Map one with --feature "
            f"{key}/{alias}=FEATURE{whole} (requests.features).",
            code="model/not-servable",
        )
