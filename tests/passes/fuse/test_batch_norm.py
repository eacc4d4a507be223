from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import run_reference, seeded_inputs
from suture.errors import VerifyError
from suture.passes.base import PassContext, PassResult
from suture.passes.fuse.batch_norm import FoldBatchNorm
from suture.passes.pipeline import parse_pipeline

STATISTICS = dict.fromkeys(("gamma", "beta", "mean", "var"), (4,))


def norm(read="t", write="y", name="bn"):
    return f"[{name}] {write} = BatchNormalization({read}, gamma, beta, mean, var)"


def convolution(node, more="", outputs="float[2,4,6,6] y"):
    return f"g (float[2,4,6,6] x) => ({outputs}) {{ [conv] {node} {norm()} {more} }}"


@pytest.mark.parametrize(
    ("node", "weights"),
    [
        ("t = Conv<pads=[1,1,1,1]>(x, w, b)", {"w": (4, 4, 3, 3), "b": (4,)}),
        ("t = Conv<pads=[1,1,1,1]>(x, w)", {"w": (4, 4, 3, 3)}),
        ("t = Conv<pads=[1,1,1,1], group=2>(x, w, b)", {"w": (4, 2, 3, 3), "b": (4,)}),
        ("t = Conv<pads=[1,1,1,1], group=4>(x, w)", {"w": (4, 1, 3, 3)}),
        ("t = ConvTranspose<pads=[1,1,1,1]>(x, w, b)", {"w": (4, 4, 3, 3), "b": (4,)}),
        ("t = ConvTranspose<pads=[1,1,1,1], group=2>(x, w)", {"w": (4, 2, 3, 3)}),
    ],
)
def test_folds_into_a_convolution(parse, check, node, weights):
    model = parse(convolution(node), **weights, **STATISTICS)
    done = check(FoldBatchNorm(), model)
    assert done.ops == [node.split()[2].partition("<")[0].partition("(")[0]]
    assert done.made == [("bn", "folded")]
    assert done.declined == []


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ("transB=0", (3, 4)),
        ("transB=1", (4, 3)),
        ("transB=1, alpha=0.5, beta=2.0", (4, 3)),
    ],
)
@pytest.mark.parametrize("bias", [(), (4,), (1,), (5, 4), (5, 1)])
def test_folds_into_gemm(parse, check, attributes, shape, bias):
    third = ", c" if bias else ""
    model = parse(
        "g (float[5,3] x) => (float[5,4] y) "
        f"{{ [fc] t = Gemm<{attributes}>(x, w{third}) {norm()} }}",
        w=shape,
        **({"c": bias} if bias else {}),
        **STATISTICS,
    )
    done = check(FoldBatchNorm(), model)
    assert done.ops == ["Gemm"]
    assert done.made == [("bn", "folded")]


def test_folds_one_normalisation_after_another(parse, check):
    text = "[conv] t = Conv(x, w) " + norm("t", "u", "first") + norm("u", "y", "second")
    model = parse(
        f"g (float[2,4,6,6] x) => (float[2,4,4,4] y) {{ {text} }}",
        w=(4, 4, 3, 3),
        **STATISTICS,
    )
    done = check(FoldBatchNorm(), model)
    assert done.ops == ["Conv"]
    assert done.made == [("first", "folded"), ("second", "folded")]


def test_uses_the_epsilon_of_the_node(parse, check):
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w)")
    text = text.replace("BatchNormalization", "BatchNormalization<epsilon=0.5>")
    assert check(FoldBatchNorm(), parse(text, w=(4, 4, 3, 3), **STATISTICS)).ops == ["Conv"]


@pytest.mark.parametrize(
    ("more", "outputs"),
    [
        ("z = Relu(t)", "float[2,4,6,6] y, float[2,4,6,6] z"),
        ("", "float[2,4,6,6] y, float[2,4,6,6] t"),
    ],
    ids=["read twice", "graph output"],
)
def test_declines_a_convolution_whose_output_is_wanted_elsewhere(parse, check, more, outputs):
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w)", more, outputs)
    done = check(FoldBatchNorm(), parse(text, w=(4, 4, 3, 3), **STATISTICS))
    assert done.ops[:2] == ["Conv", "BatchNormalization"]
    assert done.made == []
    assert done.declined == [("bn", "the output of Conv has other readers")]


