import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import exchange
from suture.passes.fuse.normalization import FoldNormalization
from suture.passes.fuse.sinking import SinkArithmetic
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

RGB = (3, 1, 1)


def image(nodes, inputs="float[2,8,8,3] x", outputs="float[N,C,H,W] y"):
    return f"g ({inputs}) => ({outputs}) {{ {nodes} }}"


@pytest.mark.parametrize("node", ["Mul(x, k)", "Div(x, k)", "Add(k, x)", "Sub(k, x)"])
@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 3), (1, 1, 1, 3)])
def test_moves_past_a_transpose_into_a_convolution(parse, check, node, shape):
    nodes = f"[n] t = {node} [turn] u = Transpose<perm=[0,3,1,2]>(t) [conv] y = Conv(u, w)"
    k = np.float32(np.random.default_rng(1).uniform(1, 2, shape))
    model = parse(image(nodes), k=k, w=(4, 3, 3, 3))
    done = check(SinkArithmetic(), model)
    assert (done.ops[0], done.ops[2], len(done.ops)) == ("Transpose", "Conv", 3)
    assert done.made == [("n", "moved behind turn")]
    assert check(FoldNormalization(), model).ops == ["Transpose", "Conv"]


def test_a_chain_keeps_its_order(parse, check):
    nodes = (
        "t = Mul(x, s) u = Sub(t, mean) v = Div(u, std)"
        " h = Transpose<perm=[2,0,1]>(v) i = Unsqueeze(h, first) y = Conv(i, w)"
    )
    model = parse(
        image(nodes, "float[H,W,3] x"),
        s=np.float32(1 / 255),
        mean=(3,),
        std=(3,),
        first=np.array([0]),
        w=(4, 3, 3, 3),
    )
    record = PassManager([SinkArithmetic()]).run(model)[0]
    assert len(record.made) == 3
    ops = [node.op_type for node in model.graph]
    assert ops == ["Transpose", "Unsqueeze", "Mul", "Sub", "Div", "Conv"]


@pytest.mark.parametrize(
    ("between", "shapes"),
    [
        ("u = Resize<mode=\"linear\">(t, , , sizes)", {"sizes": np.array([1, 3, 12, 5])}),
        ("u = Resize<mode=\"nearest\">(t, , scales)", {"scales": np.float32([1, 1, 2, 2])}),
        ("u = AveragePool<kernel_shape=[2,2], pads=[1,1,1,1]>(t)", {}),
        ("u = MaxPool<kernel_shape=[2,2]>(t)", {}),
        ("u = Relu(t)", {}),
        ("u = Pad(t, ends)", {"ends": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
        ("a = Transpose<perm=[0,1,3,2]>(t) u = Reshape(a, shape)",
         {"shape": np.array([1, 3, 4, 16])}),
    ],
    ids=["linear", "nearest", "average", "maximum", "relu", "pad", "layouts"],
)  # fmt: skip
def test_a_factor_a_channel_moves_past(parse, check, between, shapes):
    text = image(f"[n] t = Div(x, std) {between} y = Conv(u, w)", "float[1,3,8,8] x")
    model = parse(text, std=RGB, w=(4, 3, 2, 2), **shapes)
    done = check(SinkArithmetic(), model)
    assert done.ops[-2:] == ["Div", "Conv"]
    assert check(FoldNormalization(), model).ops[-1] == "Conv"


@pytest.mark.parametrize(
    "node", ["Mul(x, k)", "Div(x, k)", "Add(x, k)", "Sub(x, k)", "Sub(k, x)"]
)
@pytest.mark.parametrize("k", [0.5, -3.0])
@pytest.mark.parametrize("bounds", ["low, high", "low", ", high"])
def test_bounds_change_with_what_moves_past_them(parse, check, node, k, bounds):
    nodes = f"[n] t = {node} u = Clip(t, {bounds}) y = Conv(u, w)"
    given = {"low": np.float32(-0.5), "high": np.float32(1)}
    given = {name: number for name, number in given.items() if name in bounds}
    model = parse(image(nodes, "float[1,3,8,8] x"), k=np.float32(k), w=(4, 3, 3, 3), **given)
    assert check(SinkArithmetic(), model).ops[0] == "Clip"
    assert check(FoldNormalization(), model).ops == ["Clip", "Conv"]


@pytest.mark.parametrize("shape", [(), (1, 3, 1, 1), (1, 3, 8, 8)])
def test_moves_past_a_flatten_into_a_product(parse, check, shape):
    nodes = "[n] t = Sub(x, k) u = Flatten(t) y = Gemm(u, w, b)"
    text = image(nodes, "float[2,3,8,8] x", "float[2,5] y")
    model = parse(text, k=shape, w=(192, 5), b=(5,))
    assert check(SinkArithmetic(), model).ops == ["Flatten", "Sub", "Gemm"]
    assert check(FoldNormalization(), model).ops == ["Flatten", "Gemm"]


def test_moves_to_arithmetic_of_its_kind(parse, check):
    nodes = "[n] t = Mul(x, s) u = Resize(t, , , sizes) v = Add(u, o) w = Div(v, s) y = Exp(w)"
    model = parse(
        image(nodes, "float[1,3,8,8] x"),
        s=np.float32(255),
        o=np.float32(1),
        sizes=np.array([1, 3, 4, 4]),
    )
    assert check(SinkArithmetic(), model).ops == ["Resize", "Mul", "Add", "Div", "Exp"]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("[n] t = Add(x, k) u = MaxPool<kernel_shape=[2,2]>(t)",
         "an offset cannot move past MaxPool"),
        ("[n] t = Mul(x, minus) u = Relu(t)",
         "a scale that is not positive cannot move past Relu"),
        ("[n] t = Mul(x, s) u = Clip(t, one)", "the bounds are the same for all channels"),
        ("[n] t = Mul(x, s) u = Pad(t, ends, one)",
         "a scale cannot move past padding that is not zero"),
        ("[n] t = Mul(x, line) u = Resize(t, , scales)",
         "the constant varies over what Resize changes"),
        ("[n] t = Mul(x, s) u = Resize(t, , three)", "Resize may change the channels"),
        ("[n] t = Mul(x, s) u = Reshape(t, mixed)", "the constant would grow"),
        ("[n] t = Add(x, whole) u = Transpose<perm=[1,0,2,3]>(t)",
         "the constant may give the value its shape"),
    ],
    ids=["offset", "negative", "clip", "pad", "line", "channels", "mixed", "shape"],
)  # fmt: skip
def test_declines(parse, check, nodes, reason):
    numbers = {
        "k": RGB,
        "s": RGB,
        "minus": np.float32(-1),
        "one": np.float32(1),
        "ends": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "line": (8,),
        "scales": np.float32([1, 1, 2, 2]),
        "three": np.float32([1, 1.3, 1, 1]),
        "mixed": np.array([1, 3, 64, 1])[[0, 2, 1, 3]],
        "whole": (3, 3, 8, 8),
    }
    read = nodes.replace("(", " ").replace(")", " ").replace(",", " ").split()
    given = {name: each for name, each in numbers.items() if name in read}
    channels = 64 if "mixed" in nodes else 1 if "whole" in nodes else 3
    text = image(f"{nodes} y = Conv(u, w)", "float[1,3,8,8] x")
    model = parse(text, w=(4, 3 if channels == 1 else channels, 1, 1), **given)
    done = check(SinkArithmetic(), model)
    assert (done.made, done.declined) == ([], [("n", reason)])


