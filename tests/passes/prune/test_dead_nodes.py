import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import PassError
from suture.passes.base import PassContext
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.dead_nodes import PruneDeadNodes


def test_deletes_a_dead_chain_in_one_sweep(parse, check):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y)"
        " { [exp] a = Exp(x) [neg] b = Neg(a) [tanh] c = Tanh(b) [relu] y = Relu(x) }"
    )
    done = check(PruneDeadNodes(), model)
    assert done.ops == ["Relu"]
    assert done.made == [("tanh", "no reader"), ("neg", "no reader"), ("exp", "no reader")]


def test_deletes_weights_that_reach_no_node(parse, check):
    model = parse(
        "g (float[2,4] x) => (float[2,4] y) { [dead] a = Mul(x, v) y = Mul(x, w) }",
        v=(4,),
        w=(4,),
        unused=(4,),
    )
    check(PruneDeadNodes(), model)
    assert list(model.graph.initializers) == ["w"]


def test_keeps_weights_that_are_an_output_or_an_input(parse):
    model = parse(
        "g (float[4] x, float[4] v) => (float[4] y, float[4] w) { y = Relu(x) }",
        v=(4,),
        w=(4,),
    )
    PruneDeadNodes().apply(model, PassContext())
    assert sorted(model.graph.initializers) == ["v", "w"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ("[a] t = Exp(x) y = Relu(t)", "float[1,4] y"),
        ("[a] t = Exp(x) y = Relu(x)", "float[1,4] y, float[1,4] t"),
        ("[a] p, t = Split<axis=1, num_outputs=2>(x) y = Relu(t)", "float[1,2] y"),
        (
            "[a] t = Exp(x) y = If(c)<then_branch = n () => (float[1,4] p) { p = Neg(t) },"
            " else_branch = m () => (float[1,4] q) { q = Relu(x) }>",
            "float[1,4] y",
        ),
    ],
    ids=[
        "a node reads it",
        "a graph output",
        "a second output is read",
        "a subgraph reads it",
    ],
)
def test_leaves_what_is_read(parse, check, nodes, outputs):
    model = parse(f"g (float[1,4] x, bool[1] c) => ({outputs}) {{ {nodes} }}")
    before = [node.op_type for node in model.graph]
    done = check(PruneDeadNodes(), model)
    assert done.ops == before
    assert done.made == []


def test_deletes_dead_control_flow(parse, check):
    model = parse(
        "g (float[1,4] x, bool[1] c) => (float[1,4] y) { y = Relu(x)"
        " [if] z = If(c)<then_branch = n () => (float[1,4] p) { p = Neg(x) },"
        " else_branch = m () => (float[1,4] q) { q = Exp(x) }> }"
    )
    done = check(PruneDeadNodes(), model)
    assert done.ops == ["Relu"]
    assert done.made == [("if", "no reader")]


def test_what_only_dead_control_flow_reads_goes_along(parse, check):
    model = parse(
        "g (float[1,4] x, bool[1] c) => (float[1,4] y) { y = Relu(x) [exp] t = Exp(x)"
        " [if] z = If(c)<then_branch = n () => (float[1,4] p) { p = Neg(t) },"
        " else_branch = m () => (float[1,4] q) { q = Tanh(t) }> }"
    )
    done = check(PruneDeadNodes(), model)
    assert done.ops == ["Relu"]
    assert done.made == [("if", "no reader"), ("exp", "no reader")]


def test_the_inputs_stay_even_if_nobody_reads_them(parse, check):
    model = parse("g (float[4] x, float[4] z) => (float[4] y) { y = Relu(x) t = Exp(z) }")
    check(PruneDeadNodes(), model)
    assert [value.name for value in model.graph.inputs] == ["x", "z"]


def test_the_check_fails_a_pass_that_prunes_what_is_read(parse, check, monkeypatch):
    def wrong(self, model, ctx):
        model.graph.remove(model.graph[0])
        return right(self, model, ctx)

    right = PruneDeadNodes.apply
    monkeypatch.setattr(PruneDeadNodes, "apply", wrong)
    model = parse("g (float[4] x) => (float[4] y) { t = Exp(x) [relu] y = Relu(t) }")
    with pytest.raises(
        PassError, match="node 'relu' reads 't', which nothing before it makes"
    ):
        check(PruneDeadNodes(), model)


def test_a_large_dead_branch_takes_its_weights_along(parse, check):
    model = parse(
        "g (float[1,64] x) => (float[1,4] y) {"
        " h = Gemm(x, big) z = Relu(h) [keep] y = Gemm(x, small) }",
        big=np.ones((64, 256), np.float32),
        small=(64, 4),
    )
    check(PruneDeadNodes(), model)
    assert list(model.graph.initializers) == ["small"]


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-dead-nodes"]) is PruneDeadNodes
    assert parse_pipeline("prune-dead-nodes") == (PruneDeadNodes(),)
