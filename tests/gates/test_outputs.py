"""What is in an answer against what its signature declares: faults, and good twins of each."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import dtypes, errors, evidence, gates, options, tensor_values
from infraval.gates.outputs import Outputs
from infraval.requests import signatures, targets, tensors
from infraval.requests.signatures import TensorSpec
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2
from infraval.trial import responses
from infraval.verdict import Finding, Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
X = {"x": TensorSpec("float", (None, 4))}
Y = {"y": TensorSpec("float", (None, 3))}
NAN, INF = float("nan"), float("inf")


def tensor(values: Any, dtype: str = "float") -> tensor_pb2.TensorProto:
    """A tensor of numbers as a server sends it."""
    array = np.array(values, dtypes.as_numpy(dtype))
    made = tensors.empty(dtype, array.shape)
    made.tensor_content = tensors.content(array)
    return made


def judge(
    outputs: dict[str, tensor_pb2.TensorProto],
    declared: dict[str, TensorSpec] = Y,
    inputs: dict[str, TensorSpec] = X,
    shapes: dict[str, tuple[int, ...]] | None = None,
    **asked: Any,
) -> Finding:
    """What the gate says of one answer to a Predict request, by default for a batch of two."""
    log = prediction_log_pb2.PredictionLog()
    for alias, each in outputs.items():
        log.predict_log.response.outputs[alias].CopyFrom(each)
    content = log.predict_log.response.SerializeToString()
    cell = options.Cell("s", options.Method.PREDICT, 2)
    response = evidence.Response(cell, content, {"x": (2, 4)} if shapes is None else shapes)
    signature = signatures.Signature("s", options.Method.PREDICT, inputs, declared)
    return finding_of(response, Outputs(options.OutputsGate(**asked), {"s": signature}))


def finding_of(response: evidence.Response, gate: Outputs) -> Finding:
    """What the gate says of one answer."""
    boot = evidence.Boot(SERVER, load_time_s=1.0, responses=evidence.Responses((response,), 1))
    return gate.judge(evidence.Evidence(boot, 1, 1, evidence.Warmup()))


GOOD = [[0.2, 0.3, 0.5], [1, 0, 0]]


@pytest.mark.parametrize(
    "bad",
    [
        tensor([*GOOD, *GOOD]),
        tensor(GOOD[0]),
        tensor(1.0),
        tensor([[1, 2], [3, 4]]),
        tensor([[[1, 2, 3]]]),
        tensor(GOOD, "double"),
        tensor([[0.2, NAN, 0.5], GOOD[1]]),
    ],
    ids=["batch", "dropped batch", "scalar", "inner size", "rank", "dtype", "NaN"],
)
def test_what_the_signature_does_not_declare_fails(bad: tensor_pb2.TensorProto) -> None:
    """The good twin passes; the reason has the output's name and none of its values."""
    assert judge({"y": tensor(GOOD)}) == Finding("outputs", Status.PASSED, (), 1, 1, "responses")
    found = judge({"y": bad})
    assert (found.status, found.figure, found.bar) == (Status.FAILED, 0, 1)
    assert "'y'" in found.reasons[0]
    assert "0.2" not in "".join(found.reasons)


