import ml_dtypes
import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from suture.compiler.discovery import discover, load
from suture.compiler.verify import assert_equivalent, seeded_inputs
from suture.errors import VerifyError
from suture.passes.base import Note, PassContext
from suture.passes.fuse.equal_subgraphs import MergeEqualSubgraphs
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

WEIGHTS = "equal weights are stored once"
NODES = "an equal node runs already"
TEXTS = """<ir_version: 10, opset_import: ["": 18]>
    g (int64 i) => (string a, string b, string c, bfloat16 d, bfloat16 e, float16 f) {
        a = Gather(s, i) b = Gather(t, i) c = Gather(u, i)
        d = Gather(h, i) e = Gather(k, i) f = Gather(m, i) }"""
W = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


def two_layers(second="Gemm(x, v)"):
    return (
        "g (float[2,3] x) => (float[2,4] y)"
        f" {{ [one] a = Gemm(x, w) [two] b = {second} [add] y = Add(a, b) }}"
    )


def test_equal_weights_and_then_equal_nodes_are_merged(parse, check):
    model = parse(two_layers(), w=W, v=W.copy())
    done = check(MergeEqualSubgraphs(), model)
    assert done.ops == ["Gemm", "Add"]
    assert done.made == [("v", WEIGHTS), ("two", NODES)]
    assert list(model.graph.initializers) == ["w"]


def test_equal_text_and_half_precision_are_shared_and_like_ones_are_not():
    model = ir.from_proto(onnx.parser.parse_model(TEXTS))
    for name, array in (
        ("s", np.array(["a", "bc"])),
        ("t", np.array(["a", "bc"])),
        ("u", np.array(["ab", "c"])),
        ("h", np.array([1, 2], ml_dtypes.bfloat16)),
        ("k", np.array([1, 2], ml_dtypes.bfloat16)),
        ("m", np.array([1, 2], np.float16)),
    ):
        tensor = ir.from_proto(onnx.numpy_helper.from_array(array, name))
        model.graph.initializers[name] = ir.Value(name=name, const_value=tensor)
    model = ir.from_proto(ir.to_proto(model))
    result = MergeEqualSubgraphs().apply(model, PassContext())
    shared = [note.at.value for note in result.made if note.reason == WEIGHTS]
    assert shared == ["t", "k"]
    assert set(model.graph.initializers) == {"s", "u", "h", "m"}


def test_a_chain_of_equal_nodes_is_merged_to_its_end(parse, check):
    model = parse(
        "g (float[2,3] x) => (float[2,4] y) {"
        " [r1] p = Relu(x) [g1] a = Gemm(p, w) [s1] c = Sigmoid(a)"
        " [r2] q = Relu(x) [g2] b = Gemm(q, v) [s2] d = Sigmoid(b) [sub] y = Sub(c, d) }",
        w=W,
        v=W.copy(),
    )
    done = check(MergeEqualSubgraphs(), model)
    assert done.ops == ["Relu", "Gemm", "Sigmoid", "Sub"]
    assert done.made == [("v", WEIGHTS), ("r2", NODES), ("g2", NODES), ("s2", NODES)]


@pytest.mark.parametrize(
    ("second", "v"),
    [
        ("Gemm(x, v)", W + np.float32(1e-6)),
        ("Gemm<alpha=0.5>(x, v)", W),
        ("Gemm<transB=1>(x, v)", W.reshape(4, 3)),
    ],
    ids=["other numbers", "other attribute", "other shape"],
)
def test_leaves_what_is_nearly_equal(parse, check, second, v):
    done = check(MergeEqualSubgraphs(), parse(two_layers(second), w=W, v=v.copy()))
    assert done.ops == ["Gemm", "Gemm", "Add"]
    assert "two" not in dict(done.made)


def test_equal_bytes_of_another_type_are_not_equal(parse, check):
    model = parse(
        "g (float[2] x, int32[2] n) => (float[2] y, int32[2] m)"
        " { y = Add(x, k) m = Add(n, j) }",
        k=np.zeros(2, np.float32),
        j=np.zeros(2, np.int32),
    )
    assert check(MergeEqualSubgraphs(), model).made == []


def test_both_outputs_keep_their_names(parse, check):
    text = "g (float[2] x) => (float[2] y, float[2] z) { [one] y = Exp(x) [two] z = Exp(x) }"
    model = parse(text)
    done = check(MergeEqualSubgraphs(), model)
    assert done.ops == ["Exp", "Identity"]
    assert done.made == [("two", NODES)]
    assert [value.name for value in model.graph.outputs] == ["y", "z"]


def test_three_equal_outputs_are_merged_once(parse, check):
    model = parse(
        "g (float[4] x) => (float[4] a, float[4] b, float[4] c)"
        " { a = Exp(x) b = Exp(x) c = Exp(x) }"
    )
    assert check(MergeEqualSubgraphs(), model).ops == ["Exp", "Identity", "Identity"]
    assert {node.overload for node in model.graph} == {""}


