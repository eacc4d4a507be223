import numpy as np
import pytest

from suture.codegen.groups.base import constant

CONV = (
    "g (float[1,8,6,6] x, float[8,8,3,3] w{more}) => (float[1,8,{size},{size}] y) {{ {body} }}"
)


def conv(body, more="", size=4):
    return CONV.format(body=body, more=more, size=size)


def test_a_convolution_takes_in_what_follows(grouped):
    told, model = grouped(
        conv("c = Conv(x, w) a = Add(c, r) y = Relu(a)", ", float[1,8,4,4] r"), "w"
    )
    assert told == ("Conv Add Relu",)
    (node,) = model.graph
    assert (node.domain, node.op_type) == ("suture", "SutureConv")
    assert node.attributes.get_string("activation") == "relu"
    assert [value is not None for value in node.inputs] == [True, True, False, True]


def test_constant_scales_and_shifts_of_channels_go_into_the_weights(grouped):
    text = conv(
        "c = Conv(x, w) m = Mul(c, k) a = Add(t, m) y = Relu(a)",
        ", float[8,1,1] k, float[1,8,1,1] t",
    )
    told, model = grouped(text, "w", "k", "t")
    assert told == ("Conv Mul Add Relu",)
    (node,) = model.graph
    given = model.graph.initializers
    _, weights, bias, _ = (
        None if each is None or each.const_value is None else each.const_value.numpy()
        for each in node.inputs
    )
    factors = given["k"].const_value.numpy().reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(weights, given["w"].const_value.numpy() * factors, rtol=1e-6)
    np.testing.assert_allclose(bias, given["t"].const_value.numpy().reshape(-1), rtol=1e-6)


def test_what_is_read_twice_stays_outside(grouped):
    told, model = grouped(conv("c = Conv(x, w) r = Relu(c) y = Add(c, r)"), "w")
    assert told == ("Conv",)
    assert [node.op_type for node in model.graph] == ["SutureConv", "Relu", "Add"]


def test_a_graph_output_stays_outside(grouped, parse):
    text = "g (float[1,8,6,6] x, float[8,8,3,3] w) => (float[1,8,4,4] c, float[1,8,4,4] y)"
    told, model = grouped(text + " { c = Conv(x, w) y = Relu(c) }", "w")
    assert told == ("Conv",)
    assert [value.name for value in model.graph.outputs] == ["c", "y"]


def test_a_clip_with_bounds_that_vary_stays_outside(grouped):
    told, _ = grouped(conv("c = Conv(x, w) y = Clip(c, low)", ", float low"), "w")
    assert told == ("Conv",)


@pytest.mark.parametrize(
    ("auto", "size", "pads"),
    [("SAME_UPPER", 6, [1, 1, 1, 1]), ("VALID", 4, [0, 0, 0, 0])],
)
def test_automatic_pads_become_numbers(grouped, auto, size, pads):
    _, model = grouped(conv(f'y = Conv<auto_pad = "{auto}">(x, w)', size=size), "w")
    (node,) = model.graph
    assert list(node.attributes.get_ints("pads")) == pads


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        (
            "g (float[1,8,6,6] x, float[8,8,3,3] w) => (float[1,8,4,4] y) { y = Conv(x, w) }",
            "",
        ),
        (
            "g (float[1,6,6,6,6] x, float[8,6,3,3,3] w) => (float[1,8,4,4,4] y) "
            "{ y = Conv(x, w) }",
            "w",
        ),
        ("g (float[3,4] x, float[4,5] w) => (float[3,5] y) { y = MatMul(x, w) }", ""),
        ("g (float[4,3] x, float[4,5] w) => (float[3,5] y) { y = Gemm<transA=1>(x, w) }", "w"),
    ],
)
def test_what_no_schedule_is_for_is_left_to_tvm(grouped, text, weights):
    told, _ = grouped(text, *weights)
    assert told == ()


def test_a_product_takes_its_bias_whether_gemm_or_add(grouped):
    text = "g (float[3,4] x, float[4,5] w, float[5] b) => (float[3,5] y)"
    told, model = grouped(text + " { m = MatMul(x, w) a = Add(b, m) y = Relu(a) }", "w", "b")
    assert told == ("MatMul Add Relu",)
    (node,) = model.graph
    assert node.inputs[2] is not None


def test_a_constant_takes_no_name_that_is_in_use(parse, with_weights):
    text = "g (float[2] x, float[2] w) => (float[2] y) { y = Add(x, w) }"
    model = with_weights(parse(text), ("w",))
    made = constant(model.graph[0], "w", np.zeros(2, np.float32))
    again = constant(model.graph[0], "w", np.ones(2, np.float32))
    assert (made.name, again.name) == ("w.1", "w.2")
    assert list(model.graph.initializers) == ["w", "w.1", "w.2"]
