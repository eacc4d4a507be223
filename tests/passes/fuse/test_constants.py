import logging

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import run_reference
from suture.errors import VerifyError
from suture.passes.base import PassContext
from suture.passes.fuse.constants import FoldConstants
from suture.passes.pipeline import parse_pipeline

COMPUTED = "all inputs are constant"
LIFTED = "becomes an initializer"


def test_folds_a_chain_of_arithmetic(parse, check):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y)"
        " { [add] s = Add(k, j) [neg] n = Neg(s) [mul] y = Mul(x, n) }",
        k=(4,),
        j=(4,),
    )
    done = check(FoldConstants(), model)
    assert done.ops == ["Mul"]
    assert done.made == [("add", COMPUTED), ("neg", COMPUTED)]


@pytest.mark.parametrize(
    "attribute",
    [
        "value = float[1] {2.5}",
        "value_float = 2.5",
        "value_floats = [2.5, 1.5, 0.5, -1.0]",
    ],
)
def test_a_constant_node_becomes_an_initializer(parse, check, attribute):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y)"
        f" {{ [two] k = Constant<{attribute}>() [mul] y = Mul(x, k) }}"
    )
    done = check(FoldConstants(), model)
    assert done.ops == ["Mul"]
    assert done.made == [("two", LIFTED)]
    assert "k" in model.graph.initializers


def test_folds_the_shape_of_an_input_that_is_fixed(parse, check):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y)"
        " { [shape] s = Shape(x) [cast] f = Cast<to=1>(s) [sum] n = ReduceSum<keepdims=0>(f)"
        " [mul] y = Mul(x, n) }"
    )
    done = check(FoldConstants(), model)
    assert done.ops == ["Mul"]
    assert [name for name, _ in done.made] == ["shape", "cast", "sum"]


def test_leaves_the_shape_of_an_input_that_is_free(parse, check):
    model = parse(
        "g (float[N,4] x) => (float[N,4] y)"
        " { s = Shape(x) f = Cast<to=1>(s) n = ReduceSum<keepdims=0>(f) y = Mul(x, n) }"
    )
    done = check(FoldConstants(), model)
    assert done.ops == ["Shape", "Cast", "ReduceSum", "Mul"]
    assert done.made == []


@pytest.mark.parametrize(
    ("nodes", "inputs", "weights"),
    [
        ("s = Add(x, k) y = Mul(x, s)", "", {"k": (4,)}),
        ("s = Neg(k) y = Mul(x, s)", ", float[4] k", {}),
        ("s = Neg(k) y = Mul(x, s)", ", float[4] k", {"k": (4,)}),
        ("r = RandomNormal<shape=[4], seed=1.0>() z = Mul(r, o) y = Add(x, z)", "", {"o": 0}),
    ],
    ids=["reads the input", "is an input", "default of an input", "random"],
)
def test_leaves_what_is_not_constant(parse, check, nodes, inputs, weights):
    weights = {n: np.zeros(1, np.float32) if s == 0 else s for n, s in weights.items()}
    text = f"g (float[2,4] x{inputs}) => (float[2,4] y) {{ {nodes} }}"
    model = parse(text, **weights)
    before = [node.op_type for node in model.graph]
    done = check(FoldConstants(), model)
    assert done.ops == before
    assert done.made == []


@pytest.mark.parametrize(("limit", "ops"), [(7, ["Add", "Mul"]), (8, ["Mul"])])
def test_leaves_results_above_the_limit_to_run_time(parse, check, limit, ops):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y) { s = Add(k, j) y = Mul(x, s) }",
        k=(2, 4),
        j=(2, 4),
    )
    assert check(FoldConstants(limit=limit), model).ops == ops


@pytest.mark.parametrize(("limit", "ops"), [(63, ["Expand", "Mul"]), (64, ["Mul"])])
def test_leaves_a_large_result_of_small_inputs_to_run_time(parse, check, limit, ops):
    model = parse(
        "g (float[8,8] x) => (float[8,8] y) { s = Expand(k, shape) y = Mul(x, s) }",
        k=(1,),
        shape=np.array([8, 8]),
    )
    assert check(FoldConstants(limit=limit), model).ops == ops