def test_outputs_are_those_of_the_signature() -> None:
    """None is missing and none is added, unless the request asked for some only."""
    assert judge({}).failed
    assert judge({"y": tensor(GOOD), "z": tensor(GOOD)}).failed


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        (TensorSpec("float", None), tensor([1, 2, 3, 4, 5])),
        (TensorSpec("float", ()), tensor(0.25)),
        (TensorSpec("float", (7, 3)), tensor(np.zeros((7, 3)))),
        (TensorSpec("float", (None, None)), tensor(np.zeros((2, 9)))),
        (TensorSpec("float", (None, 0)), tensor(np.zeros((2, 0)))),
        (TensorSpec("float_ref", (None, 3)), tensor(GOOD)),
        (TensorSpec("variant", (None,), "composite_tensor"), tensor(GOOD)),
        (TensorSpec("string", (None,)), tensors.empty("string", (2,))),
        (TensorSpec("bfloat16", (None, 3)), tensor(GOOD, "bfloat16")),
    ],
    ids=lambda value: str(value) if isinstance(value, TensorSpec) else "",
)
def test_what_the_signature_leaves_open_is_not_judged(declared: TensorSpec, given: tensor_pb2.TensorProto) -> None:
    """Nor what it says and the model does."""
    assert judge({"y": given}, {"y": declared}).status is Status.PASSED


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ({"x": TensorSpec("float", (1, 4))}, {"x": (1, 4)}),
        ({"x": TensorSpec("float", None)}, {"x": (2, 4)}),
        ({}, {}),
        (X | {"k": TensorSpec("int32", ())}, {"x": (2, 4), "k": ()}),
        (X | {"words": TensorSpec("string", (None,))}, {"x": (2, 4), "words": (5,)}),
        (X | {"left out": TensorSpec("float", (None,))}, {"x": (2, 4)}),
    ],
    ids=["fixed", "unknown rank", "no inputs", "scalar size", "two lengths", "default"],
)
def test_a_batch_that_is_not_known_is_not_judged(
    inputs: dict[str, TensorSpec], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Whatever else may decide how long the output is; with a batch alone, five rows for two would fail."""
    five = {"y": tensor(np.zeros((5, 3)))}
    assert judge(five, inputs=inputs, shapes=shapes).status is Status.PASSED
    assert judge(five).failed
    assert judge(five, not_batched="y").status is Status.PASSED


@pytest.mark.parametrize(
    ("values", "asked", "fails"),
    [
        ([[NAN] * 3] * 2, {"nan": "allow"}, False),
        ([[INF] * 3] * 2, {}, False),
        ([[INF] * 3] * 2, {"inf": "fail"}, True),
        (GOOD, {"range": {"y": [0, 1]}}, False),
        (GOOD, {"range": {"y": [0.1, None]}}, True),
        (GOOD, {"range": {"other": [5, 6]}}, False),
        (GOOD, {"sums_to_one": "y"}, False),
        ([GOOD[0], [0.5, 0.4, 0.0]], {"sums_to_one": "y"}, True),
        ([[NAN] * 3] * 2, {"sums_to_one": "y", "nan": "allow"}, True),
    ],
)
def test_numbers_are_judged_as_asked(values: Any, asked: dict[str, Any], fails: bool) -> None:
    """NaN fails unless it is allowed, the rest only if it is asked for."""
    assert judge({"y": tensor(values)}, **asked).failed == fails


@pytest.mark.parametrize(
    ("scores", "fails"), [([[0.1, 0.9], [0.5, 0.5]], False), ([[0.1, 0.9]], True), ([[NAN], [1.0]], True)]
)
@pytest.mark.parametrize("method", [options.Method.CLASSIFY, options.Method.MULTI_INFERENCE])
def test_a_classification_has_a_result_for_each_example(
    scores: list[list[float]], fails: bool, method: options.Method
) -> None:
    """The same in a MultiInference, which has a result for each task."""
    log = prediction_log_pb2.PredictionLog()
    multi = method is options.Method.MULTI_INFERENCE
    result = (
        log.multi_inference_log.response.results.add().classification_result
        if multi
        else log.classify_log.response.result
    )
    for row in scores:
        classes = result.classifications.add().classes
        for score in row:
            classes.add(label="a", score=score)
    content = getattr(log, f"{method.value}_log").response.SerializeToString()
    response = evidence.Response(options.Cell("s", method, 2), content)
    assert finding_of(response, Outputs(options.OutputsGate(), {})).failed == fails


PREDICT, CLASSIFY, REGRESS = options.Method.PREDICT, options.Method.CLASSIFY, options.Method.REGRESS


def judge_scores(method: options.Method, score: float, **asked: Any) -> Finding:
    """What the gate says of one score of one example, by Classify or Regress."""
    log = prediction_log_pb2.PredictionLog()
    result = getattr(log, f"{method.value}_log").response.result
    if method is CLASSIFY:
        result.classifications.add().classes.add(label="a", score=score)
    else:
        result.regressions.add().value = score
    content = getattr(log, f"{method.value}_log").response.SerializeToString()
    response = evidence.Response(options.Cell("s", method, 1), content)
    return finding_of(response, Outputs(options.OutputsGate(**asked), {}))


@pytest.mark.parametrize(("method", "alias"), [(CLASSIFY, "scores"), (REGRESS, "outputs")])
@pytest.mark.parametrize(
    ("score", "asked", "fails"),
    [
        (NAN, {}, True),
        (NAN, {"nan": "allow"}, False),
        (INF, {}, False),
        (-INF, {"inf": "fail"}, True),
        (0.5, {"range": [0, 1]}, False),
        (1.5, {"range": [0, 1]}, True),
        (INF, {"range": [0, None]}, False),
        (1.0, {"sums_to_one": True}, False),
        (0.5, {"sums_to_one": True}, True),
    ],
)
def test_scores_are_judged_as_asked(
    method: options.Method, alias: str, score: float, asked: dict[str, Any], fails: bool
) -> None:
    """The numbers of Classify and Regress are outputs with TF Serving's names."""
    named = {"range": lambda bounds: {alias: bounds}, "sums_to_one": lambda _: alias}
    given = {name: named[name](value) if name in named else value for name, value in asked.items()}
    found = judge_scores(method, score, **given)
    assert found.failed == fails
    assert not fails or f"'{alias}'" in found.reasons[0]


MODEL = {
    "p": signatures.Signature("p", PREDICT, X, Y | {"s": TensorSpec("string", (None,))}),
    "c": signatures.Signature("c", CLASSIFY, X, {"scores": TensorSpec("float", (None, 2))}),
}
PAIR = targets.Target(("c", "p"), options.Method.MULTI_INFERENCE, (CLASSIFY, REGRESS))


@pytest.mark.parametrize(
    ("asked", "called", "known"),
    [
        ({"range": {"y": [0, 1]}}, [("p", PREDICT)], None),
        ({"range": {"scores": [0, 1]}}, [("c", CLASSIFY)], None),
        ({"range": {"scores": [0, 1]}}, [("c", PREDICT)], None),
        ({"range": {"scores": [0, 1], "outputs": [0, 1]}}, [PAIR], None),
        ({"sums_to_one": ("y", "scores")}, [("p", PREDICT), ("c", CLASSIFY)], None),
        ({"not_batched": "s"}, [("p", PREDICT)], None),
        ({"range": {"z": [0, 1], "y": [0, 1]}}, [("p", PREDICT)], "y"),
        ({"range": {"s": [0, 1]}}, [("p", PREDICT)], "y"),
        ({"range": {"y": [0, 1]}}, [("c", CLASSIFY)], "scores"),
        ({"sums_to_one": "y"}, [PAIR], "outputs, scores"),
        ({"not_batched": "scores"}, [("p", PREDICT), ("c", CLASSIFY)], "s, y"),
        ({"range": {"y": [0, 1]}}, [], "none"),
        ({"enabled": False, "range": {"z": [0, 1]}}, [("p", PREDICT)], None),
    ],
)
def test_an_option_names_an_output_of_a_called_signature(
    asked: dict[str, Any], called: list[Any], known: str | None
) -> None:
    """Or is refused with its name, and with the outputs that there are."""
    given = options.GateOptions(outputs=asked)
    called = [each if isinstance(each, targets.Target) else targets.Target((each[0],), each[1]) for each in called]
    if known is None:
        gates.check(given, MODEL, called)
        return
    with pytest.raises(errors.OptionError) as caught:
        gates.check(given, MODEL, called)
    (name,) = asked
    assert f"--gate outputs.{name} (gates.outputs.{name})" in str(caught.value)
    assert str(caught.value).endswith(f"There are: {known}.")


def test_few_of_many_outputs_are_named() -> None:
    """Escaped, as they are the model's."""
    many = {f"{number}\x1b[31m\n": TensorSpec("float", (None,)) for number in range(1000)}
    model = {"p": signatures.Signature("p", PREDICT, X, many)}
    with pytest.raises(errors.OptionError) as caught:
        gates.check(options.GateOptions(outputs={"sums_to_one": "z"}), model, [targets.Target(("p",), PREDICT)])
    assert "and 980 more" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"half_val": [0x7E00]}, "half"), ({"half_val": [0x7FC0]}, "bfloat16"), ({"double_val": [NAN]}, "double")],
)
def test_nan_is_found_in_every_form(fields: dict[str, Any], name: str) -> None:
    """Also in a field of one value that stands for a tensor too large to be made."""
    made = tensors.empty(name, (2, 10**12))
    made.MergeFrom(tensor_pb2.TensorProto(**fields))
    assert judge({"y": made}, {"y": TensorSpec(name, (None, None))}).failed


