"""What is called and what feeds it: by name, by hand, by `all`; and the word on what cannot be called."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from infraval import errors, evidence, options
from infraval.requests import composites, constants, graph, signatures, targets, tensors

PREDICT, CLASSIFY, REGRESS = options.Method.PREDICT, options.Method.CLASSIFY, options.Method.REGRESS
TensorShape = tuple[int | None, ...] | None

Signatures = Mapping[str, signatures.Signature]


@pytest.fixture(scope="module")
def taxi(taxi_model: Path) -> Signatures:
    """Signatures that declare their method: classification, predict, regression, serving_default."""
    return signatures.read(taxi_model)


@pytest.fixture(scope="module")
def sink(sink_model: Path) -> Signatures:
    """Nine signatures of a TF2 model, which all say predict."""
    return signatures.read(sink_model)


@pytest.fixture(scope="module")
def record() -> Callable[..., bytes]:
    """A tf.Example with features of these names."""

    def make(*names: str) -> bytes:
        example = example_pb2.Example()
        for name in names:
            example.features.feature[name].float_list.value.append(0.5)
        return example.SerializeToString()

    return make


@pytest.fixture(scope="module")
def declare() -> Callable[..., Signatures]:
    """One signature `s` with inputs of these types and shapes."""

    def make(method: options.Method = PREDICT, **inputs: tuple[str, TensorShape]) -> Signatures:
        specs = {alias: signatures.TensorSpec(*tensor) for alias, tensor in inputs.items()}
        return {"s": signatures.Signature("s", method, specs, {"outputs": signatures.TensorSpec("float", (None,))})}

    return make


def parses(*keys: str) -> graph.ReadParsing:
    """A graph that parses records from every input of these signatures."""
    return lambda key, _: graph.Parsing(None) if key in keys else None


NOTHING_PARSED = parses()


def resolve(
    available: Signatures,
    *names: str,
    features: tuple[str, ...] = (),
    inputs: tuple[str, ...] = (),
    pairs: tuple[str, ...] = (),
    records: tuple[bytes, ...] = (),
    batch_sizes: tuple[int, ...] = (1,),
    parsing: graph.ReadParsing = NOTHING_PARSED,
) -> list[targets.Target]:
    """The targets of what is asked for, where nothing is left out."""
    requests = options.RequestOptions(signatures=names, features=features, inputs=inputs, multi_inference=pairs)
    resolved, left_out = targets.resolve(requests, available, records, batch_sizes, parsing)
    assert left_out == {}
    return resolved


def refusal(available: Signatures, *names: str, **asked: tuple[object, ...]) -> str:
    """What is said of a signature that cannot be called; what `all` says of it is the same."""
    with pytest.raises(errors.ModelError) as caught:
        resolve(available, *names, **asked)  # type: ignore[arg-type]  # as `resolve` takes them
    return str(caught.value)


def test_a_signature_is_called_by_the_method_that_it_declares(taxi: Signatures) -> None:
    """In the order asked for; whole records feed them."""
    names = ("regression", "predict", "serving_default")
    assert resolve(taxi, *names) == [
        targets.Target(("regression",), REGRESS),
        targets.Target(("predict",), PREDICT, serialized_input="examples"),
        targets.Target(("serving_default",), CLASSIFY),
    ]


def test_a_method_can_be_stated(sink: Signatures) -> None:
    """A TF2 export says predict whatever it serves."""
    names = ("classify", "classify:classify", "regress:regress", "regress:predict")
    assert [(target.signatures, target.method) for target in resolve(sink, *names)] == [
        (("classify",), PREDICT),
        (("classify",), CLASSIFY),
        (("regress",), REGRESS),
        (("regress",), PREDICT),
    ]


def test_a_key_with_a_colon_is_itself_first(declare: Callable[..., Signatures]) -> None:
    """`s:predict` may be a signature's name; only what is none is split."""
    (signature,) = declare(x=("string", (None,))).values()
    available = {"s:predict": signature, "all": signature, "s": signature}
    assert len(resolve(available, "all")) == 1
    with pytest.raises(errors.ModelError, match="no signature 'v1'"):
        resolve(available, "v1:predict")
    assert resolve({"v1:predict": signature}, "v1:predict") == resolve({"s": signature}, "s:predict")


