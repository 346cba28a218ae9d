"""What a page for Prometheus says of three counters, whatever else a server writes on it."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from infraval import evidence
from infraval.trial import counters

BUILDS, COMPILATIONS, RECORDS = (
    ":tensorflow:core:graph_build_calls",
    ":tensorflow:core:xla_compilations",
    ":tensorflow:serving:model_warmup_records_read",
)
NUMBERS = st.lists(st.integers(0, 2**63 - 1), max_size=3)
OTHER = st.one_of(
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    st.sampled_from(
        [
            f"{BUILDS}_total{{}} 9".encode(),
            f"x{BUILDS}{{}} 9".encode(),
            f'other{{model="{BUILDS}{{}} 9"}} 1'.encode(),
            f"# HELP {BUILDS} counter".encode(),
            f"# TYPE {COMPILATIONS}2 counter".encode(),
        ]
    ),
).filter(lambda line: not re.match(rb"(# TYPE )?:tensorflow:(core|serving):\w+[{ ]", line))


def _of(name: str, numbers: list[int]) -> list[bytes]:
    samples = [f'{name}{{model_path="/m/{{}}",status="{number}"}} {value}' for number, value in enumerate(numbers)]
    return [line.encode() for line in (f"# TYPE {name} counter", *samples)]


@given(builds=NUMBERS, compiled=st.none() | NUMBERS, records=NUMBERS, other=st.lists(OTHER, max_size=5))
def test_counters_are_found_among_other_lines(
    builds: list[int], compiled: list[int] | None, records: list[int], other: list[bytes]
) -> None:
    """Their sum over labels: 0 if nothing was counted yet; None if the server has no such counter."""
    lines = [] if compiled is None else _of(COMPILATIONS, compiled)
    page = b"\n".join([*other, *_of(BUILDS, builds), *lines, *other, *_of(RECORDS, records), b""])
    known = evidence.Counters(sum(builds), None if compiled is None else sum(compiled), sum(records))
    assert counters.parse(page) == known


@given(st.binary())
@example(f"# TYPE {BUILDS} counter\n{BUILDS}{{}} -1\n".encode())
@example(f"# TYPE {BUILDS} counter\n{BUILDS}{{}} 1e3\n".encode())
@example(f"# TYPE {BUILDS} counter\n{BUILDS}{{}} {'9' * 5000}\n".encode())
@example(f"# TYPE {BUILDS} counter\n{BUILDS}{{".encode())
@example(f"# TYPE {BUILDS} gauge\n{BUILDS}{{}} 1\n".encode())
@example(f"{BUILDS}{{}} 1\n".encode())
def test_what_is_not_a_counter_is_unknown(page: bytes) -> None:
    """Nothing is believed that TF Serving does not write."""
    assert counters.parse(page) == evidence.Counters()


def test_only_so_many_lines_are_read() -> None:
    """A counter after a hundred thousand lines is not looked for."""
    lines = [b"x"] * 100_000
    assert counters.parse(b"\n".join([*lines, *_of(BUILDS, [1])])) == evidence.Counters()


def test_only_what_is_known_on_both_sides_has_moved() -> None:
    """A page that could not be read, or a counter that is not there, says nothing."""
    known = evidence.Counters(2, 1)
    assert counters.moved(known, evidence.Counters(3, 1)) == {"graph_builds": 1, "xla_compilations": 0}
    assert counters.moved(known, evidence.Counters(2)) == {"graph_builds": 0, "xla_compilations": None}
    assert counters.moved(known, None) == counters.moved(None, known) == {}