@given(st.binary(max_size=40), st.sampled_from(sorted({"float", "half", "bfloat16", "int8", "complex64", "string"})))
def test_any_bytes_are_numbers_or_nothing(content: bytes, name: str) -> None:
    """No tensor of a server's makes the gate raise."""
    made = tensors.empty(name, (2, 3))
    made.tensor_content = content
    values = tensor_values.numbers(made)
    assert values is None or values.nbytes <= len(content)
    assert judge({"y": made}, sums_to_one="y").gate == "outputs"


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag")
@given(st.binary(max_size=40), st.sampled_from(options.Method))
def test_any_answer_is_judged(content: bytes, method: options.Method) -> None:
    """Also one that is not the message that it must be."""
    response = evidence.Response(options.Cell("s", method, 2), content)
    assert finding_of(response, Outputs(options.OutputsGate(), {})).status in {Status.PASSED, Status.FAILED}


def test_names_are_escaped() -> None:
    """They are the model's."""
    found = judge({"\x1b[31m\n": tensor(GOOD)})
    assert all(reason.isprintable() for reason in found.reasons)


def test_no_answer_shows() -> None:
    """Not even where evidence is printed."""
    assert "secret" not in repr(evidence.Response(options.Cell("s", options.Method.PREDICT, 1), b"secret"))