def test_unknown_names_are_answered_with_the_known_ones(taxi: Signatures) -> None:
    """The message lets a reader correct a slip, also in a pair."""
    known = r"no signature 'predcit'.*classification, predict, regression, serving_default\."
    for asked in ({}, {"pairs": ("classification,predcit",)}):
        with pytest.raises(errors.ModelError, match=known):
            resolve(taxi, "predict" if asked else "predcit", **asked)
    with pytest.raises(errors.ModelError, match="are: none"):
        resolve({}, "predict")


@pytest.mark.parametrize("method", ["multi_inference", "Classify", "", "session_run"])
def test_an_unknown_method_is_answered_with_the_known_ones(sink: Signatures, method: str) -> None:
    """MultiInference takes a pair, so it is no method of one signature."""
    with pytest.raises(errors.OptionError, match="with one of predict, classify, regress"):
        resolve(sink, f"classify:{method}")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("strings:classify", "one string input named inputs"),
        ("serving_default:regress", "one string input named inputs"),
        ("two_inputs:classify", "one string input named inputs"),
        ("regress:classify", "an output named classes or scores"),
        ("classify:regress", "one output, named outputs"),
    ],
)
def test_a_method_that_the_signature_cannot_serve(sink: Signatures, name: str, why: str) -> None:
    """TF Serving would refuse every request; the message says what the method needs."""
    key, _, method = name.partition(":")
    with pytest.raises(errors.ModelError, match=f"'{key}' cannot serve {method}: it needs {why}"):
        resolve(sink, name)


def test_the_same_target_twice(taxi: Signatures, sink: Signatures) -> None:
    """Also where it is spelled in two ways, and also a pair."""
    for names in (("predict", "predict:predict"), ("all", "predict")):
        with pytest.raises(errors.OptionError, match="predict is requested twice"):
            resolve(taxi, *names)
    with pytest.raises(errors.OptionError, match="classify,regress is requested twice"):
        resolve(sink, "classify", pairs=("classify,regress", "classify,regress"))


def test_all_takes_every_signature_that_can_be_fed(sink: Signatures, record: Callable[..., bytes]) -> None:
    """By the names of features, and whole records where a signature takes these; the others with a reason each."""
    resolved, left_out = targets.resolve(
        options.RequestOptions(signatures=("all",)),
        sink,
        [record("x"), record("a")],
        (1, 4),
        parses("classify", "regress"),
    )
    assert [",".join(target.signatures) for target in resolved] == [
        "classify",
        "dynamic",
        "logs",
        "regress",
        "scalar",
        "serving_default",
    ]
    assert list(left_out) == ["images", "strings", "two_inputs"]
    assert "Input 'b' (int64[?]) of signature 'two_inputs' has no feature" in left_out["two_inputs"]
    assert "--feature two_inputs/b=FEATURE" in left_out["two_inputs"]


def test_all_without_examples_of_any_use(sink: Signatures, declare: Callable[..., Signatures]) -> None:
    """Records that are no tf.Examples feed what takes them whole; if nothing does, the reasons are told."""
    everything = options.RequestOptions(signatures=("all",))
    resolved, left_out = targets.resolve(everything, sink, [b"\xff garbage"], (1,), parses())
    assert [target.signatures[0] for target in resolved] == ["classify", "images", "regress", "strings"]
    assert len(left_out) == 5
    with pytest.raises(
        errors.ModelError, match=r"cannot feed any signature of the model\.\sInput 'x' .* has no feature"
    ):
        targets.resolve(everything, declare(x=("float", (None,))), [], (1,), parses())


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"x": ("float", (None, 3)), "y": ("float", (None,))}, r"Input 'y' .* has no feature: none has its name"),
        ({"x": ("complex64", (None,))}, r"Input 'x' \(complex64\[\?\]\) .* no feature can hold its dtype complex64"),
        ({"x": ("resource", (None,))}, "no feature can hold its dtype resource"),
        ({"x": ("type 999", None)}, "no feature can hold its dtype type 999"),
        ({"x": ("float", (None, None, 3, None))}, "more than one dimension is unknown"),
        ({"x": ("float", ())}, r"Input 'x' \(float\[\]\) .* has no batch dimension"),
        ({"x": ("string", ())}, "has no batch dimension"),
        ({"x": ("float", (2, 3))}, r"accepts only batches of 2, not of 1, 4\. Use --batch-size 2"),
        ({"inputs": ("string", (4,))}, "accepts only batches of 4, not of 1"),
    ],
)
def test_what_cannot_be_fed(
    inputs: dict[str, tuple[str, TensorShape]],
    why: str,
    declare: Callable[..., Signatures],
    record: Callable[..., bytes],
) -> None:
    """Named, it is an error that says why; under `all`, it is left out for that reason."""
    available = declare(**inputs)
    with pytest.raises(errors.ModelError, match=why) as caught:
        resolve(available, "s", records=(record("x"),), batch_sizes=(1, 4), parsing=parses("s"))
    other = signatures.Signature("t", PREDICT, {"x": signatures.TensorSpec("string", (None,))}, {})
    resolved, left_out = targets.resolve(
        options.RequestOptions(signatures=("all",)), {**available, "t": other}, [record("x")], (1, 4), parses("s", "t")
    )
    assert [target.signatures for target in resolved] == [("t",)]
    assert left_out == {"s": str(caught.value)}


