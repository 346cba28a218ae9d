"""How far a long step is: told often enough for a bar, and rarely where lines stay."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import progress


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("Staging the model", ("Staging the model", 0, 0)),
        ("Sending requests: 300", ("Sending requests", 0, 0)),
        ("Sending requests: 12 of 300", ("Sending requests", 12, 300)),
        ("Pulling a/b:2.16: 3 of 300 MB", ("Pulling a/b:2.16", 3, 300)),
        ("a: Sending requests: 1 of 2", ("a: Sending requests", 1, 2)),
        ("In every request: k=0.5", ("In every request: k=0.5", 0, 0)),
    ],
)
def test_a_sentence_says_how_far_its_step_is(sentence: str, said: tuple[str, int, int]) -> None:
    """What begins the same way is the same step."""
    assert progress.read(sentence) == said


@given(st.text())
def test_any_sentence_can_be_read(sentence: str) -> None:
    """They hold names that a model chooses."""
    said = progress.read(sentence)
    assert sentence.startswith(said.step)


def test_amounts_are_told_rarely_where_lines_stay() -> None:
    """Those of one step; a new step is told at once."""
    told: list[str] = []
    now = [0.0]
    tell = progress.rarely(told.append, lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        tell(f"Sending: {second} of 25")
    tell("Done")
    tell("Done")
    assert told == ["Sending: 0 of 25", "Sending: 10 of 25", "Sending: 20 of 25", "Done", "Done"]


def test_a_counter_counts_in_any_thread() -> None:
    """It tells every part here, as the clock runs a second each time; none is lost."""
    told: list[str] = []
    counter = progress.Counter(told.append, "Sending", 400, itertools.count().__next__)
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [f"Sending: {number} of 400" for number in range(1, 401)]


def test_a_quick_step_tells_no_amount() -> None:
    """The eye could not follow."""
    told: list[str] = []
    counter = progress.Counter(told.append, "Sending", 3, lambda: 1.0)
    for _ in range(3):
        counter.add()
    assert told == []
