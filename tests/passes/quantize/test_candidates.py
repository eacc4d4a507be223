"""What can go into 8 bits, and why the rest cannot."""

import numpy as np
import pytest

from suture.passes.quantize.candidates import find_units, is_quantised

WEIGHTS = {"w": (8, 4, 3, 3), "b": (8,)}


def test_convolutions_and_products(parse):
    model = parse(
        """g (float[1,4,6,6] x) => (float[1,5] y, float[1,8,4,7] z) { c = Conv(x, w, b)
        f = Flatten(c) y = Gemm<transB=1>(f, g, h) z = MatMul(c, m) }""",
        **WEIGHTS,
        g=(5, 128),
        h=(5,),
        m=(4, 7),
    )
    units, declined = find_units(model)
    assert declined == ()
    assert [(unit.nodes, unit.weight, unit.axis) for unit in units] == [
        (("c",), "w", 0),
        (("y",), "g", 0),
        (("z",), "m", 1),
    ]
    assert units[0].flops == 2 * 8 * 16 * 36


def test_those_that_read_the_same_weights_go_together(parse):
    model = parse(
        """g (float[1,4,6,6] x, float[1,4,8,8] t) => (float[1,8,4,4] y, float[1,8,6,6] z)
        { y = Conv(x, w, b) z = Conv(t, w) }""",
        **WEIGHTS,
    )
    (unit,), declined = find_units(model)
    assert unit.nodes == ("y", "z")
    assert declined == ()


CONV = "g (float[1,4,6,6] x) => (float[1,8,4,4] y) {{ y = Conv{}(x, w) }}"
REASONS = {
    "groups": (CONV.format("<group=2>"), {"w": (8, 2, 3, 3)}, "groups of several channels"),
    "one channel": (
        "g (float[1,2,6,6] x) => (float[1,8,4,4] y) { y = Conv(x, w) }",
        {"w": (8, 2, 3, 3)},
        "of four channels that a step multiplies in 8 bits it has 2",
    ),
    "one axis": (
        "g (float[1,4,6] x) => (float[1,8,4] y) { y = Conv(x, w) }",
        {"w": (8, 4, 3)},
        "only convolutions of two axes",
    ),
    "free size": (
        "g (float[1,4,6,n] x) => (float[1,8,4,m] y) { y = Conv(x, w) }",
        {"w": (8, 4, 3, 3)},
        "sizes are not known",
    ),
    "float16": (
        "g (float16[1,4] x) => (float16[1,8] y) { y = MatMul(x, w) }",
        {"w": np.ones((4, 8), np.float16)},
        "numbers are float16, not float",
    ),
    "float64": (
        "g (double[1,4] x) => (double[1,8] y) { y = MatMul(x, w) }",
        {"w": np.ones((4, 8))},
        "numbers are double, not float",
    ),
    "weights are an input": (
        "g (float[1,4] x, float[4,8] w) => (float[1,8] y) { y = MatMul(x, w) }",
        {},
        "weights are not constant",
    ),
    "weights can be overridden": (
        "g (float[1,4] x, float[4,8] w) => (float[1,8] y) { y = MatMul(x, w) }",
        {"w": (4, 8)},
        "weights are not constant",
    ),
    "both vary": (
        "g (float[4,4] x) => (float[4,4] y) { y = MatMul(x, x) }",
        {},
        "weights are not constant",
    ),
    "constant on the left": (
        "g (float[4,4] x) => (float[2,4] y) { y = MatMul(w, x) }",
        {"w": (2, 4)},
        "what it multiplies is constant",
    ),
    "infinite": (
        "g (float[1,4] x) => (float[1,8] y) { y = MatMul(x, w) }",
        {"w": np.full((4, 8), np.inf, np.float32)},
        "not all of its weights are finite",
    ),
    "zero": (
        "g (float[1,4] x) => (float[1,8] y) { y = MatMul(x, w) }",
        {"w": np.zeros((4, 8), np.float32)},
        "weights are all zero",
    ),
    "scaled": (
        "g (float[1,4] x) => (float[1,8] y) { y = Gemm<alpha=0.5>(x, w) }",
        {"w": (4, 8)},
        "a scaled or transposed product",
    ),
    "three axes": (
        "g (float[2,3,4] x) => (float[2,3,8] y) { y = MatMul(x, w) }",
        {"w": (2, 4, 8)},
        "only products by a matrix",
    ),
    "read by others": (
        """g (float[1,4] x) => (float[1,8] y, float[4,8] z)
        { y = MatMul(x, w) z = Neg(w) }""",
        {"w": (4, 8)},
        "others read its weights too",
    ),
    "of two kinds": (
        """g (float[1,4] x) => (float[1,4] y, float[1,4] z)
        { y = MatMul(x, w) z = Gemm<transB=1>(x, w) }""",
        {"w": (4, 4)},
        "others read its weights too",
    ),
    "in a branch": (
        """g (float[1,4] x, bool c) => (float[1,4] y) { y = If(c) <
        then_branch = t () => (float[1,4] a) { a = MatMul(x, w) },
        else_branch = e () => (float[1,4] d) { d = Neg(x) }> }""",
        {"w": (4, 4)},
        "it is inside of another node",
    ),
}


@pytest.mark.parametrize(("text", "weights", "reason"), REASONS.values(), ids=REASONS)
def test_why_not(parse, text, weights, reason):
    units, declined = find_units(parse(text, **weights))
    assert units == ()
    assert {reason in note.reason for note in declined} == {True}


def test_what_is_quantised_already(parse):
    text = "g (float[4] x) => (float[4] y) {{ {} }}"
    assert not is_quantised(parse(text.format("y = Neg(x)")))
    scale = {"s": np.float32(0.1)}
    body = "q = QuantizeLinear(x, s) y = DequantizeLinear(q, s)"
    assert is_quantised(parse(text.format(body), **scale))