def test_a_declared_method_that_the_signature_cannot_serve(
    declare: Callable[..., Signatures], record: Callable[..., bytes]
) -> None:
    """Predict can be stated instead, and the message says so."""
    available = declare(CLASSIFY, x=("float", (None,)))
    assert "s:predict" in refusal(available, "s")
    (target,) = resolve(available, "s:predict", records=(record("x"),))
    assert target.method is PREDICT


def test_a_signature_without_inputs_is_called(declare: Callable[..., Signatures]) -> None:
    """Also by `all`, and it takes no records."""
    available = declare()
    assert resolve(available, "s") == resolve(available, "all") == [targets.Target(("s",), PREDICT)]
    assert not resolve(available, "s")[0].takes_records


def constant(alias: str, value: str, *, dtype: str = "float", shape: TensorShape = ()) -> constants.Constant:
    """What an input of this type is given."""
    spec = {"s": signatures.Signature("s", PREDICT, {alias: signatures.TensorSpec(dtype, shape)}, {})}
    return constants.read([f"s/{alias}={value}"], spec)[f"s/{alias}"]


def test_a_constant_feeds_what_no_feature_can(declare: Callable[..., Signatures], record: Callable[..., bytes]) -> None:
    """Features or whole records feed the rest; a constant takes precedence over a feature of the input's name."""
    k = constant("k", "0.5")
    for x, fed in (
        (("float", (None,)), {"dense_inputs": (tensors.DenseInput("x", "x", "float", ()),)}),
        (("string", (None, 2)), {"dense_inputs": (tensors.DenseInput("x", "x", "string", (2,)),)}),
    ):
        available = declare(x=x, k=("float", ()))
        asked = {"records": (record("x", "k"),), "inputs": ("s/k=0.5",)}
        assert resolve(available, "s", **asked) == [targets.Target(("s",), PREDICT, constants=(k,), **fed)]
    whole = declare(examples=("string", (None,)), k=("float", ()))
    assert resolve(whole, "s", records=(record("k"),), inputs=("s/k=0.5",), parsing=parses("s")) == [
        targets.Target(("s",), PREDICT, serialized_input="examples", constants=(k,))
    ]
    assert "s/k=" in refusal(whole, "s")


def test_a_constant_is_not_part_of_the_batch(declare: Callable[..., Signatures], record: Callable[..., bytes]) -> None:
    """Its first dimension need not be a batch size."""
    available = declare(x=("float", (None,)), k=("int64", (2,)))
    assert "--input s/k=" in refusal(available, "s", records=(record("x", "k"),))
    (target,) = resolve(available, "s", records=(record("x"),), inputs=("s/k=[3, 4]",), batch_sizes=(1, 8))
    assert target.constants == (constant("k", "[3, 4]", dtype="int64", shape=(2,)),)


