"""The warmup file of the staged model, by the policy for one that came with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, evidence, options
from infraval.requests import prediction_logs
from infraval.staging import model as staging
from infraval.staging import warmup_file

MakeLog = Callable[..., prediction_log_pb2.PredictionLog]

KEEP = options.WarmupOptions(existing=options.ExistingWarmup.KEEP)
MERGE = options.WarmupOptions(existing=options.ExistingWarmup.MERGE)
REPLACE = options.WarmupOptions(existing=options.ExistingWarmup.REPLACE)

KEYS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.binary(max_size=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where TF Serving looks for it."""
    return tmp_path / options.WARMUP_FILE


def test_the_place_is_tf_servings(tmp_path: Path) -> None:
    """Relative to the SavedModel directory."""
    assert (
        staging.StagedModel(tmp_path, "", evidence.Warmup()).warmup_path
        == tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    )


@pytest.mark.parametrize("policy", [KEEP, MERGE, REPLACE])
def test_a_model_without_one_gets_the_new_requests(
    policy: options.WarmupOptions, path: Path, make_log: MakeLog
) -> None:
    """In their order, under every policy."""
    requests = [make_log(b"1"), make_log(b"2")]
    assert warmup_file.write(path, requests, policy) == evidence.Warmup(records=2)
    assert list(prediction_logs.read(path)) == requests


def test_merge_puts_new_ones_after_those_of_the_model(path: Path, make_log: MakeLog) -> None:
    """What the model's makers chose stays and comes first; what they have already does not come twice."""
    theirs = [make_log(b"theirs"), make_log(b"both")]
    prediction_logs.write(path, theirs)
    written = warmup_file.write(path, [make_log(b"both"), make_log(b"new")], MERGE)
    assert written == evidence.Warmup(records=3, from_model=2)
    assert list(prediction_logs.read(path)) == [*theirs, make_log(b"new")]


def test_a_cut_leaves_no_cell_out(path: Path, make_log: MakeLog) -> None:
    """Wherever the first record of a cell comes, as with lists of many lengths."""
    requests = [make_log(b"%d" % number, size=size) for number, size in enumerate([1, 1, 2, 1, 2, 3])]
    limited = options.WarmupOptions(max_records=4)
    assert warmup_file.write(path, requests, limited) == evidence.Warmup(records=4)
    assert list(prediction_logs.read(path)) == [requests[index] for index in (0, 2, 5, 1)]


def test_replace_counts_what_it_drops(path: Path, make_log: MakeLog) -> None:
    """Nothing of the model's is lost without a number."""
    prediction_logs.write(path, [make_log(b"theirs")] * 3)
    assert warmup_file.write(path, [make_log(b"new")], REPLACE) == evidence.Warmup(records=1, dropped=3)
    assert list(prediction_logs.read(path)) == [make_log(b"new")]


def test_keep_changes_no_byte(path: Path, make_log: MakeLog) -> None:
    """The requests are then only for validation, however many there are."""
    prediction_logs.write(path, [make_log(b"theirs")] * 2)
    before = path.read_bytes()
    requests = [make_log(b"new", size=size) for size in range(1, 5)]
    limited = options.WarmupOptions(existing=options.ExistingWarmup.KEEP, max_records=1)
    assert warmup_file.write(path, requests, limited) == evidence.Warmup(records=2, from_model=2)
    assert path.read_bytes() == before


def test_an_unreadable_file_cannot_be_merged(path: Path, make_log: MakeLog) -> None:
    """It is the model's: the error says so, and the file stays as it is."""
    prediction_logs.write(path, [make_log(b"theirs")] * 2)
    damaged = path.read_bytes()[:-5]
    path.write_bytes(damaged)
    with pytest.raises(errors.ModelError, match=r"corrupt after record 1.* --existing-warmup replace"):
        warmup_file.write(path, [make_log(b"new")], MERGE)
    assert path.read_bytes() == damaged


def test_an_unreadable_file_can_be_replaced(path: Path, make_log: MakeLog) -> None:
    """As the error of merging says to do; what could be read of it counts as dropped."""
    prediction_logs.write(path, [make_log(b"theirs")] * 2)
    path.write_bytes(path.read_bytes()[:-5])
    assert warmup_file.write(path, [make_log(b"new")], REPLACE) == evidence.Warmup(records=1, dropped=1)
    assert list(prediction_logs.read(path)) == [make_log(b"new")]


