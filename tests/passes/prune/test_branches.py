import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import assert_equivalent, seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.branches import PruneBranches

LOOP = """<body = b (int64 i, bool k, float[4] v) => (bool k2, float[4] v2, float[4] s)
    { k2 = Identity(k) v2 = Exp(v) s = Neg(t) }>"""


def where(condition, nodes="", **shapes):
    text = f"a = Exp(x) b = Neg(x) [w] z = Where(c, a, b) {nodes} y = Relu(z)"
    return f"g (float[2,4] x) => (float[2,4] y) {{ {text} }}", {"c": np.array(condition)}


@pytest.mark.parametrize(
    ("condition", "kept", "reason"),
    [
        (True, "Exp", "its condition is always true"),
        (False, "Neg", "its condition is always false"),
        ([True] * 4, "Exp", "its condition is always true"),
        ([[False] * 4] * 2, "Neg", "its condition is always false"),
    ],
)
def test_where_takes_what_it_always_chooses(parse, check, condition, kept, reason):
    text, weights = where(condition)
    model = parse(text, **weights)
    done = check(PruneBranches(), model)
    assert done.made == [("w", reason)]
    check(*parse_pipeline("prune-dead-nodes"), model)
    assert [node.op_type for node in model.graph] == [kept, "Relu"]


def test_where_that_chooses_by_element_stays(parse, check):
    text, weights = where([True, False, True, True])
    done = check(PruneBranches(), parse(text, **weights))
    assert (done.made, done.declined) == ([], [])
    assert "Where" in done.ops


def test_where_that_also_stretches_declines(parse, check):
    text = (
        "g (float[4] x, float[2,4] u) => (float[2,4] y) { a = Exp(x) [w] y = Where(c, a, u) }"
    )
    done = check(PruneBranches(), parse(text, c=np.array(True)))
    assert done.declined == [("w", "what it hands on may have another shape")]
    assert "Where" in done.ops


def test_a_graph_output_keeps_its_name(parse, check):
    text = "g (float[4] x) => (float[4] y) { a = Exp(x) [w] y = Where(c, x, a) }"
    model = parse(text, c=np.array(True))
    done = check(PruneBranches(), model)
    assert done.ops == ["Exp", "Identity"]
    assert [value.name for value in model.graph.outputs] == ["y"]


@pytest.mark.parametrize(("turns", "go"), [(0, True), (-1, True), (5, False)])
def test_a_loop_that_never_runs_hands_on_what_it_began_with(parse, check, turns, go):
    text = f"""g (float[4] x) => (float[4] y, float[4] u) {{ t = Sqrt(x) b = Tanh(x)
        [l] y, s = Loop(n, c, b){LOOP} u = Relu(y) }}"""
    model = parse(text, n=np.array(turns), c=np.array(go))
    done = check(PruneBranches(), model)
    assert done.made == [("l", "it never runs")]
    check(*parse_pipeline("prune-dead-nodes"), model)
    assert [node.op_type for node in model.graph] == ["Tanh", "Identity", "Relu"]


def test_a_loop_that_runs_stays(parse, check):
    text = f"g (float[4] x) => (float[4] y) {{ t = Sqrt(x) [l] y, s = Loop(n, c, x){LOOP} }}"
    done = check(PruneBranches(), parse(text, n=np.array(1), c=np.array(True)))
    assert (done.made, done.ops) == ([], ["Sqrt", "Loop"])


def test_a_loop_whose_scans_are_read_declines(parse, check):
    text = f"""g (float[4] x) => (float[4] y, float[N,4] s)
        {{ t = Sqrt(x) [l] y, s = Loop(n, c, x){LOOP} }}"""
    done = check(PruneBranches(), parse(text, n=np.array(0), c=np.array(True)))
    assert done.declined == [("l", "what it would have scanned is read")]


@pytest.mark.parametrize(("taken", "ops"), [(True, ["Neg", "Relu"]), (False, ["Exp", "Relu"])])
def test_an_if_of_a_constant_condition_goes_within_exact(parse, taken, ops):
    text = """g (float[4] x) => (float[4] y) { z = If(c)<
        then_branch = a () => (float[4] p) { p = Neg(x) },
        else_branch = b () => (float[4] q) { q = Exp(x) }> y = Relu(z) }"""
    model = parse(text, c=np.array(taken))
    reference = model.clone()
    PassManager(parse_pipeline("exact")).run(model)
    assert [node.op_type for node in model.graph] == ops
    inputs = seeded_inputs(reference, np.random.default_rng(0))
    assert_equivalent(reference, model, inputs, rtol=1e-6)


def test_exact_takes_what_is_decided_only_after_folding(parse):
    text = """g (float[4] x) => (float[4] y) { k = Shape(x) c = Greater(k, zero) a = Exp(x)
        b = Neg(x) y = Where(c, a, b) }"""
    model = parse(text, zero=np.array([0]))
    PassManager(parse_pipeline("exact")).run(model)
    assert [node.op_type for node in model.graph] == ["Exp", "Identity"] or [
        node.op_type for node in model.graph
    ] == ["Exp"]


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-branches"]) is PruneBranches
    assert parse_pipeline("prune-branches") == (PruneBranches(),)
    assert "prune-branches" in map(str, parse_pipeline("exact"))