def test_bfloat16_is_a_float_to_the_gate() -> None:
    """NumPy does not know it."""
    assert judge({"y": tensor([[NAN] * 3] * 2, "bfloat16")}, {"y": TensorSpec("bfloat16", (None, 3))}).failed
    assert np.isnan(np.array(NAN, ml_dtypes.bfloat16))


@given(st.permutations(range(8)), st.lists(st.integers(0, 5000), min_size=8, max_size=8), st.integers(0, 40_000))
def test_what_is_kept_depends_on_the_requests_alone(order: list[int], sizes: list[int], budget: int) -> None:
    """Not on the order of the answers; it never is more than the budget, and all of it if that is enough."""
    log = prediction_log_pb2.PredictionLog()
    cell = options.Cell("s", options.Method.CLASSIFY, 1)

    def keep(indices: list[int]) -> evidence.Responses:
        keeper = responses.Keeper(budget, 7)
        for index in indices:
            keeper.add(index, cell, log, bytes([index]) * sizes[index])
        return keeper.kept()

    found = keep(order)
    assert found == keep(sorted(order))
    assert found.answered == 8
    assert sum(len(each.content) for each in found.kept) <= budget
    if budget >= sum(sizes) + 8 * 1000:
        assert len(found.kept) == 8


def test_answers_that_do_not_fit_leave_the_gate_undecided() -> None:
    """It says which limit to raise."""
    boot = evidence.Boot(SERVER, load_time_s=1.0, responses=evidence.Responses((), 3))
    found = Outputs(options.OutputsGate(), {}).judge(evidence.Evidence(boot, 1, 3, evidence.Warmup()))
    assert found.status is Status.UNDECIDED
    assert "limits.response_memory_bytes" in found.reasons[0]