def test_an_input_with_a_default_may_be_left_out(
    declare: Callable[..., Signatures], record: Callable[..., bytes]
) -> None:
    """It is fed by a feature that can, by a constant if one is given, and by a mapping in any case."""
    (plain,) = declare(x=("float", (None,)), k=("float", ()), v=("float", (2,)), y=("float", (None,))).values()
    available = {"s": dataclasses.replace(plain, defaults=frozenset({"k", "v", "y"}))}

    def fed(*names: str, **asked: tuple[str, ...]) -> tuple[list[str], list[str]]:
        (target,) = resolve(available, "s", records=(record(*names),), **asked)
        left = targets.left_to_defaults([target], available)
        return [dense.alias for dense in target.dense_inputs], [name.removeprefix("s/") for name in left]

    assert fed("x") == (["x"], ["k", "v", "y"])
    assert fed("x", "k", "v", "y") == (["x", "y"], ["k", "v"])
    assert fed("x", inputs=("s/k=2",)) == (["x"], ["v", "y"])
    assert fed("x", "z", features=("s/y=z",)) == (["x", "y"], ["k", "v"])
    assert "no batch dimension" in refusal(available, "s", records=(record("x"),), features=("s/k=x",))
    assert "Input 'x'" in refusal(available, "s", records=(record("y"),))


def test_whole_records_beside_defaults(declare: Callable[..., Signatures], record: Callable[..., bytes]) -> None:
    """The only input without a default takes the records."""
    (plain,) = declare(examples=("string", (None,)), k=("float", ())).values()
    available = {"s": dataclasses.replace(plain, defaults=frozenset({"k"}))}
    (target,) = resolve(available, "s", records=(record("k"),), parsing=parses("s"))
    assert target == targets.Target(("s",), PREDICT, serialized_input="examples")
    assert targets.left_to_defaults([target], available) == ["s/k"]
    assert targets.left_to_defaults(resolve(declare(inputs=("string", (None,))), "s:regress"), {}) == []


def test_constants_that_make_no_sense(declare: Callable[..., Signatures], record: Callable[..., bytes]) -> None:
    """For an input that is not called, or that a feature is mapped to as well."""
    (plain,) = declare(x=("float", (None,)), k=("float", ())).values()
    (text,) = declare(inputs=("string", (None,))).values()
    available = {"s": plain, "t": dataclasses.replace(text, key="t")}
    for names, asked in (
        (("t",), {"inputs": ("s/k=1",)}),
        (("t:regress",), {"inputs": ('t/inputs=["a"]',)}),
        (("s",), {"inputs": ("s/k=1", "s/x=[1]"), "features": ("s/x=x",)}),
    ):
        with pytest.raises(errors.OptionError, match=r"--input \(requests\.inputs\)"):
            resolve(available, *names, records=(record("x"),), parsing=parses("t"), **asked)
    requests = options.RequestOptions(signatures=("all",), inputs=("s/k=1",))
    called, left_out = targets.resolve(requests, available, [record("z")], (1,), parses("t"))
    assert ([target.signatures for target in called], list(left_out)) == ([("t",)], ["s"])


@pytest.mark.parametrize(
    ("model", "key"), [("composite", "ragged_in"), ("composite", "sparse_in"), ("sparse_tf1", "sparse_in")]
)
def test_composite_inputs_are_refused_by_their_code(
    model: str, key: str, odd_models: Path, record: Callable[..., bytes]
) -> None:
    """Whatever features or constants there are; `all` leaves the signature out for that reason."""
    available = signatures.read(odd_models / model / "1")
    features = record("r", "r_1", "s", "s_1", "s_2", "x")
    alias = min(available[key].inputs)
    for asked in ({}, {"features": (f"{key}/{alias}=x",)}, {"inputs": (f"{key}/{alias}=[]",)} if alias == "r" else {}):
        with pytest.raises(errors.ModelError) as caught:
            resolve(available, key, records=(features,), **asked)
        assert caught.value.code == "model/composite-input"
    _, left_out = targets.resolve(options.RequestOptions(signatures=("all",)), available, [features], (1,), parses())
    assert left_out[key] == str(caught.value)


