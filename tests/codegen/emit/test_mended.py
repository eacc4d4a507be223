"""Operators that TVM's importer gets wrong, against ONNX Runtime."""

import numpy as np
import pytest

from suture.compiler.verify import assert_equal, run_reference

EDGES = [0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 3.25]


@pytest.fixture
def check(tvm_backend, target, tmp_path):
    def check(model, inputs, expected=None):
        compiled = tvm_backend.compile(model, target, tmp_path)
        answers = tvm_backend.load(compiled, model, threads=1)(inputs)
        expected = run_reference(model, inputs) if expected is None else expected
        assert_equal(expected, answers, what="tvm", rtol=1e-6)
        return answers

    return check


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("negative", [0, 1])
def test_which_infinity_is_asked_for(check, parse, positive, negative):
    attributes = f"<detect_positive = {positive}, detect_negative = {negative}>"
    model = parse(f"g (float[8] x) => (bool[8] y) {{ y = IsInf{attributes}(x) }}")
    answers = check(model, {"x": np.array(EDGES, np.float32)})
    assert answers["y"].sum() == positive + negative


def test_a_remainder_has_the_sign_of_its_divisor(check, parse):
    model = parse("g (float[64] x, float[64] y) => (float[64] z) { z = Mod(x, y) }", 13)
    x, y = np.array(np.meshgrid(EDGES, EDGES), np.float32).reshape(2, 64)
    with np.errstate(invalid="ignore"):
        expected = {"z": np.mod(x, y)}
    answers = check(model, {"x": x, "y": y}, expected)
    kept = ~np.isnan(expected["z"])
    np.testing.assert_array_equal(
        np.signbit(answers["z"][kept]), np.signbit(expected["z"][kept])
    )


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_bits_shifted_out_are_gone(check, parse, direction, bits):
    kind = f"uint{bits}"
    model = parse(
        f"g ({kind}[5] x, {kind}[5] y) => ({kind}[5] z) "
        f'{{ z = BitShift<direction = "{direction}">(x, y) }}'
    )
    numbers = np.array([200, 1, 255, 7, 9], kind)
    far = np.array([0, 1, bits - 1, bits, 200], kind)
    shift = np.left_shift if direction == "LEFT" else np.right_shift
    expected = np.where(far < bits, shift(numbers, np.minimum(far, bits - 1)), 0).astype(kind)
    check(model, {"x": numbers, "y": far}, {"z": expected})


@pytest.mark.parametrize(
    ("base", "exponent"),
    [("int32", "int64"), ("int64", "float"), ("float", "int32"), ("float16", "float")],
)
def test_powers_of_two_types(check, parse, base, exponent):
    model = parse(f"g ({base}[4] x, {exponent}[4] y) => ({base}[4] z) {{ z = Pow(x, y) }}")
    kinds = {"float": np.float32}
    x = np.array([2, 3, 5, 1], kinds.get(base, base))
    y = np.array([3, 2, 1, 0], kinds.get(exponent, exponent))
    check(model, {"x": x, "y": y}, {"z": np.power(x.astype(np.float64), y).astype(x.dtype)})


def test_bits_seen_as_another_type(check, parse):
    text = "g (float[2, 2] x) => (uint32[2, 2] y) { y = BitCast<to = 12>(x) }"
    x = np.array([[1, -0.0], [np.inf, 1e-40]], np.float32)
    check(parse(text, 26), {"x": x}, {"y": x.view(np.uint32)})


def test_ones_on_a_diagonal(check, parse):
    text = "g (int32[3, 4] x) => (double[3, 4] y) { y = EyeLike<dtype = 11, k = 1>(x) }"
    check(parse(text), {"x": np.zeros((3, 4), np.int32)}, {"y": np.eye(3, 4, 1)})


def test_axes_of_no_elements(check, parse):
    text = "g (float[0, 3] x, float[2, 3] y) => (float[2, 3] z) { z = Concat<axis = 0>(x, y) }"
    y = np.arange(6, dtype=np.float32).reshape(2, 3)
    check(parse(text), {"x": np.zeros((0, 3), np.float32), "y": y})
