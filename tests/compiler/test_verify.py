import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.component import Port
from suture.compiler.verify import (
    QUANTISED_RTOL,
    RTOL,
    assert_equal,
    assert_equivalent,
    max_abs_error,
    run_reference,
    seeded_input,
    seeded_inputs,
    tolerance,
)
from suture.errors import RequestError, VerifyError

NETWORK = "net (float[N,4] x) => (float[N,3] y) <float[4,3] w> { y = MatMul(x, w) }"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def verify(want, got, **options):
    return assert_equal(
        {"y": np.asarray(want)}, {"y": np.asarray(got)}, what="model", **options
    )


def test_a_wrong_weight_is_caught(parse, rng):
    reference, wrong = parse(NETWORK), parse(NETWORK)
    inputs = seeded_inputs(reference, rng)
    assert assert_equivalent(reference, parse(NETWORK), inputs) == 0
    weight = wrong.graph.initializers["w"]
    numbers = weight.const_value.numpy().copy()
    numbers[2, 1] *= 1.01
    weight.const_value = ir.Tensor(numbers, name="w")
    with pytest.raises(VerifyError, match="of the output's magnitude") as caught:
        assert_equivalent(reference, wrong, inputs)
    assert (caught.value.at.component, caught.value.at.value) == ("net", "y")
    assert "at [0, 1]" in caught.value.message


def test_a_wrong_operator_is_caught(parse, rng):
    text = "net (float[2,4] x) => (float[2,4] y) {{ y = {}(x) }}"
    reference, wrong = parse(text.format("Ceil")), parse(text.format("Floor"))
    with pytest.raises(VerifyError):
        assert_equivalent(reference, wrong, seeded_inputs(reference, rng))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_differences_count_relative_to_the_greatest_magnitude(scale):
    want = np.array([0.0, -2.0, 1.0]) * scale
    near, far = want.copy(), want.copy()
    near[0] += 0.9 * RTOL * 2 * scale
    far[0] += 1.1 * RTOL * 2 * scale
    assert verify(want, near) == pytest.approx(0.9 * RTOL)
    with pytest.raises(VerifyError, match=r"at \[0\]"):
        verify(want, far)
    assert verify(want, far, rtol=1e-3) == pytest.approx(1.1 * RTOL)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_whole_numbers_are_exact(dtype):
    want = np.array([[1, 1], [0, 1]], dtype)
    assert verify(want, want.copy()) == 0
    got = want.copy()
    got[1, 0] = 1
    with pytest.raises(VerifyError, match=r"at \[1, 0\]"):
        verify(want, got, rtol=10.0)


def test_a_great_whole_number_off_by_one():
    with pytest.raises(VerifyError, match=r"1000001\) instead of"):
        verify(np.array([1_000_000]), np.array([1_000_001]))


def test_neighbours_that_float64_cannot_tell_apart():
    with pytest.raises(VerifyError, match=r"at \[0\]"):
        verify(np.array([2**60]), np.array([2**60 + 1]))


def test_text_is_compared():
    words = np.array(["a", "b"], object)
    assert verify(words, words.copy()) == 0
    with pytest.raises(VerifyError, match=r"'c' instead of 'b' at \[1\]"):
        verify(words, np.array(["a", "c"], object))


@pytest.mark.parametrize(
    ("want", "got", "equal"),
    [
        ([np.nan, 1.0], [np.nan, 1.0], True),
        ([np.nan, 1.0], [0.0, 1.0], False),
        ([0.0, 1.0], [np.nan, 1.0], False),
        ([np.inf, 1.0], [np.inf, 1.0], True),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([np.inf, 1.0], [1e30, 1.0], False),
        ([1.0, 1.0], [np.inf, 1.0], False),
        ([np.nan, np.inf], [np.nan, np.inf], True),
        ([np.inf, 1.0], [np.inf, 1.1], False),
    ],
)
def test_what_is_not_finite(want, got, equal):
    if equal:
        assert verify(want, got) == 0
    else:
        with pytest.raises(VerifyError):
            verify(want, got)


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (np.zeros((1, 2), np.float32), r"float32\[1, 2\] instead of float32\[2\]"),
        (np.zeros(2), r"float64\[2\] instead of float32\[2\]"),
    ],
)
def test_another_shape_or_type(got, message):
    with pytest.raises(VerifyError, match=message):
        verify(np.zeros(2, np.float32), got)


def test_a_missing_output():
    with pytest.raises(VerifyError, match="this output is missing") as caught:
        assert_equal({"y": np.zeros(2)}, {"z": np.zeros(2)}, what="model")
    assert str(caught.value.at) == "model/y"