def test_what_only_looks_like_a_ragged_tensor_can_be_fed(record: Callable[..., bytes]) -> None:
    """Features of the names of both parts say that they are dense; without these, the message names the kind."""
    parts = {
        "x": signatures.TensorSpec("float", (None,), composites.MAYBE_RAGGED),
        "x_1": signatures.TensorSpec("int64", (None,), composites.MAYBE_RAGGED),
    }
    available = {"s": signatures.Signature("s", PREDICT, parts, {})}
    (target,) = resolve(available, "s", records=(record("x", "x_1"),))
    assert [dense.alias for dense in target.dense_inputs] == ["x", "x_1"]
    with pytest.raises(errors.ModelError) as caught:
        resolve(available, "s", records=(record("x"),))
    assert caught.value.code == "model/composite-input"


def test_a_fixed_batch_size_that_is_asked_for(declare: Callable[..., Signatures], record: Callable[..., bytes]) -> None:
    """A model exported for batches of four takes these."""
    (target,) = resolve(declare(x=("float", (4, 3))), "s", records=(record("x"),), batch_sizes=(4,))
    assert target.dense_inputs == (tensors.DenseInput("x", "x", "float", (3,)),)


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        (("float", (None,)), ()),
        (("int64", (None, 3, None)), (3, None)),
        (("bfloat16", None), None),
        (("string", (None, 2)), (2,)),
    ],
)
def test_an_input_is_fed_by_the_feature_of_its_name(
    tensor: tuple[str, TensorShape],
    shape: TensorShape,
    declare: Callable[..., Signatures],
    record: Callable[..., bytes],
) -> None:
    """In any of the records looked at; the batch dimension is not part of an element's shape."""
    (target,) = resolve(declare(x=tensor), "s", records=(b"\xff", record("y"), record("x")))
    assert target == targets.Target(("s",), PREDICT, dense_inputs=(tensors.DenseInput("x", "x", tensor[0], shape),))


@pytest.fixture(scope="module")
def strings() -> Callable[..., bytes]:
    """A tf.Example with features of strings of these names, and a number."""

    def make(*names: str) -> bytes:
        example = example_pb2.Example()
        example.features.feature["number"].float_list.value.append(0.5)
        for name in names:
            example.features.feature[name].bytes_list.value.append(b"x")
        return example.SerializeToString()

    return make


@pytest.mark.parametrize("shape", [(None,), (1,), None])
def test_what_feeds_the_only_input_if_it_is_a_vector_of_strings(
    shape: TensorShape, declare: Callable[..., Signatures], strings: Callable[..., bytes]
) -> None:
    """A mapping, else records if the graph parses them, else the feature of its name, else the only one of strings."""
    available = declare(s=("string", shape))
    whole = targets.Target(("s",), PREDICT, serialized_input="s")

    def fed_by(feature: str) -> targets.Target:
        dense = tensors.DenseInput("s", feature, "string", None if shape is None else ())
        return targets.Target(("s",), PREDICT, dense_inputs=(dense,))

    for names, features, parsing, expected in (
        (("s", "png"), ("s/s=png",), parses("s"), fed_by("png")),
        (("s", "png"), ("s/s=",), parses(), whole),
        (("s", "png"), (), parses("s"), whole),
        ((), (), parses("s"), whole),
        (("s", "png"), (), parses(), fed_by("s")),
        (("image/encoded",), (), parses(), fed_by("image/encoded")),
    ):
        records = (strings(*names),)
        assert resolve(available, "s", records=records, features=features, parsing=parsing) == [expected]
    for records in ((b"\xff no tf.Example",), ()):
        assert resolve(available, "s", records=records) == [whole]


def test_the_only_input_of_strings_is_not_guessed(
    declare: Callable[..., Signatures], strings: Callable[..., bytes]
) -> None:
    """With no evidence or two candidates, it is an error that names them and the mapping to write."""
    available = declare(text=("string", (None,)))
    assert "--feature s/text=FEATURE, or --feature s/text=" in refusal(available, "s", records=(strings(),))
    for records in ((strings("a", "b"),), (strings("a"), strings("b"))):
        assert "2 string features (a, b)" in refusal(available, "s", records=records)
    many = (strings(*map(str, range(2000))),)
    assert len(refusal(available, "s", records=many)) < 500


