"""Rewrites inside of branches and bodies: what they may look at, and what they must leave."""

import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.model import opset_of, run_inference
from suture.passes.base import GraphPass
from suture.passes.each_graph import EachGraphPass, graphs_of
from suture.passes.fuse.activation import FuseActivation
from suture.passes.fuse.affine import FoldAffine
from suture.passes.fuse.attention import FuseAttention
from suture.passes.fuse.casts import ComposeCasts
from suture.passes.fuse.equal_subgraphs import MergeEqualSubgraphs
from suture.passes.fuse.layer_norm import FuseLayerNorm
from suture.passes.fuse.opset import RaiseOpset
from suture.passes.fuse.projections import JoinProjections
from suture.passes.fuse.rows import FlattenRows
from suture.passes.fuse.shapes import InferShapes
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.dead_nodes import PruneDeadNodes
from suture.passes.prune.embedding_rows import PruneEmbeddingRows
from suture.passes.prune.identities import RemoveIdentities

WHOLE = {"fold-constants", "fold-batch-norm", "infer-shapes", "raise-opset"}
"""Passes of ``exact`` that go through all graphs of a model at once."""


def branching(then, other="q = Exp(x)", before="", inputs="", constants=""):
    """An If behind some nodes; its branches read x, float[2,4], and make p and q."""
    return (
        f"g (float[2,4] x, bool c{inputs}) => (float[2,4] y) <{constants}> {{ {before}"
        f" [if] y = If(c)<then_branch = a () => (float[2,4] p) {{ {then} }},"
        f" else_branch = b () => (float[2,4] q) {{ {other} }}> }}"
    )


def ops(model, name="then_branch"):
    node = next(node for node in model.graph if node.op_type == "If")
    return [node.op_type for node in node.attributes[name].as_graph()]


def test_every_exact_pass_but_those_of_whole_models_goes_graph_by_graph():
    whole = {p.name for p in parse_pipeline("exact") if not isinstance(p, EachGraphPass)}
    assert whole == WHOLE | {"prune-embedding-rows"}
    assert all(isinstance(each, GraphPass) for each in parse_pipeline("exact"))


def test_inner_graphs_come_first_and_know_their_operator_sets(parse):
    inner = "z = If(c)<then_branch = d () => (float[2,4] s) { s = Neg(x) }," + (
        " else_branch = e () => (float[2,4] t) { t = Exp(x) }> p = Abs(z)"
    )
    model = parse(branching(inner), 19)
    assert [graph.name for graph in graphs_of(model)] == ["b", "e", "d", "a", "g"]
    assert {opset_of(graph) for graph in graphs_of(model)} == {19}


def test_what_a_branch_no_longer_reads_goes_in_the_same_run(parse, check):
    model = parse(branching("d = Neg(t) p = Abs(x)", before="[t] t = Exp(x)"))
    done = check(PruneDeadNodes(), model)
    assert done.ops == ["If"]
    assert ops(model) == ["Abs"]


def test_an_identity_that_hands_an_outer_value_out_of_a_branch_stays(parse, check):
    model = parse(branching("[id] p = Identity(t)", before="t = Exp(x)"))
    assert check(RemoveIdentities(), model).declined == [("id", "it names a graph output")]
    assert ops(model) == ["Identity"]


def test_new_constants_lie_beside_the_node_and_are_called_by_names_of_their_own(parse, check):
    then = "[gemm] t = Gemm(x, w, k) [mul] p = Mul(t, two)"
    model = parse(branching(then, constants="float two = {2}"), w=(4, 4), k=(4,))
    assert check(FoldAffine(), model).made == [("mul", "folded into gemm")]
    (node,) = model.graph
    branch = node.attributes["then_branch"].as_graph()
    assert set(branch.initializers) == {"gemm.weight", "gemm.bias"}
    assert {"w", "k"} <= set(model.graph.initializers)


def test_outer_arithmetic_and_readers_stay_in_their_graph(parse, check):
    both = "u = Cast<to=1>(t) p = Abs(u)", "v = Cast<to=1>(t) q = Neg(v)"
    model = parse(branching(*both, before="[t] t = Cast<to=11>(x)"))
    assert check(ComposeCasts(), model).ops == ["Cast", "If"]


