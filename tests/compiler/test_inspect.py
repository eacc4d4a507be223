"""Work, weights and memory of models small enough to count by hand; a float is 4 bytes."""

import onnx_ir as ir
import pytest

from suture.compiler.component import Resources
from suture.compiler.inspect import elements, read_ports, read_resources
from suture.errors import ModelError

X = "g (float[1,4,8,8] x)"


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }", 6),
        ("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Add(x, z) }", 6),
        ("g (float[2,3] x) => (float[6] y) <int64[1] s = {6}> { y = Reshape(x, s) }", 0),
        ("g (float[2,3] x) => (float[2,3] y) { y = Identity(x) }", 0),
        ("g (float[5,3] x) => (float[5,7] y) <float[3,7] w> { y = MatMul(x, w) }", 210),
        ("g (float[2,5,3] x, float[2,3,7] z) => (float[2,5,7] y) { y = MatMul(x, z) }", 420),
        ("g (float[3] x) => (float[7] y) <float[3,7] w> { y = MatMul(x, w) }", 42),
        ("g (float[5,3] x) => (float[5,7] y) <float[3,7] w> { y = Gemm(x, w) }", 210),
        (
            "g (float[3,5] x) => (float[5,7] y) <float[7,3] w> "
            "{ y = Gemm<transA = 1, transB = 1>(x, w) }",
            210,
        ),
        # 6 maps of 8x8, each a sum of 4 maps of 3x3
        (
            f"{X} => (float[1,6,8,8] y) <float[6,4,3,3] w> "
            "{ y = Conv<pads = [1,1,1,1]>(x, w) }",
            2 * 6 * 64 * 4 * 9,
        ),
        # with a stride, a quarter of it; in two groups, half of that
        (
            f"{X} => (float[1,6,4,4] y) <float[6,2,3,3] w> "
            "{ y = Conv<pads = [1,1,1,1], strides = [2,2], group = 2>(x, w) }",
            2 * 6 * 16 * 2 * 9,
        ),
        # each of 4x8x8 inputs is added to 6 maps of 2x2
        (
            f"{X} => (float[1,6,16,16] y) <float[4,6,2,2] w> "
            "{ y = ConvTranspose<strides = [2,2]>(x, w) }",
            2 * 256 * 6 * 4,
        ),
        # 5 steps, four gates of 2 units fed by 3 inputs and 2 states
        (
            "g (float[5,1,3] x) => (float[5,1,1,2] y) <float[1,8,3] w, float[1,8,2] r> "
            "{ y = LSTM<hidden_size = 2>(x, w, r) }",
            2 * 5 * 8 * (3 + 2),
        ),
    ],
)
def test_work(parse, text, flops):
    assert read_resources(parse(text)).flops == flops


def test_work_of_a_branch_is_that_of_the_larger(parse):
    model = parse("""g (bool c, float[5,3] x) => (float[5,7] y) <float[3,7] w> {
        y = If (c) <
            then_branch = a () => (float[5,7] p) { p = MatMul(x, w) },
            else_branch = b () => (float[5,7] q) { t = MatMul(x, w) q = Relu(t) }> }""")
    assert read_resources(model).flops == 210 + 35


def test_weights(parse):
    model = parse("""g (float[N,3] x) => (float[N,7] y)
        <float[3,7] w, float[7] b, float scale = {2}>
        { t = Gemm(x, w, b) y = Mul(t, scale) }""")
    assert read_resources(model).params == 21 + 7 + 1


@pytest.mark.parametrize(
    ("text", "most"),
    [
        # input and output
        ("g (float[4] x) => (float[4] y) { y = Relu(x) }", 32),
        # a chain holds two values at a time
        ("g (float[4] x) => (float[4] y) { a = Relu(x) b = Exp(a) y = Neg(b) }", 32),
        # x waits for the sum
        ("g (float[4] x) => (float[4] y) { a = Relu(x) b = Exp(a) y = Add(b, x) }", 48),
        # an output stays
        (
            "g (float[4] x) => (float[4] a, float[4] y) { a = Relu(x) b = Exp(a) y = Neg(b) }",
            48,
        ),
        # an output that nobody reads does not stay: x, the values, the indices
        (
            "g (float[4] x) => (float[4] y) <int64[1] k = {2}> "
            "{ a, unread = TopK(x, k) b = Relu(x) y = Neg(b) }",
            16 + 8 + 16,
        ),
        # read twice by one node, freed once
        ("g (float[4] x) => (float[4] y) { a = Mul(x, x) b = Exp(a) y = Neg(b) }", 32),
        # other element types; weights are not activations
        (
            "g (uint8[4] x) => (double[4] y) <float[4] w> "
            "{ a = Cast<to = 11>(x) v = Cast<to = 11>(w) y = Mul(a, v) }",
            32 * 3,
        ),
    ],
)
def test_memory(parse, text, most):
    assert read_resources(parse(text)).peak_bytes == most


def test_what_a_branch_captures_stays_alive(parse):
    model = parse("""g (bool c, float[4] x) => (float[4] y) {
        a = Relu(x) b = Exp(x) d = Neg(b) e = Exp(d) f = Neg(a)
        y = If (c) <then_branch = t () => (float[4] p) { p = Add(a, e) },
            else_branch = u () => (float[4] q) { q = Relu(f) }> }""")
    assert read_resources(model).peak_bytes == 1 + 4 * 16  # at the If: c, a, e, f and y


def test_models_of_strings(parse):
    model = parse("g (string[2] x) => (string[2] y) { y = Identity(x) }")
    assert read_resources(model) == Resources(params=0, flops=0, peak_bytes=16)


def test_free_dimensions_count_as_one(parse):
    text = "g (float[{n},3] x) => (float[{n},7] y) <float[3,7] w> {{ y = MatMul(x, w) }}"
    free, single = (read_resources(parse(text.format(n=n))) for n in ("N", 1))
    assert free == single == Resources(params=21, flops=42, peak_bytes=12 + 28)


def test_a_component_of_the_example(digits):
    """digit-linear: 32x32 pixels pooled to 16x16, then ten sums of them."""
    resources = read_resources(
        ir.load(digits / "library" / "digit-linear" / "1.0.0" / "model.onnx")
    )
    assert resources == Resources(
        params=256 * 10 + 10, flops=256 + 2 * 256 * 10, peak_bytes=4 * (1024 + 256)
    )


def test_ports(parse):
    model = parse("""g (float16[N,3] a, string[2] s, bool b, uint8[?,1] u)
        => (float16[N,3] y) { y = Relu(a) }""")
    assert [str(port) for port in read_ports(model.graph.inputs)] == [
        "a:tensor float16[N,3]",
        "s:tensor str[2]",
        "b:tensor bool[]",
        "u:tensor uint8[u_0,1]",
    ]


def test_ports_without_a_type_or_a_rank():
    with pytest.raises(ModelError, match="has no element type") as caught:
        read_ports([ir.Value(name="v", shape=ir.Shape([1]))])
    assert caught.value.at.component == "v"
    with pytest.raises(ModelError, match="has no rank"):
        read_ports([ir.Value(name="v", type=ir.TensorType(ir.DataType.FLOAT))])


def test_elements():
    assert elements(ir.Value(name="v", shape=ir.Shape([2, "N", 3]))) == 6
    assert elements(ir.Value(name="v", shape=ir.Shape([]))) == 1
    assert elements(ir.Value(name="v")) == elements(None) == 0
