"""The pass as a whole, on the example's small classifier and on made-up networks."""

from dataclasses import replace

import numpy as np
import pytest

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.prepare import prepare
from suture.compiler.evaluation import Evaluation
from suture.compiler.model import model_bytes
from suture.compiler.target import find_target
from suture.errors import PassError
from suture.passes.base import PassContext
from suture.passes.budget import NOTHING, SEED, TOO_FEW
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline
from suture.passes.quantize import Quantize

BUDGET = 0.005
TEXT = """g (float[1,4,6,6] x) => (float[1,5] y) { c = Conv(x, w, b) r = Relu(c)
    f = Flatten(r) y = Gemm<transB=1>(f, g, h) }"""
WEIGHTS = {"w": (8, 4, 3, 3), "b": (8,), "g": (5, 128), "h": (5,)}


def run(model, evaluation, target="lambda-x86_64", **options):
    context = PassContext(evaluation=evaluation, target=find_target(target))
    (record,) = PassManager([Quantize(**options)]).run(model, context)
    return record


def kernels(model):
    prepared = prepare(model.clone())
    group(prepared, Rules.installed().matchers)
    return [node.op_type for node in prepared.graph]


def seeded(model, count=8):
    """Requests of random numbers, labelled with what the model answers."""
    rng = np.random.default_rng(0)
    shape = model.graph.inputs[0].shape.numpy()
    requests = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]
    everyone = Evaluation(requests=requests, labels=np.zeros(count, np.int64), metric=chosen)
    return replace(everyone, labels=everyone.hits(model), metric=agrees)


def chosen(answers, labels):
    return np.array([answer.argmax() for answer in answers])


def agrees(answers, labels):
    return chosen(answers, labels) == labels


def test_the_example_goes_into_8_bits_within_the_budget(classifier):
    original, evaluation = classifier
    model = original.clone()
    record = run(model, evaluation)
    halves = evaluation.halves(np.random.default_rng(SEED))
    before, after = (
        [half.hits(each, optimize=False).mean() for half in halves]
        for each in (original, model)
    )
    assert all(old - new <= BUDGET + 1e-9 for old, new in zip(before, after, strict=True))
    (made,) = record.made
    assert made.reason.startswith("2 of 2 convolutions and products in 8 bits, 100.0% of")
    told = f"from {before[1]:.4f} to {after[1]:.4f} on {len(halves[1])} held-out samples"
    assert made.reason.endswith(told)
    assert [note.reason for note in record.declined] == [
        "of four channels that a step multiplies in 8 bits it has 1"
    ]
    assert kernels(model).count("SutureQConv") == 1
    assert kernels(model).count("SutureQGemm") == 1


def test_weights_take_a_quarter(classifier):
    original, evaluation = classifier
    model = original.clone()
    run(model, evaluation)
    before, after = (
        sum(value.const_value.nbytes for value in each.graph.initializers.values())
        for each in (original, model)
    )
    assert after < 0.35 * before


def test_exact_passes_leave_it_in_8_bits(classifier):
    original, evaluation = classifier
    model = original.clone()
    observer = VerifyingObserver(evaluation.requests[0])
    context = PassContext(evaluation=evaluation)
    pipeline = parse_pipeline("exact,quantize,exact")
    PassManager(pipeline, [observer]).run(model, context)
    assert kernels(model).count("SutureQConv") == 1
    assert kernels(model).count("SutureQGemm") == 1


def test_equal_models_give_equal_ones(classifier):
    original, evaluation = classifier
    first, second = original.clone(), original.clone()
    assert run(first, evaluation).made == run(second, evaluation).made
    assert model_bytes(first) == model_bytes(second)


def test_what_is_quantised_is_left_alone(classifier):
    original, evaluation = classifier
    model = original.clone()
    run(model, evaluation)
    once = model_bytes(model)
    record = run(model, evaluation)
    assert record.made == ()
    assert [note.reason for note in record.declined] == ["it is quantised already"]
    assert model_bytes(model) == once


def test_arm64_gets_int8_with_all_of_its_bits(classifier):
    original, evaluation = classifier
    model = original.clone()
    run(model, evaluation, target="lambda-arm64")
    quantised = [node for node in model.graph if node.op_type == "QuantizeLinear"]
    assert {node.outputs[0].dtype.name for node in quantised} == {"INT8"}
    greatest = max(
        np.abs(value.const_value.numpy().astype(int)).max()
        for value in model.graph.initializers.values()
        if value.const_value.dtype.name == "INT8" and value.const_value.size > 100
    )
    assert greatest == 127


