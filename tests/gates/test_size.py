"""The gate `size`, on evidence made by hand, and how sizes are measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infraval import evidence, options, verdict
from infraval.gates.size import Size
from infraval.staging import model as staging
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import responses
from infraval.verdict import Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
KIB = 1 << 10
MIB = 1 << 20


def judged(model_bytes: int, response_bytes: int, request_bytes: int, **asked: Any) -> verdict.Finding:
    """What the gate says of a model of that size that was sent and answered that much."""
    found = evidence.Responses(answered=1, largest_bytes=response_bytes, largest_request_bytes=request_bytes)
    boot = evidence.Boot(SERVER, load_time_s=1.0, responses=found)
    shown = evidence.Evidence(boot, tries=1, requests=1, warmup=evidence.Warmup(), model_bytes=model_bytes)
    return Size(options.SizeGate(**asked)).judge(shown)


def test_what_fits_passes_with_its_size() -> None:
    """Also if it fits exactly; without a bar, any model does, and any request."""
    assert judged(1000, 4 * MIB, 100 * MIB, max_bytes="1000") == verdict.Finding(
        "size", Status.PASSED, (), 1000, 1000, "bytes"
    )
    assert judged(1 << 40, 1, 1, enabled=True) == verdict.Finding("size", Status.PASSED, (), 1 << 40, None, "bytes")


@pytest.mark.parametrize(
    ("sizes", "asked", "named"),
    [
        ((1001, 1, 1), {"max_bytes": 1000}, "gates.size.max_bytes"),
        ((1, 4 * MIB + 1, 1), {"enabled": True}, "gates.size.max_response_bytes"),
        ((1, KIB + 1, 1), {"max_response_bytes": "1k"}, "gates.size.max_response_bytes"),
        ((1, 1, KIB + 1), {"max_request_bytes": "1k"}, "gates.size.max_request_bytes"),
    ],
)
def test_what_does_not_fit_fails_for_what_is_too_large(
    sizes: tuple[int, int, int], asked: dict[str, Any], named: str
) -> None:
    """One reason each, with the option that says so."""
    finding = judged(*sizes, **asked)
    assert finding.status is Status.FAILED
    assert len(finding.reasons) == 1
    assert named in finding.reasons[0]


def test_all_that_is_too_large_is_named() -> None:
    """A reason each."""
    assert len(judged(9, 9, 9, max_bytes=8, max_response_bytes=8, max_request_bytes=8).reasons) == 3


def test_the_largest_messages_are_known_although_no_answer_can_be_kept() -> None:
    """Of whatever kind, in whatever order."""
    keeper = responses.Keeper(budget=1, seed=0)
    requests = []
    for index, (method, size) in enumerate([(options.Method.PREDICT, 5), (options.Method.CLASSIFY, 50)]):
        log = prediction_log_pb2.PredictionLog()
        request = getattr(log, f"{method.value}_log").request
        request.model_spec.signature_name = "s" * size
        requests.append(request.ByteSize())
        keeper.add(index, options.Cell("s", method, 1), log, b"x" * (100 - size))
    assert keeper.kept() == evidence.Responses((), 2, 95, max(requests))


def test_the_size_of_a_directory_is_that_of_its_files(tmp_path: Path) -> None:
    """Of all of them, but not of what a link leads to."""
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "a").write_bytes(b"x" * 10)
    (tmp_path / "model" / "deep" / "b").write_bytes(b"x" * 100)
    (tmp_path / "outside").write_bytes(b"x" * 5000)
    (tmp_path / "model" / "link").symlink_to("../outside")
    assert staging.size(tmp_path / "model") == 10 + 100 + len("../outside")