def test_strings_of_another_shape_never_take_whole_records(
    declare: Callable[..., Signatures], strings: Callable[..., bytes]
) -> None:
    """Only features feed them, also the only one of strings."""
    available = declare(text=("string", (None, 1)))
    (target,) = resolve(available, "s", records=(strings("a"),), parsing=parses("s"))
    assert target.dense_inputs == (tensors.DenseInput("text", "a", "string", (1,)),)
    refusal(available, "s", records=(b"\xff",))
    refusal(available, "s", records=(strings("a", "b"),), parsing=parses("s"))


def test_what_feeds_each_input_is_told(sink: Signatures, taxi: Signatures, record: Callable[..., bytes]) -> None:
    """For every kind of request."""
    called = resolve(
        sink, "two_inputs", "classify", features=("two_inputs/b=x",), records=(record("a"),), parsing=parses("classify")
    )
    assert targets.fed(called) == (
        evidence.Fed("two_inputs", PREDICT, "a", "a"),
        evidence.Fed("two_inputs", PREDICT, "b", "x"),
        evidence.Fed("classify", PREDICT, "inputs", None),
    )
    multi_inference = options.Method.MULTI_INFERENCE
    assert targets.fed(resolve(taxi, "regression", pairs=("classification,regression",))) == (
        evidence.Fed("regression", REGRESS, "inputs", None),
        evidence.Fed("classification", multi_inference, "inputs", None),
        evidence.Fed("regression", multi_inference, "inputs", None),
    )


def test_only_a_sole_vector_of_strings_takes_whole_records(
    declare: Callable[..., Signatures], record: Callable[..., bytes]
) -> None:
    """Two vectors or numbers cannot, not even if told to."""
    for inputs in (
        {"x": ("string", (None,)), "y": ("string", (None,))},
        {"x": ("float", (None,))},
    ):
        available = declare(**inputs)
        assert "has no feature: none has its name" in refusal(available, "s", records=(record("z"),))
        message = refusal(available, "s", records=(record("x", "y"),), features=("s/x=",))
        assert "only a lone vector of strings takes whole records" in message


def test_a_mapping_by_hand_comes_first(sink: Signatures, record: Callable[..., bytes]) -> None:
    """Whether or not there is a feature of the input's name; the other inputs are found by theirs."""
    for records in ((record("a", "b"),), (record("a"),)):
        (target,) = resolve(sink, "two_inputs", records=records, features=("two_inputs/b=count",))
        assert [(dense.alias, dense.feature) for dense in target.dense_inputs] == [("a", "a"), ("b", "count")]


@pytest.mark.parametrize(
    ("features", "why"),
    [
        (("two_inputs/b",), "'two_inputs/b' does not name an input of the model. Write SIGNATURE/INPUT=FEATURE"),
        (("two_inputs/c=x",), "does not name an input.* .*two_inputs/a, two_inputs/b"),
        (("b=x",), "does not name an input"),
        (("=",), "does not name an input"),
        (("two_inputs/b=x", "two_inputs/b=y"), "names the input two_inputs/b twice"),
        (("logs/x=x",), "maps the input logs/x, but no Predict request"),
        (("classify/inputs=x",), "maps the input classify/inputs, but no Predict request"),
    ],
)
def test_a_mapping_that_makes_no_sense(
    features: tuple[str, ...], why: str, sink: Signatures, record: Callable[..., bytes]
) -> None:
    """Nor does one that nothing is asked for with: Classify takes whole examples."""
    with pytest.raises(errors.OptionError, match=why):
        resolve(sink, "two_inputs", "classify:classify", records=(record("a", "b"),), features=features)


@pytest.mark.parametrize(
    ("mapping", "alias", "feature"),
    [
        ("s/a=b=f", "a=b", "f"),
        ("s/a=b=", "a=b", ""),
        ("s/a=f=g", "a", "f=g"),
        ("s/a=b/c=f/g", "a=b/c", "f/g"),
        ("s/=x==", "=x=", ""),
        ("s/=f", "", "f"),
    ],
)
def test_a_name_of_an_input_may_hold_what_a_mapping_is_written_with(
    mapping: str, alias: str, feature: str, declare: Callable[..., Signatures]
) -> None:
    """Equal signs and slashes; the longest name that fits is meant."""
    available = declare(**dict.fromkeys(("a", "a=b", "a=b/c", "=x=", ""), ("float", (None,))))
    others = tuple(f"s/{name}=x" for name in available["s"].inputs if name != alias)
    if feature:
        (target,) = resolve(available, "s", features=(*others, mapping))
        assert [dense.feature for dense in target.dense_inputs if dense.alias == alias] == [feature]
    else:
        assert f"Input {alias!r}" in refusal(available, "s", features=(*others, mapping))