@pytest.mark.parametrize(
    "nodes",
    [
        "t = Mul(x, s) u = Transpose(t) y = Exp(u)",
        "t = Add(x, s) u = Transpose(t) y = Conv<pads=[1,1,1,1]>(u, w)",
        "t = Add(x, s) u = Transpose(t) v = Mul(u, s) y = Exp(v)",
        "t = Mul(x, s) u = Transpose(t) v = Conv(u, w) z = Exp(t) y = Add(v, z)",
        "t = Mul(x, s) y = Conv(t, w)",
    ],
    ids=["no layer", "padded", "other kind", "read twice", "there already"],
)
def test_leaves_alone_what_nothing_takes_in(parse, check, nodes):
    weights = {"w": (1, 1, 1, 1)} if "w)" in nodes else {}
    model = parse(image(nodes, "float[1,1,1,1] x"), s=np.float32(2), **weights)
    ops = [node.op_type for node in model.graph]
    done = check(SinkArithmetic(), model)
    assert (done.ops, done.made, done.declined) == (ops, [], [])


def test_an_output_keeps_its_name(parse, check):
    nodes = "t = Mul(x, s) u = Transpose(t) y = Mul(u, s)"
    model = parse(image(nodes, "float[1,2,3,4] x"), s=np.float32(2))
    assert check(SinkArithmetic(), model).ops == ["Transpose", "Mul", "Mul"]
    assert [value.name for value in model.graph.outputs] == ["y"]


def test_the_check_fails_bounds_left_as_they_were(parse, check, monkeypatch):
    monkeypatch.setattr(exchange, "_undone", lambda *_: [np.float32(0), np.float32(1)])
    nodes = "t = Mul(x, s) u = Clip(t, low, high) y = Conv(u, w)"
    numbers = {"s": np.float32(4), "low": np.float32(0), "high": np.float32(1)}
    model = parse(image(nodes, "float[1,3,8,8] x"), w=(4, 3, 3, 3), **numbers)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(SinkArithmetic(), model)


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["sink-arithmetic"]) is SinkArithmetic
    assert parse_pipeline("sink-arithmetic") == (SinkArithmetic(),)