def test_weights_that_a_caller_can_override_stay_apart(parse, check):
    text = two_layers().replace(" x)", " x, float[3,4] v)", 1)
    done = check(MergeEqualSubgraphs(), parse(text, w=W, v=W.copy()))
    assert done.ops == ["Gemm", "Gemm", "Add"]
    assert done.made == []


def test_random_numbers_are_drawn_twice(parse):
    model = parse(
        "g (float[64] x) => (float[64] y) {"
        " a = RandomNormal<shape=[64]>() b = RandomNormal<shape=[64]>()"
        " d = Sub(a, b) y = Add(x, d) }"
    )
    assert MergeEqualSubgraphs().apply(model, PassContext()).made == ()


def test_control_flow_is_not_merged(parse, check):
    branch = (
        "If(c)<then_branch = {0}a () => (float[2] {0}p) {{ {0}p = Neg(x) }},"
        " else_branch = {0}b () => (float[2] {0}q) {{ {0}q = Exp(x) }}>"
    )
    model = parse(
        "g (float[2] x, bool[1] c) => (float[2] y)"
        f" {{ s = {branch.format('s')} t = {branch.format('t')} y = Add(s, t) }}"
    )
    assert check(MergeEqualSubgraphs(), model).ops == ["If", "If", "Add"]


def test_the_check_fails_a_merge_of_unequal_nodes(parse, check, monkeypatch):
    def wrong(self, model, ctx):
        result = right(self, model, ctx)
        one, two = model.graph[0].outputs[0], model.graph[1].outputs[0]
        two.replace_all_uses_with(one)
        return type(result)(model, made=(Note(None, "nearly equal"),))

    right = MergeEqualSubgraphs.apply
    monkeypatch.setattr(MergeEqualSubgraphs, "apply", wrong)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(MergeEqualSubgraphs(), parse(two_layers(), w=W, v=W * np.float32(1.001)))


@pytest.mark.parametrize("inside", [False, True], ids=["main graph", "branch"])
def test_nodes_of_a_type_stay_as_they_are(inside):
    """onnx_ir cannot compare types: two nodes that make nothing of one type stay two."""
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    kind = helper.make_sequence_type_proto(element)
    parts = ("a", "b")
    nodes = [helper.make_node("Optional", [], [part], type=kind) for part in parts]
    nodes += [
        helper.make_node("OptionalHasElement", [part], [f"has_{part}"]) for part in parts
    ]
    outputs = [
        helper.make_tensor_value_info(f"has_{part}", TensorProto.BOOL, []) for part in parts
    ]
    inputs = [helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    if inside:
        branch = helper.make_graph(nodes, "branch", [], outputs)
        names = [f"out_{part}" for part in parts]
        nodes = [helper.make_node("If", ["c"], names, then_branch=branch, else_branch=branch)]
        outputs = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in names]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opset = helper.make_opsetid("", 18)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[opset], ir_version=10))
    attributes = [dict(node.attributes) for node in model.graph.all_nodes()]
    PassManager((MergeEqualSubgraphs(),)).run(model)
    assert [dict(node.attributes) for node in model.graph.all_nodes()] == attributes
    assert not any(node.overload for node in model.graph.all_nodes())


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["merge-equal-subgraphs"]) is MergeEqualSubgraphs
    assert parse_pipeline("merge-equal-subgraphs") == (MergeEqualSubgraphs(),)


def test_two_detectors_on_one_backbone_run_it_once_and_fold_it(parse, check):
    """Weights that both components bring are shared, and no obstacle to folding any more."""
    rng = np.random.default_rng(5)
    parts = {"w": (4, 3, 3, 3), "c": (4,), "g": (4,), "b": (4,), "m": (4,), "v": (4,)}
    backbone = {name: rng.uniform(0.5, 1.5, shape) for name, shape in parts.items()}
    weights = {f"{n}{i}": a.astype(np.float32) for n, a in backbone.items() for i in (1, 2)}
    nodes = " ".join(
        f"t{i} = Conv(x, w{i}, c{i}) n{i} = BatchNormalization(t{i}, g{i}, b{i}, m{i}, v{i})"
        f" r{i} = Relu(n{i}) h{i} = Conv(r{i}, k{i})"
        for i in (1, 2)
    )
    model = parse(
        f"g (float[1,3,8,8] x) => (float[1,5,6,6] y) {{ {nodes} y = Concat<axis=1>(h1, h2) }}",
        **weights,
        k1=(2, 4, 1, 1),
        k2=(3, 4, 1, 1),
    )
    reference = model.clone()
    PassManager(parse_pipeline("exact")).run(model)
    assert [node.op_type for node in model.graph] == ["Conv", "Relu", "Conv", "Conv", "Concat"]
    assert len(model.graph.initializers) == 4
    inputs = seeded_inputs(reference, np.random.default_rng(0))
    assert_equivalent(reference, model, inputs, rtol=1e-5)