def test_nothing_equals_nothing():
    assert verify(np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_every_output_is_compared():
    want = {"a": np.ones(2), "b": np.ones(2)}
    with pytest.raises(VerifyError) as caught:
        assert_equal(want, {"a": np.ones(2), "b": np.array([1.0, 2.0])}, what="model")
    assert caught.value.at.value == "b"
    close = {"a": np.ones(2), "b": np.array([1.0, 1 + 1e-5])}
    assert assert_equal(want, close, what="model") == pytest.approx(1e-5)


def test_the_greatest_difference():
    want = {"a": np.array([1.0, np.nan, np.inf]), "b": np.array([3, 4])}
    assert max_abs_error(want, want) == 0
    assert max_abs_error(want, {**want, "b": np.array([3, 9])}) == 5
    assert max_abs_error(want, {**want, "a": np.array([1.0, 0.0, np.inf])}) == np.inf


@pytest.mark.parametrize(
    ("dtype", "span", "low", "high"),
    [
        ("float32", (0.0, 1.0), 0.0, 1.0),
        ("float16", (-3.0, -1.0), -3.0, -1.0),
        ("uint8", (0.0, 255.0), 0, 255),
        ("int64", None, 0, 9),
        ("int8", (-2.0, 2.0), -2, 2),
        ("bool", None, 0, 1),
    ],
)
def test_seeded_numbers_fit_their_port(rng, dtype, span, low, high):
    port = Port(name="x", kind="tensor", dtype=dtype, shape=("N", 200), range=span)
    numbers = seeded_input(port, rng, free=20)
    assert (numbers.shape, numbers.dtype) == ((20, 200), np.dtype(dtype))
    assert low <= numbers.min() < numbers.max() <= high
    if numbers.dtype.kind != "f":
        assert (numbers.min(), numbers.max()) == (low, high)
    again = seeded_input(port, np.random.default_rng(0), free=20)
    np.testing.assert_array_equal(numbers, again)


def test_floats_without_a_range_are_normal(rng):
    port = Port(name="x", kind="tensor", dtype="float32", shape=(10_000,))
    numbers = seeded_input(port, rng)
    assert abs(numbers.mean()) < 0.05
    assert abs(numbers.std() - 1) < 0.05


def test_text_cannot_be_drawn(rng):
    port = Port(name="words", kind="text", dtype="str", shape=(1,))
    with pytest.raises(RequestError, match="no numbers of type str") as caught:
        seeded_input(port, rng)
    assert caught.value.at.component == "words"


@pytest.mark.parametrize(("kernel", "free"), [(1, 1), (5, 16), (40, 512)])
def test_free_sizes_grow_until_the_model_runs(parse, rng, kernel, free):
    text = f"""net (float[1,1,H,8] x) => (float[1,1,a,b] y) {{
        y = MaxPool<kernel_shape=[{kernel},1]>(x) }}"""
    assert seeded_inputs(parse(text), rng)["x"].shape == (1, 1, free, 8)


def test_a_model_that_runs_with_no_size(parse, rng):
    text = """net (float[N,3] x) => (float[N,4] y) {
        k = Constant<value=int64[2] {7,11}>() r = Reshape(x, k) y = Identity(r) }"""
    with pytest.raises(VerifyError, match="ONNX Runtime cannot run it") as caught:
        seeded_inputs(parse(text), rng)
    assert "--input" in caught.value.hint


def test_scalar_flags_can_be_fed(parse, rng):
    model = parse("net (float[4] x, bool c) => (float[4] y) { y = Where(c, x, x) }")
    inputs = seeded_inputs(model, rng)
    np.testing.assert_array_equal(run_reference(model, inputs)["y"], inputs["x"])


@pytest.mark.parametrize(("dtype", "room"), [("float16", 4e-3), ("float32", RTOL)])
def test_a_type_is_not_held_to_more_than_it_can_tell_apart(dtype, room):
    want = np.ones(2, dtype)
    assert 0 < verify(want, (want * np.array([1, 1 - 0.7 * room])).astype(dtype)) < room
    with pytest.raises(VerifyError, match=r"at \[1\]"):
        verify(want, (want * np.array([1, 1 - 1.3 * room])).astype(dtype))


def test_inputs_that_a_pass_removed_are_left_out(parse):
    model = parse("net (float[2] x) => (float[2] y) { y = Neg(x) }")
    outputs = run_reference(model, {"x": np.ones(2, np.float32), "gone": np.ones(1)})
    np.testing.assert_array_equal(outputs["y"], [-1, -1])


def test_models_that_quantise_may_be_off_by_some_quanta(parse):
    plain = parse("net (float[2] x) => (float[2] y) { y = Neg(x) }")
    text = """net (float[2] x, float s, uint8 z) => (float[2] y) {
        q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"""
    assert tolerance(plain) == RTOL
    assert tolerance(parse(text)) == QUANTISED_RTOL > RTOL