def test_many_signatures_take_seconds(declare: Callable[..., Signatures], record: Callable[..., bytes]) -> None:
    """Ten thousand: looking for a duplicate of each among all others took two minutes."""
    (one,) = declare(x=("float", (None,))).values()
    available = {f"s{number}": dataclasses.replace(one, key=f"s{number}") for number in range(10_000)}
    started = time.process_time()
    assert len(resolve(available, "all", records=(record("x"),))) == len(available)
    assert time.process_time() - started < 10
    assert len(refusal(available, "t")) < 500


def test_a_mapping_of_what_all_leaves_out_is_no_mistake(sink: Signatures, record: Callable[..., bytes]) -> None:
    """The other input has no feature; that is the reason to be told."""
    requests = options.RequestOptions(signatures=("all",), features=("two_inputs/b=x",))
    _, left_out = targets.resolve(requests, sink, [record("x")], (1,), parses(*(sink.keys() - {"two_inputs"})))
    assert list(left_out) == ["two_inputs"]
    assert "Input 'a'" in left_out["two_inputs"]


def test_pairs_of_declared_methods(taxi: Signatures) -> None:
    """Each task by the method of its signature; a pair alone is a request."""
    assert resolve(taxi, pairs=("classification,regression", "regression,classification")) == [
        targets.Target(keys, options.Method.MULTI_INFERENCE, tuple(methods))
        for keys, methods in (
            (("classification", "regression"), (CLASSIFY, REGRESS)),
            (("regression", "classification"), (REGRESS, CLASSIFY)),
        )
    ]


def test_pairs_of_a_tf2_export(sink: Signatures) -> None:
    """All say predict, so what inputs and outputs fit decides; the cell is named by both keys."""
    single, pair = resolve(sink, "classify", pairs=("classify,regress",))
    assert single.method is PREDICT
    assert pair == targets.Target(("classify", "regress"), options.Method.MULTI_INFERENCE, (CLASSIFY, REGRESS))
    assert pair.takes_examples


@pytest.fixture(scope="module")
def listed() -> Callable[..., bytes]:
    """An ExampleListWithContext with examples of these numbers; it parses as a tf.Example too."""

    def make(*numbers: int) -> bytes:
        made = input_pb2.ExampleListWithContext()
        for number in numbers:
            made.examples.add().features.feature["v"].int64_list.value.append(number)
        return made.SerializeToString()

    return make


@pytest.mark.parametrize(("lists", "examples", "are_lists"), [(3, 0, True), (3, 2, True), (2, 2, False), (1, 2, False)])
def test_records_are_what_most_of_them_are(
    lists: int,
    examples: int,
    are_lists: bool,
    sink: Signatures,
    record: Callable[..., bytes],
    listed: Callable[..., bytes],
) -> None:
    """For every target alike; the others are dead letters. Batch sizes are not for lists."""
    records = (listed(1, 2),) * lists + (record("v"),) * examples + (b"\xff other",) * 5
    called = resolve(sink, "classify:classify", "regress:regress", pairs=("classify,regress",), records=records)
    assert [target.takes_lists for target in called] == [are_lists] * 3
    assert [target.takes_examples for target in called] == [not are_lists] * 3
    assert all(target.takes_records for target in called)
    assert {tuple(target.records_per_request((2, 8))) for target in called} == {(1,) if are_lists else (2, 8)}
    assert len(targets.fed_by_lists(called)) == (3 if are_lists else 0)


