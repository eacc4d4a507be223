"""Classes that nobody asked for: what is left must have the numbers that it had."""

import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.evaluation import Evaluation
from suture.compiler.model import model_bytes
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs
from suture.errors import PassError
from suture.passes.base import PassContext
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.classes import PruneClasses

LAST = {
    "gemm": ("y = Gemm<transB=1>(h, v, b)", {"v": (9, 8), "b": (9,)}),
    "scaled gemm": ("y = Gemm<alpha=0.5, beta=2.0>(h, v, b)", {"v": (8, 9), "b": (1, 9)}),
    "one bias": ("y = Gemm(h, v, b)", {"v": (8, 9), "b": (1, 1)}),
    "matmul": ("m = MatMul(h, v) a = Add(m, b) y = Sigmoid(a)", {"v": (8, 9), "b": (9,)}),
    "conv": (
        "r = Unsqueeze(h, two) c = Conv(r, v, b) p = GlobalAveragePool(c) y = Flatten(p)",
        {"v": (9, 8, 1, 1), "b": (9,), "two": np.array([2, 3])},
    ),
    "reshape": (
        "r = Unsqueeze(h, two) c = Conv(r, v) e = Relu(c) y = Reshape(e, s)",
        {"v": (9, 8, 1, 1), "two": np.array([2, 3]), "s": np.array([2, 9])},
    ),
    "two heads": (
        "l = MatMul(h, v) r = MatMul(h, u) y = Concat<axis=1>(l, r)",
        {"v": (8, 4), "u": (8, 5)},
    ),
    "norm": (
        "m = MatMul(h, v) y = BatchNormalization(m, b, s, t, var)",
        {"v": (8, 9), "b": (9,), "s": (9,), "t": (9,), "var": (9,)},
    ),
}


def classifier(parse, last, output="float[2,9] y"):
    nodes, weights = last
    text = f"g (float[2,4] x) => ({output}) {{ g = Gemm(x, w) h = Relu(g) {nodes} }}"
    return parse(text, w=(4, 8), **weights)


def run(model, graph_pass, ctx=None):
    inputs = seeded_inputs(model, np.random.default_rng(0))
    (record,) = PassManager([graph_pass], [VerifyingObserver(inputs)]).run(model, ctx)
    return record, run_reference(model, inputs)


def reasons(record):
    return [note.reason for note in record.declined]


def weight_count(model):
    return sum(value.const_value.size for value in model.graph.initializers.values())


@pytest.mark.parametrize("wanted", [(3, 5, 8), (0,), (1, 2, 4, 7)])
@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
def test_what_is_left_has_the_numbers_it_had(parse, last, wanted):
    model = classifier(parse, last)
    whole, before = run(model, PruneClasses())
    assert reasons(whole) == ["no class is named with keep"]
    weights = weight_count(model)
    if last is LAST["two heads"] and max(wanted) < 4:
        record, _ = run(model, PruneClasses(keep="+".join(map(str, wanted))))
        assert reasons(record) == ["a whole part of it would be empty"]
        return
    record, after = run(model, PruneClasses(keep="+".join(map(str, wanted))))
    assert [note.reason for note in record.made] == [f"{len(wanted)} of 9 classes are left"]
    assert_equal({"y": before["y"][:, list(wanted)]}, after, what="classes", rtol=1e-6)
    assert model.graph.outputs[0].shape == (2, len(wanted))
    assert weight_count(model) <= weights - 7 * (9 - len(wanted))


def test_a_second_run_leaves_it_as_it_is(parse):
    model = classifier(parse, LAST["gemm"])
    run(model, PruneClasses(keep="3+5+8"))
    once = model_bytes(model)
    record, _ = run(model, PruneClasses(keep="3+5+8"))
    assert record.made == ()
    assert reasons(record) == ["it has the classes 3 5 8 only"]
    assert model_bytes(model) == once


