"""The page with the metrics, without a server."""

from __future__ import annotations

import re
import threading

import pytest

from infraval_server import metrics


@pytest.mark.parametrize("text", ["plain", 'x"', "\\", "\n:tensorflow:core:graph_build_calls{} 0", 'a\\\n"'])
def test_a_label_cannot_add_a_line_or_a_label(text: str) -> None:
    """A request can name any model; what is read back is what was named."""
    counter = metrics.Scalar("requests", ("model", "status"))
    counter.add(text, "OK")
    (line,) = counter.lines()
    match = re.fullmatch(r'requests\{model="((?:[^"\\\n]|\\.)*)",status="OK"\} 1', line)
    assert match
    assert re.sub(r"\\(.)", lambda escaped: {"n": "\n"}.get(escaped[1], escaped[1]), match[1]) == text


def test_buckets_add_up() -> None:
    """Each counts what is below its limit, and the last one everything."""
    histogram = metrics.Histogram("latency", ("model",))
    for micros in (1, 10, 17, 19, 1e12):
        histogram.record("a", micros=micros)
    lines = list(histogram.lines())
    counts = [int(line.rpartition(" ")[2]) for line in lines if "_bucket{" in line]
    assert counts[:3] == [1, 3, 4]
    assert counts[-2:] == [4, 5]
    assert lines[-1] == 'latency_count{model="a"} 5'


def test_nothing_is_lost_between_threads() -> None:
    """Requests are counted on many at once."""
    counter = metrics.Scalar("requests")
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(counter.lines()) == ["requests{} 8000"]


def test_the_page_is_silent_about_xla_if_it_may_compile() -> None:
    """TensorFlow for Python does not tell what it compiles, and 0 could be wrong."""
    assert "xla_compilations" in metrics.page(xla=False)
    assert "xla_compilations" not in metrics.page(xla=True)