def test_declines_an_output_that_a_subgraph_reads(parse, check):
    text = (
        "g (float[2,4,6,6] x, bool[1] c) => (float[2,4,6,6] y, float[2,4,6,6] z) {"
        f"[conv] t = Conv<pads=[1,1,1,1]>(x, w) {norm()}"
        "z = If(c)<then_branch = a () => (float[2,4,6,6] p) { p = Neg(t) },"
        " else_branch = b () => (float[2,4,6,6] q) { q = Relu(t) }> }"
    )
    done = check(FoldBatchNorm(), parse(text, w=(4, 4, 3, 3), **STATISTICS))
    assert done.declined == [("bn", "the output of Conv has other readers")]


def test_declines_weights_that_two_nodes_share(parse, check):
    text = convolution(
        "t = Conv<pads=[1,1,1,1]>(x, w)",
        "[other] z = Conv(x, w)",
        "float[2,4,6,6] y, float[2,4,4,4] z",
    )
    done = check(FoldBatchNorm(), parse(text, w=(4, 4, 3, 3), **STATISTICS))
    assert done.declined == [("bn", "the weights are shared with another node")]


def test_a_bias_that_two_nodes_share_is_no_obstacle(parse, check):
    text = convolution(
        "t = Conv<pads=[1,1,1,1]>(x, w, c)",
        "[other] z = Conv(x, v, c)",
        "float[2,4,6,6] y, float[2,4,4,4] z",
    )
    shapes = {"w": (4, 4, 3, 3), "v": (4, 4, 3, 3), "c": (4,)}
    assert check(FoldBatchNorm(), parse(text, **shapes, **STATISTICS)).ops == ["Conv", "Conv"]


@pytest.mark.parametrize("what", ["w", "mean"])
def test_declines_what_a_caller_can_change(parse, check, what):
    shapes = {"w": (4, 4, 3, 3), **STATISTICS}
    declared = "float[" + ",".join(map(str, shapes.pop(what))) + f"] {what}"
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w)")
    model = parse(text.replace(" x)", f" x, {declared})", 1), **shapes)
    done = check(FoldBatchNorm(), model)
    assert done.declined == [("bn", "weights or statistics are not constant")]


def test_declines_a_default_that_a_caller_can_override(parse, check):
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w)")
    text = text.replace(" x)", " x, float[4,4,3,3] w)", 1)
    model = parse(text, w=(4, 4, 3, 3), **STATISTICS)
    assert model.graph.inputs[1].const_value is not None
    done = check(FoldBatchNorm(), model)
    assert done.declined == [("bn", "weights or statistics are not constant")]


@pytest.mark.parametrize("before", ["Relu(x)", "MaxPool<kernel_shape=[1,1]>(x)"])
def test_declines_where_nothing_takes_the_weights(parse, check, before):
    done = check(FoldBatchNorm(), parse(convolution(f"t = {before}"), **STATISTICS))
    assert done.declined == [("bn", "no Conv, ConvTranspose or Gemm stands before it")]


def test_declines_a_normalisation_of_the_input(parse, check):
    text = f"g (float[2,4] x) => (float[2,4] y) {{ {norm('x')} }}"
    done = check(FoldBatchNorm(), parse(text, **STATISTICS))
    assert done.declined == [("bn", "no Conv, ConvTranspose or Gemm stands before it")]


def test_folds_into_a_convolution_whose_bias_is_left_empty(parse, check):
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w, )")
    model = parse(text, w=(4, 4, 3, 3), **STATISTICS)
    model.graph[0].resize_inputs(3)
    assert check(FoldBatchNorm(), model).ops == ["Conv"]


def test_leaves_the_weights_of_others_called_like_the_new_bias(parse, check):
    node = "t = Conv<pads=[1,1,1,1]>(x, w)"
    text = convolution(node, "z = Add(y, w_bias)", "float[2,4,6,6] z")
    model = parse(text, w=(4, 4, 3, 3), w_bias=(4, 1, 1), **STATISTICS)
    assert check(FoldBatchNorm(), model).ops == ["Conv", "Add"]