@pytest.mark.parametrize("sharing", ["", "Softmax<axis=1>", "LogSoftmax<axis=-1>"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_number_that_argmax_answers_stays_the_class_s_own(parse, sharing, keepdims):
    shares = f"p = {sharing}(l)" if sharing else "p = Identity(l)"
    nodes = f"l = Gemm<transB=1>(h, v) {shares} [a] y = ArgMax<axis=1, keepdims={keepdims}>(p)"
    shape = "int64[2,1] y" if keepdims else "int64[2] y"
    model = classifier(parse, (nodes, {"v": (9, 8)}), shape)
    rng = np.random.default_rng(0)
    requests = [{"x": rng.standard_normal((2, 4)).astype(np.float32)} for _ in range(32)]
    before = [run_reference(model, each)["y"] for each in requests]
    kept = sorted(set(np.unique(np.concatenate(before)).tolist()) - {int(before[0].flat[0])})
    record, _ = run(model, PruneClasses(keep="+".join(map(str, kept))))
    assert record.made
    after = [run_reference(model, each)["y"] for each in requests]
    assert {each.shape for each in after} == {before[0].shape}
    assert np.isin(np.concatenate(after), kept).all()
    stays = [np.isin(each, kept) for each in before]
    assert sum(each.sum() for each in stays) > 10
    for old, new, same in zip(before, after, stays, strict=True):
        np.testing.assert_array_equal(old[same], new[same])
    once = model_bytes(model)
    run(model, PruneClasses(keep="+".join(map(str, kept))))
    assert model_bytes(model) == once


@pytest.mark.parametrize(
    ("nodes", "outputs", "reason"),
    [
        (
            "l = MatMul(h, v) [s] y = Softmax(l)",
            "float[2,9] y",
            "fewer classes would share the probabilities of 's'",
        ),
        (
            "l = MatMul(h, v) [s] p = LogSoftmax(l) y = Identity(p)",
            "float[2,9] y",
            "fewer classes would share the probabilities of 's'",
        ),
        (
            "y = MatMul(h, v) z = Exp(y)",
            "float[2,9] y, float[2,9] z",
            "others read its classes too",
        ),
        (
            "l = MatMul(h, v) y = Tanh(l) z = Exp(l)",
            "float[2,9] y, float[2,9] z",
            "an operator needs all of its classes",
        ),
        (
            "l = MatMul(h, v) y = Tanh(l) [z] z = MatMul(l, u)",
            "float[2,9] y, float[2,3] z",
            "'z' adds its classes up",
        ),
        (
            "l = MatMul(h, v) y = CumSum(l, one)",
            "float[2,9] y",
            "an operator needs all of its classes",
        ),
        (
            "l = MatMul(h, v) y = Tanh(l) z = ReduceMax<keepdims=0>(l, ones)",
            "float[2,9] y, float[2] z",
            "an operator needs all of its classes",
        ),
        ("y = Size(h)", "int64 y", "how many classes lie along axis -1 is not known"),
    ],
)
def test_declines_where_the_others_are_needed(parse, nodes, outputs, reason):
    weights = {"v": (8, 9), "u": (9, 3), "one": np.array(1), "ones": np.array([1])}
    model = classifier(parse, (nodes, weights), outputs)
    record, _ = run(model, PruneClasses(keep="3+5"))
    assert record.made == ()
    assert reasons(record) == [reason]


def test_every_class_wanted_is_nothing_to_do(parse):
    model = classifier(parse, LAST["gemm"])
    record, _ = run(model, PruneClasses(keep="+".join(map(str, range(9)))))
    assert reasons(record) == ["every class is wanted"]


def test_classes_from_a_file(parse, tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("8\n3 5\n3\n")
    model, other = (classifier(parse, LAST["gemm"]) for _ in range(2))
    _, after = run(model, PruneClasses(keep=str(path)))
    _, same = run(other, PruneClasses(keep="3+5+8"))
    np.testing.assert_array_equal(after["y"], same["y"])


@pytest.mark.parametrize(
    ("keep", "output", "message"),
    [
        ("3+9", "", "there is no class 9: it has 9"),
        ("3+x", "", "neither numbers joined by"),
        ("3", "z", "no output 'z'"),
        ("labels", "", "no evaluation set"),
    ],
)
def test_what_is_wrong_is_said(parse, keep, output, message):
    with pytest.raises(PassError, match=message):
        run(classifier(parse, LAST["gemm"]), PruneClasses(keep=keep, output=output))


def test_a_file_of_other_things(parse, tmp_path):
    for text, message in (("cat 3", "'cat' is not a number"), ("", "holds no numbers")):
        path = tmp_path / "classes.txt"
        path.write_text(text)
        with pytest.raises(PassError, match=message):
            run(classifier(parse, LAST["gemm"]), PruneClasses(keep=str(path)))


@pytest.mark.parametrize("last", ["Softmax", "LogSoftmax"])
def test_those_left_may_share_the_probabilities(parse, last):
    model = classifier(parse, (f"l = MatMul(h, v) y = {last}(l)", {"v": (8, 9)}))
    _, before = run(model, PruneClasses())
    record, after = run(model, PruneClasses(keep="3+5+8", shared=True))
    assert record.made
    want = before["y"] if last == "Softmax" else np.exp(before["y"])
    want = want[:, [3, 5, 8]] / want[:, [3, 5, 8]].sum(axis=1, keepdims=True)
    got = after["y"] if last == "Softmax" else np.exp(after["y"])
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert model.graph.outputs[0].shape == (2, 3)


def test_the_evaluation_set_is_renumbered_for_passes_behind(parse):
    model = classifier(parse, LAST["gemm"])
    requests = [{"x": np.full((2, 4), n, np.float32)} for n in range(5)]
    evaluation = Evaluation(requests=requests, labels=np.array([8, 3, 1, 5, 3]))
    result = PruneClasses(keep="3+5+8").apply(model, PassContext(evaluation=evaluation))
    assert result.evaluation.labels.tolist() == [2, 0, 1, 0]
    assert [each["x"][0, 0] for each in result.evaluation.requests] == [0, 1, 3, 4]


def test_labels_of_the_example(classifier):
    """Only 1, 4 and 7 occur: accuracy on them rises, and quantising goes by it."""
    model, evaluation = classifier
    model = model.clone()
    few = evaluation.of(np.flatnonzero(np.isin(evaluation.labels, [1, 4, 7])))
    before = few.hits(model).mean()
    pipeline = parse_pipeline("prune-classes{keep=labels,shared=true},quantize{budget=0.01}")
    records = PassManager(pipeline).run(model, PassContext(evaluation=few))
    assert records[0].made[0].reason == "3 of 10 classes are left"
    assert records[1].made[0].reason.startswith("2 of 2 convolutions and products in 8 bits")
    (output,) = model.graph.outputs
    assert output.shape[-1] == 3
    places = np.searchsorted([1, 4, 7], few.labels)
    after = Evaluation(requests=few.requests, labels=places).hits(model, optimize=False).mean()
    assert after >= before - 0.01


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-classes"]) is PruneClasses
    assert parse_pipeline("prune-classes{keep=1+2}") == (PruneClasses(keep="1+2"),)