GELU = "d = Div(x, root) e = Erf(d) a1 = Add(e, one) m = Mul(x, a1) [gelu] p = Mul(m, half)"
NUMBERS = "float root = {1.41421}, float one = {1.0}, float half = {0.5}"


def test_an_activation_of_a_value_that_others_read_too_is_seen_in_a_branch(parse, check):
    model = parse(branching(GELU, constants=NUMBERS), 20)
    assert check(FuseActivation(), model).made == [("gelu", "is gelu")]
    assert ops(model) == ["Gelu"]


def test_an_activation_half_of_which_lies_outside_is_none(parse, check):
    then = "a1 = Add(e, one) m = Mul(x, a1) p = Mul(m, half)"
    before = "d = Div(x, root) e = Erf(d)"
    model = parse(branching(then, before=before, constants=NUMBERS), 20)
    assert check(FuseActivation(), model).made == []


NORM = (
    "mean = ReduceMean(x, last) less = Sub(x, mean) square = Mul(less, less)",
    "var = ReduceMean(square, last) more = Add(var, one) root = Sqrt(more)",
    "n = Div(less, root)",
)
AXIS = "int64[1] last = {-1}, float one = {1.0}"


@pytest.mark.parametrize("outside", [0, 1, 2])
def test_a_normalisation_is_one_only_where_all_of_it_lies_in_one_graph(parse, check, outside):
    then = " ".join(NORM[outside:]) + " p = Mul(n, w)"
    model = parse(branching(then, before=" ".join(NORM[:outside]), constants=AXIS), w=(4,))
    run_inference(model)
    made = check(FuseLayerNorm(), model).made
    assert (ops(model) == ["LayerNormalization"]) == bool(made) == (outside == 0)


def test_a_scale_in_a_branch_is_not_the_normalisation_s_outside(parse, check):
    model = parse(branching("p = Mul(n, w)", before=" ".join(NORM), constants=AXIS), w=(4,))
    assert check(FuseLayerNorm(), model).ops == ["LayerNormalization", "If"]
    assert ops(model) == ["Mul"]


def attention(before, then):
    text = (
        "g (float[1,6,8] q, float[1,6,8] k, float[1,6,8] v, bool c) => (float[1,6,8] y)"
        f" <int64[4] heads = {{1,6,2,4}}, int64[3] rows = {{1,6,8}}> {{ {before}"
        f" y = If(c)<then_branch = a () => (float[1,6,8] p) {{ {then} }},"
        " else_branch = b () => (float[1,6,8] o) { o = Neg(q) }> }"
    )
    return text


ROWS = (
    "q4 = Reshape(q, heads) qt = Transpose<perm=[0,2,1,3]>(q4) k4 = Reshape(k, heads)"
    " kt = Transpose<perm=[0,2,3,1]>(k4) v4 = Reshape(v, heads)"
    " vt = Transpose<perm=[0,2,1,3]>(v4)"
)
SCORES = "s = MatMul(qt, kt)"
MIXED = (
    "[soft] w = Softmax(s) m = MatMul(w, vt) mt = Transpose<perm=[0,2,1,3]>(m)"
    " p = Reshape(mt, rows)"
)


def test_attention_in_a_branch_reads_heads_that_are_arranged_outside(parse, check):
    model = parse(attention(ROWS, f"{SCORES} {MIXED}"), 23)
    assert check(FuseAttention(), model).made == [("soft", "attention of 2 heads")]
    assert ops(model) == ["Attention"]


def test_attention_whose_scores_are_made_outside_is_left_alone(parse, check):
    model = parse(attention(f"{ROWS} {SCORES}", MIXED), 23)
    assert check(FuseAttention(), model).made == []


def test_projections_that_are_made_outside_stay_there(parse, check):
    before = "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)"
    text = (
        "g (float[1,6,8] x, bool c) => (float[1,6,8] y)"
        f" {{ {before} y = If(c)<then_branch = a () => (float[1,6,8] p)"
        " { [att] p = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v) },"
        " else_branch = b () => (float[1,6,8] o) { o = Neg(x) }> }"
    )
    model = parse(text, 23, wq=(8, 8), wk=(8, 8), wv=(8, 8))
    declined = check(JoinProjections(), model).declined
    assert declined == [("att", "Q, K or V is made outside of the branch")]