def test_declines_a_normalisation_that_trains(parse):
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w)").replace("y = B", "y, m, v = B")
    text = text.replace("Normalization(", "Normalization<training_mode=1>(")
    model = parse(text, w=(4, 4, 3, 3), **STATISTICS)
    result = FoldBatchNorm().apply(model, PassContext())
    reason = "it takes its statistics from the batch, as in training"
    assert (result.made, [note.reason for note in result.declined]) == ((), [reason])
    assert [node.op_type for node in model.graph] == ["Conv", "BatchNormalization"]


def test_declines_statistics_of_another_type(parse):
    halves = {"w": np.ones((4, 4, 3, 3), np.float16)}
    text = convolution("t = Conv<pads=[1,1,1,1]>(x, w)").replace("float[2", "float16[2")
    (declined,) = (
        FoldBatchNorm().apply(parse(text, **halves, **STATISTICS), PassContext()).declined
    )
    assert declined.reason == "weights and statistics are of different types"


def test_declines_weights_that_a_node_makes(parse, check):
    text = convolution(
        "w = Constant<value = float[4,1,1,1] {1,2,3,4}>() t = Conv<group=4>(x, w)"
    )
    reason = "weights or statistics are made by nodes, which fold-constants lifts"
    assert check(FoldBatchNorm(), parse(text, **STATISTICS)).declined == [("bn", reason)]


def test_what_is_folded_inside_a_subgraph_is_noted(parse, check):
    model = parse(
        "g (float[2,4,6,6] x, bool[1] c) => (float[2,4,4,4] y) { y = If(c)<"
        f"then_branch = a () => (float[2,4,4,4] p) {{ t = Conv(x, w) {norm('t', 'p')} }},"
        " else_branch = b () => (float[2,4,4,4] q) { q = Conv(x, w2) }> }",
        w=(4, 4, 3, 3),
        w2=(4, 4, 3, 3),
        **STATISTICS,
    )
    assert check(FoldBatchNorm(), model).made == [("bn", "folded")]
    assert [node.op_type for node in model.graph.all_nodes()] == ["If", "Conv", "Conv"]


@dataclass(frozen=True)
class ForgetsTheBias(FoldBatchNorm):
    """Folds as the real one does, then loses what the mean and beta add."""

    name: ClassVar[str] = "forgets-the-bias"

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        result = super().apply(model, ctx)
        bias = model.graph[0].inputs[2]
        bias.const_value = ir.tensor(np.zeros_like(bias.const_value.numpy()), name=bias.name)
        return result


def test_the_check_fails_a_wrong_fold(parse, check):
    model = parse(convolution("t = Conv<pads=[1,1,1,1]>(x, w)"), w=(4, 4, 3, 3), **STATISTICS)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(ForgetsTheBias(), model)


def test_lets_go_of_the_weights_it_made_anew_and_of_no_others(parse):
    weights = {"w": (4, 3, 3, 3), "v": (4, 4, 3, 3), "idle": (2,)}
    weights |= dict.fromkeys(("gamma", "beta", "mean", "var"), (4,))
    model = parse(
        "g (float[1,3,5,5] x) => (float[1,4,1,1] y) { t = Conv(x, w)"
        " n = BatchNormalization(t, gamma, beta, mean, var) c = Conv(n, v)"
        " y = BatchNormalization(c, gamma, beta, mean, var) }",
        **weights,
    )
    FoldBatchNorm().apply(model, PassContext())
    assert [node.op_type for node in model.graph] == ["Conv", "Conv"]
    read = {value.name for node in model.graph for value in node.inputs[1:]}
    assert set(model.graph.initializers) == {"idle", *read}


def test_outputs_keep_their_names(parse):
    model = parse(convolution("t = Conv<pads=[1,1,1,1]>(x, w)"), w=(4, 4, 3, 3), **STATISTICS)
    FoldBatchNorm().apply(model, PassContext())
    inputs = seeded_inputs(model, np.random.default_rng(0))
    assert list(run_reference(model, inputs)) == ["y"]


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fold-batch-norm"]) is FoldBatchNorm
    assert parse_pipeline("fold-batch-norm") == (FoldBatchNorm(),)