def test_a_constant_that_is_a_graph_output_stays(parse, check):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y, float[1] k)"
        " { k = Constant<value = float[1] {2.0}>() y = Mul(x, k) }"
    )
    assert check(FoldConstants(), model).ops == ["Constant", "Mul"]


BRANCHES = (
    "g (float[1,4] x, bool[1] c) => (float[1,4] y) { y = If(c)<"
    "then_branch = a () => (float[1,4] p) { k = Constant<value = float[1] {2.0}>()"
    " j = Constant<value = float[1] {3.0}>() l = Add(k, j) p = Mul(x, l) },"
    " else_branch = b () => (float[1,4] q)"
    " { q = Constant<value = float[1,4] {1.0, 2.0, 3.0, 4.0}>() }> }"
)


@pytest.mark.parametrize("taken", [True, False])
def test_constants_inside_subgraphs_keep_the_answer(parse, taken):
    model = parse(BRANCHES)
    inputs = {"x": np.float32([[1, -2, 3, -4]]), "c": np.array([taken])}
    want = run_reference(model, inputs)["y"]
    FoldConstants().apply(model, PassContext())
    np.testing.assert_array_equal(run_reference(model, inputs)["y"], want)
    branches = {g.name: [node.op_type for node in g] for g in model.graph.subgraphs()}
    assert branches == {"a": ["Mul"], "b": ["Constant"]}


def test_a_constant_condition_takes_its_branch(parse, check):
    model = parse(
        "g (float[1,4] x) => (float[1,4] y) { y = If(c)<"
        "then_branch = a () => (float[1,4] p) { p = Neg(x) },"
        " else_branch = b () => (float[1,4] q) { q = Exp(x) }> }",
        c=np.array(False),
    )
    assert check(FoldConstants(), model).ops == ["Exp"]


def test_the_log_level_of_onnxscript_is_put_back(parse, caplog):
    caplog.set_level(logging.INFO, logger="onnxscript.optimizer")
    model = parse("g (float[1] x) => (float[1] y) { y = Neg(x) }")
    FoldConstants().apply(model, PassContext())
    assert logging.getLogger("onnxscript.optimizer").level == logging.INFO


def test_the_check_fails_a_constant_off_by_a_little(parse, check, monkeypatch):
    right = FoldConstants.apply

    def wrong(self, model, ctx):
        result = right(self, model, ctx)
        value = model.graph.initializers["s"]
        value.const_value = type(value.const_value)(value.const_value.numpy() * 1.0001)
        return result

    monkeypatch.setattr(FoldConstants, "apply", wrong)
    model = parse(
        "g (float[2,4] x) => (float[2,4] y) { s = Add(k, j) y = Mul(x, s) }", k=(4,), j=(4,)
    )
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FoldConstants(), model)


def test_what_is_folded_inside_a_subgraph_is_noted(parse, check):
    model = parse(
        "g (float[4] x, bool[1] c) => (float[4] y) { y = If(c)<"
        "then_branch = a () => (float[4] p) {"
        " [two] k = Constant<value = float[1] {2.0}>() p = Mul(x, k) },"
        " else_branch = b () => (float[4] q) { q = Exp(x) }> }"
    )
    assert check(FoldConstants(), model).made == [("two", LIFTED)]


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fold-constants"]) is FoldConstants
    assert parse_pipeline("fold-constants") == (FoldConstants(),)


def test_declines_where_the_folding_writes_a_later_operator():
    """ConcatFromSequence becomes Unsqueezes that read their axes, which set 11 has not."""
    model = ir.from_proto(
        onnx.parser.parse_model(
            """<ir_version: 6, opset_import: ["": 11]>
            g (float[2] x) => (float[2,2] y) {
                s = SequenceConstruct(x, x)
                [join] y = ConcatFromSequence<axis=0, new_axis=1>(s)
            }"""
        )
    )
    result = FoldConstants().apply(model, PassContext())
    reason = "onnxscript's folding writes an Unsqueeze of a later operator set"
    assert [(each.at.node, each.reason) for each in result.declined] == [("join", reason)]
    assert [node.op_type for node in model.graph] == [
        "SequenceConstruct",
        "ConcatFromSequence",
    ]