def test_without_labels_it_says_what_is_missing(classifier):
    model, evaluation = classifier
    before = model_bytes(model)
    for given, reason in ((None, NOTHING), (evaluation.of(np.array([0])), TOO_FEW)):
        with pytest.raises(PassError, match=reason) as caught:
            run(model, given)
        assert "compile a task with an evaluation set" in caught.value.hint
        record = run(model, given, required=False)
        assert record.made == ()
        assert [note.reason for note in record.declined] == [reason]
    assert model_bytes(model) == before


def test_what_costs_too_much_stays(parse):
    """Right is only what the whole model answers, to the fourth digit."""
    model = parse(TEXT, **WEIGHTS)
    evaluation = seeded(model)
    known = answers(model, evaluation)

    def equal(found, labels):
        pairs = zip(labels, found, strict=True)
        return np.array([np.allclose(known[at], each, rtol=1e-4) for at, each in pairs])

    before = model_bytes(model)
    record = run(model, replace(evaluation, labels=np.arange(8), metric=equal))
    assert record.made == ()
    reasons = [note.reason for note in record.declined]
    assert reasons[0] == "any that go into 8 bits cost more than 0.005 of accuracy"
    assert len(reasons) == 3
    assert all("dB over its noise" in reason for reason in reasons[1:])
    assert model_bytes(model) == before


def answers(model, evaluation):
    found = []

    def keep(given, labels):
        found.extend(given)
        return np.ones(len(given), bool)

    replace(evaluation, metric=keep).hits(model, optimize=False)
    return found


def test_only_what_the_budget_pays_for(parse):
    """One of two products moves the answer a hundred times as far as the other."""
    text = """g (float[1,64] x) => (float[1,8] y)
        { [loud] a = MatMul(x, w) [quiet] b = MatMul(x, v) c = Mul(b, t) y = Add(a, c) }"""
    model = parse(text, w=(64, 8), v=(64, 8), t=np.float32([0.01]))
    evaluation = seeded(model, 64)
    known = answers(model, evaluation)
    noise = 0.002 * np.abs(known).max()

    def near(found, labels):
        pairs = zip(labels, found, strict=True)
        return np.array([np.abs(known[at] - each).max() < noise for at, each in pairs])

    record = run(model, replace(evaluation, labels=np.arange(64), metric=near))
    assert record.made[0].reason.startswith("1 of 2 convolutions and products in 8 bits")
    assert [note.at.node for note in record.declined] == ["loud"]
    assert "dB over its noise" in record.declined[0].reason


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (np.nan, "what it reads was not finite in every request"),
        (np.inf, "what it reads was not finite in every request"),
        (0.0, "what it reads lay between 0 and 0"),
        (1e-42, "what it reads lay between 0 and 1.00053e-42"),
    ],
)
def test_what_cannot_be_calibrated_stays(parse, numbers, reason):
    model = parse("g (float[1,4] x) => (float[1,6] y) { y = MatMul(x, w) }", w=(4, 6))
    request = {"x": np.full((1, 4), numbers, np.float32)}
    evaluation = Evaluation(requests=[request] * 4, labels=np.zeros(4, np.int64))
    record = run(model, evaluation)
    assert record.made == ()
    assert [note.reason for note in record.declined] == [
        "nothing in it can be computed in 8 bits",
        reason,
    ]


@pytest.mark.parametrize("number", [3.0, -0.25, 1e30])
def test_constant_numbers_calibrate(parse, number):
    model = parse("g (float[1,4] x) => (float[1,6] y) { y = Gemm(x, w) }", w=(4, 6))
    request = {"x": np.full((1, 4), number, np.float32)}
    evaluation = Evaluation(requests=[request] * 2, labels=np.zeros(2, np.int64))
    want = answers(model, evaluation)[0]
    assert run(model, evaluation).made
    got = answers(model, evaluation)[0]
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_an_old_operator_set_is_declined(parse):
    text = "g (float[1,4] x) => (float[1,6] y) { y = MatMul(x, w) }"
    model = parse(text, opset=11, w=(4, 6))
    record = run(model, seeded(model))
    assert [note.reason for note in record.declined] == ["operator set 11 is below 13"]


def test_its_options_are_text():
    (found,) = parse_pipeline("quantize{budget=0.01,bits=8}")
    assert found == Quantize(budget=0.01, bits=8)
    with pytest.raises(PassError, match="budget is a fraction"):
        parse_pipeline("quantize{budget=2}")
    with pytest.raises(PassError, match="bits are 7 or 8"):
        parse_pipeline("quantize{bits=4}")
    with pytest.raises(PassError, match="must come after"):
        parse_pipeline("quantize,fold-batch-norm")