def test_an_unreadable_file_can_be_kept(path: Path, make_log: MakeLog) -> None:
    """The server is the one to refuse it, and a verdict the result."""
    prediction_logs.write(path, [make_log(b"theirs")] * 2)
    damaged = path.read_bytes()[:-5]
    path.write_bytes(damaged)
    assert warmup_file.write(path, [make_log(b"new")], KEEP) == evidence.Warmup(records=1, from_model=1)
    assert path.read_bytes() == damaged


def test_records_that_warm_nothing_count_all_the_same(path: Path) -> None:
    """TF Serving counts a record without a log type among those it replayed."""
    prediction_logs.write(path, [prediction_log_pb2.PredictionLog()] * 2)
    assert warmup_file.keep(path) == evidence.Warmup(records=2, from_model=2)


def test_more_requests_than_the_file_may_hold_are_cut(path: Path, make_log: MakeLog) -> None:
    """TF Serving refuses a model with more than 1000 records, so no spec can ask for them."""
    requests = [make_log(b"%d" % number) for number in range(1100)]
    assert warmup_file.write(path, requests, options.WarmupOptions()).records == 1000
    assert list(prediction_logs.read(path)) == requests[:1000]


def test_more_cells_than_the_file_may_hold_are_an_error(path: Path, make_log: MakeLog) -> None:
    """The message counts; what was there before stays."""
    prediction_logs.write(path, [make_log(b"theirs")])
    before = path.read_bytes()
    requests = [make_log(b"new", size=size) for size in range(1, 5)]
    limited = options.WarmupOptions(max_records=3)
    with pytest.raises(errors.OptionError, match=r"has 1 records, and 3 cells .* is 3.*replace"):
        warmup_file.write(path, requests, limited)
    assert path.read_bytes() == before
    prediction_logs.write(path, [make_log(b"theirs", size=size) for size in range(1, 5)])
    with pytest.raises(errors.OptionError, match=r"has 4 records, but .* is 3.*replace"):
        warmup_file.write(path, requests, limited)
    path.unlink()
    with pytest.raises(errors.OptionError, match=r"4 cells .* is 3\. Use fewer"):
        warmup_file.write(path, requests, limited)


@given(
    theirs=st.lists(st.tuples(VALUES, KEYS), max_size=4),
    cells=st.lists(KEYS, unique=True, min_size=1),
    rounds=st.lists(VALUES, unique=True, min_size=1, max_size=3),
    max_records=st.integers(1, 10),
)
def test_laws_of_merging(
    theirs: list[tuple[bytes, str]],
    cells: list[str],
    rounds: list[bytes],
    max_records: int,
    make_log: MakeLog,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """It succeeds if there is room for the model's records and one for each cell that they leave out.

    Then every cell is touched, the model's records come first, and writing onto the result changes no byte.
    """
    path = tmp_path_factory.mktemp("warmup") / "records"
    existing = [make_log(*log) for log in theirs]
    requests = [make_log(value, key) for value in rounds for key in cells]
    prediction_logs.write(path, existing)
    limited = options.WarmupOptions(max_records=max_records)
    new_cells = set(cells) - {key for _, key in theirs}
    if len(existing) + len(new_cells) > max_records:
        with pytest.raises(errors.OptionError):
            warmup_file.write(path, requests, limited)
        assert list(prediction_logs.read(path)) == existing
        return
    written = warmup_file.write(path, requests, limited)
    records = list(prediction_logs.read(path))
    assert written == evidence.Warmup(records=len(records), from_model=len(existing))
    assert len(records) <= max_records
    assert records[: len(existing)] == existing
    assert {prediction_logs.cell(log) for log in records} >= {prediction_logs.cell(log) for log in requests}
    added = [prediction_logs.serialize(log) for log in records[len(existing) :]]
    assert len(added) == len({*added} - {prediction_logs.serialize(log) for log in existing})
    before = path.read_bytes()
    assert warmup_file.write(path, requests, limited).records == len(records)
    assert path.read_bytes() == before


def test_requests_of_one_signature_with_a_constant_are_two_cells(make_log: MakeLog, tmp_path: Path) -> None:
    """Its size and place in the alphabet do not hide that batches of 1 and of 4 need a record each."""
    logs = [make_log(b"v", size=size) for size in (1, 4)]
    for log in logs:
        log.predict_log.request.inputs["k"].tensor_shape.dim.add(size=2)
    with pytest.raises(errors.OptionError):
        warmup_file.write(tmp_path / "records", logs, options.WarmupOptions(max_records=1), {"s/k"})
    assert warmup_file.write(tmp_path / "records", logs, options.WarmupOptions(max_records=1)).records == 1