def test_lists_for_predict(sink: Signatures, listed: Callable[..., bytes]) -> None:
    """Whole, if the graph parses something else than tf.Examples, or if told so; it makes no tf.Examples of them."""
    records = (listed(1), listed(2, 3))
    whole = targets.Target(("classify",), PREDICT, serialized_input="inputs")
    assert resolve(sink, "classify", records=records, parsing=parses("classify")) == [whole]
    assert whole.records_per_request((2, 8)) == (2, 8)

    def parsing(*_: str) -> graph.Parsing:
        return graph.Parsing({"v": graph.Feature("float_list")})

    assert "classify:classify" in refusal(sink, "classify", records=records, parsing=parsing)
    assert resolve(sink, "classify", features=("classify/inputs=",), records=records, parsing=parsing) == [whole]


def test_a_fixed_batch_size_is_no_matter_of_options_for_lists(
    declare: Callable[..., Signatures], listed: Callable[..., bytes], record: Callable[..., bytes]
) -> None:
    """How many examples a list has is not in any option."""
    fixed = declare(REGRESS, inputs=("string", (2,)))
    assert resolve(fixed, "s", records=(listed(1, 2),)) == [targets.Target(("s",), REGRESS, takes_lists=True)]
    assert "accepts only batches of 2" in refusal(fixed, "s", records=(record("v"),))


@pytest.mark.parametrize("pair", ["classify", "classify,classify", "classify,regress,images", ","])
def test_what_is_no_pair(pair: str, sink: Signatures) -> None:
    """One only, the same twice, three, nothing: TF Serving wants distinct signatures."""
    with pytest.raises(errors.OptionError, match=r"is not a pair of different signatures\. Write SIGNATURE,SIGNATURE"):
        resolve(sink, pairs=(pair,))


def test_a_pair_that_cannot_be_served(taxi: Signatures, sink: Signatures, declare: Callable[..., Signatures]) -> None:
    """A signature that neither classifies nor regresses, and one of another batch size."""
    for available, pair in ((sink, "classify,images"), (taxi, "predict,regression")):
        with pytest.raises(errors.ModelError, match="can serve neither classify nor regress"):
            resolve(available, pairs=(pair,))
    fixed = {**sink, **declare(inputs=("string", (2,)))}
    with pytest.raises(errors.ModelError, match="accepts only batches of 2"):
        resolve(fixed, pairs=("classify,s",))


NAMES = st.sampled_from(["all", "classify", "regress", "strings", "two_inputs", "x", ""])
PIECES = st.lists(NAMES | st.sampled_from([":", ",", "/", "=", "predict", "inputs", "s", "a"]) | st.text(max_size=3))
TEXTS = st.lists(PIECES.map("".join), max_size=3, unique=True).map(tuple)


@given(names=TEXTS, pairs=TEXTS, features=TEXTS)
def test_no_text_raises_anything_but_an_input_error(
    names: tuple[str, ...], pairs: tuple[str, ...], features: tuple[str, ...], sink: Signatures
) -> None:
    """Whatever is asked for: targets that can be called, or an error of the options or the model."""
    try:
        resolved, _ = targets.resolve(
            options.RequestOptions(signatures=names, multi_inference=pairs, features=features),
            sink,
            [b"", b"\xff"],
            (1,),
            parses(),
        )
    except errors.InputError:
        return
    assert {key for target in resolved for key in target.signatures} <= sink.keys()


@pytest.mark.parametrize("option", ["features", "inputs"])
def test_a_name_of_two_inputs(option: str, declare: Callable[..., Signatures]) -> None:
    """`a/b/c` may be `b/c` of `a` or `c` of `a/b`: nothing is guessed, and other names are not in the way."""
    (one,) = declare(**{"b/c": ("float", (None,)), "d": ("float", (None,))}).values()
    (other,) = declare(c=("float", (None,))).values()
    available = {"a": dataclasses.replace(one, key="a"), "a/b": dataclasses.replace(other, key="a/b")}
    value = "x" if option == "features" else "[1]"
    with pytest.raises(errors.OptionError, match="'a/b/c' can mean the input 'b/c' of signature 'a' or 'c' of"):
        resolve(available, "a", **{option: (f"a/b/c={value}",)})  # type: ignore[arg-type]  # either of two names
    with pytest.raises(errors.ModelError, match=r"'b/c' .* has no feature"):
        resolve(available, "a", **{option: (f"a/d={value}",)})  # type: ignore[arg-type]  # the same