def test_rows_are_flattened_in_a_branch_that_reads_what_a_node_makes(parse, check):
    text = (
        "g (float[1,6,8] x, bool c) => (float[1,6,8] y) { t = Exp(x)"
        " y = If(c)<then_branch = a () => (float[1,6,8] p)"
        " { h = MatMul(t, w) i = Add(h, k) j = MatMul(i, w) p = Add(j, k) },"
        " else_branch = b () => (float[1,6,8] o) { o = Neg(t) }> }"
    )
    model = parse(text, w=(8, 8), k=(8,))
    assert len(check(FlattenRows(), model).made) == 1
    assert ops(model) == ["Reshape", "MatMul", "Add", "MatMul", "Add", "Reshape"]


def test_equal_nodes_of_a_branch_are_merged_and_those_of_two_are_not(parse, check):
    twice = "{0} = Exp(x) {1} = Exp(x) {2} = Add({0}, {1})"
    model = parse(branching(twice.format("r", "s", "p"), twice.format("t", "u", "q")))
    check(MergeEqualSubgraphs(), model)
    assert ops(model) == ops(model, "else_branch") == ["Exp", "Add"]


def test_a_table_outside_loses_the_rows_that_no_branch_reads(parse, check):
    gather = "[g{0}] r{0} = Gather(w, k{0}) {1} = Add(x, r{0})"
    before = "i = Cast<to=7>(c) j = Reshape(i, one) k0 = Add(j, one) k1 = Mul(j, one)"
    both = gather.format(0, "p"), gather.format(1, "q")
    model = parse(branching(*both, before, constants="int64[1] one = {1}"), w=(500, 4))
    assert check(PruneEmbeddingRows(), model).made == [("g0", "3 of 500 rows can be read")]


SIZES = "int64[2] two = {4,2}, int64[2] four = {2,4}"


def test_branches_of_newer_sets_are_raised_with_their_model(parse, check):
    model = parse(branching(GELU, constants=NUMBERS), 18)
    (made,) = check(RaiseOpset(), model).made
    assert made[1] == "GELU may be one operator: raised from 18 to 23"
    assert opset_of(model) == 23


def test_shapes_of_branches_are_found_out(parse, check):
    model = parse(branching("t = Neg(x) p = Exp(t)"))
    (node,) = model.graph
    value = node.attributes["then_branch"].as_graph()[0].outputs[0]
    value.shape = value.type = None
    reasons = [reason for _, reason in check(InferShapes(), model).made]
    assert any(reason.startswith("t is ") for reason in reasons)
    assert value.shape == ir.Shape([2, 4])


def test_constants_around_a_branch_say_what_shapes_are_inside(parse):
    model = parse(branching("t = Reshape(x, two) p = Reshape(t, four)", constants=SIZES))
    branch = next(graph for graph in graphs_of(model) if graph.name == "a")
    branch[0].outputs[0].shape = None
    run_inference(model)
    assert branch[0].outputs[0].shape == ir.Shape([4, 2])
    assert not branch.initializers


def test_a_loop_s_state_keeps_its_type_and_what_it_starts_from(parse, check):
    text = (
        "g (float[2,4] x) => (float[2,4] y) <int64 n = {3}> { y = Loop(n, , x)<"
        " body = b (int64 i, bool go, float[2,4] s) => (bool on, float[2,4] t)"
        " { on = Identity(go) u = Identity(s) [gemm] v = Gemm(u, w) [mul] t = Mul(v, k) }> }"
    )
    model = parse(text, w=(4, 4), k=np.float32(0.5))
    assert check(RemoveIdentities(), model).declined == [
        ("Identity", "it names a graph output")
    ]
    assert check(FoldAffine(), model).made == [("mul", "folded into gemm")]
    (node,) = model.graph
    body = node.attributes["body"].as_graph()
    assert [each.op_type for each in body] == ["Identity", "Gemm"]
    assert [value.name for value in body.outputs] == ["on", "t"]
