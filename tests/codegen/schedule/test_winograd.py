from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from suture.codegen.pipeline import PIPELINE
from suture.codegen.schedule.base import WIDTHS, Epilogue, ceil_div
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.winograd import Winograd, bears, fits
from suture.codegen.schedule.winograd_transforms import TRANSFORMS
from suture.compiler.spec import build_spec, format_spec, parse_spec

IMAGE = {
    2: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    4: [
        *([4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]),
        *([0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]),
    ],
}
SUMS = {
    2: [[1, 1, 1, 0], [0, 1, -1, -1]],
    4: [
        *([1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0]),
        *([0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]),
    ],
}
"""m → Bᵀ and Aᵀ of F(m, 3) as Lavin and Gray print them."""
EPSILON = {2: 2e-7, 4: 2e-6}
"""m → error of what is mended, of the greatest sum of absolute values in the convolution."""


def convolution(**given):
    given = {"kernel": (3, 3), "pads": (1, 1, 1, 1)} | given
    return ConvShape(**given)


SHAPES = {
    "inner tiles and borders": convolution(channels=20, height=15, width=18, filters=24),
    "no pads": convolution(channels=8, height=10, width=14, filters=40, pads=(0, 0, 0, 0)),
    "lopsided pads": convolution(
        channels=9, height=7, width=13, filters=17, pads=(2, 0, 1, 3)
    ),
    "one row": convolution(channels=16, height=1, width=9, filters=16),
    "one pixel": convolution(channels=1, height=3, width=3, filters=1, pads=(0, 0, 0, 0)),
    "several blocks": convolution(channels=256, height=20, width=22, filters=16),
}


@pytest.fixture(scope="session")
def check(run, block):
    """Run a schedule and compare it with the convolution added up in float64."""

    def check(schedule, shape, processor, epilogue, seed=0):
        vectors, target = processor
        rng = np.random.default_rng(seed)
        image = rng.standard_normal((shape.channels, shape.height, shape.width))
        weights = rng.standard_normal((shape.filters, shape.channels, 3, 3))
        bias = rng.standard_normal(shape.filters)
        residual = rng.standard_normal((shape.filters, *shape.out))
        image, weights, bias, residual = (
            each.astype(np.float32) for each in (image, weights, bias, residual)
        )
        blocks = ceil_div(shape.filters, vectors.lanes)
        padded = np.zeros(blocks * vectors.lanes, np.float32)
        padded[: shape.filters] = bias
        packed = schedule.pack(weights, shape, vectors)
        assert packed.nbytes == schedule.packed_bytes(shape, vectors)
        arrays = [block(image, vectors), packed]
        arrays += [padded] * epilogue.bias + [block(residual, vectors)] * epilogue.residual
        kernel = schedule.kernel(shape, epilogue, vectors)
        out = run(kernel, arrays, (blocks, *shape.out, vectors.lanes), target)
        plain = out.transpose(0, 3, 1, 2).reshape(-1, *shape.out)
        sums, _ = convolved(shape, image, weights)
        wanted = sums
        wanted = wanted + bias[:, None, None] * epilogue.bias + residual * epilogue.residual
        if epilogue.activation == "relu":
            wanted = np.maximum(wanted, 0)
        if epilogue.activation == "clip":
            wanted = np.clip(wanted, epilogue.low, epilogue.high)
        error = np.abs(plain[: shape.filters] - wanted).max()
        assert error <= rounding(shape, image, weights, schedule.outputs)

    return check


def convolved(shape, image, weights):
    """The convolution in float64, and the greatest sum of absolute values in it."""
    top, left, bottom, right = shape.pads
    padded = np.pad(image.astype(float), ((0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    sums = np.einsum("cyxij,fcij->fyx", windows, weights.astype(float), optimize=True)
    absolute = np.einsum("cyxij,fcij->fyx", abs(windows), abs(weights), optimize=True)
    return sums, absolute.max()


def rounding(shape, image, weights, outputs):
    """The error that float32 may make, roundings being independent of each other.

    Each is of 2⁻²⁴ of what it rounds, whose magnitude the transforms of squares tell
    (Higham and Mary, SIAM J. Sci. Comput. 2019): some in the transforms, one more for each
    channel that is added up, of which the root counts. The same algorithm in NumPy's float32
    came to 3.8, 5.3, 11 and 26 times that for 1, 9, 64 and 256 channels.
    """
    (top, left, *_), reads = shape.pads, outputs + 2
    tall, wide = (-(-size // outputs) * outputs + 2 for size in shape.out)
    padded = np.zeros((shape.channels, *(max(tall, image.shape[1] + top),
                                         max(wide, image.shape[2] + left))))  # fmt: skip
    padded[:, top : top + image.shape[1], left : left + image.shape[2]] = image
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (reads, reads), axis=(1, 2))
    tiles = tiles[:, ::outputs, ::outputs] ** 2
    b, a = (np.array(each[outputs], float) ** 2 for each in (IMAGE, SUMS))
    g = TRANSFORMS[outputs].weights
    u = np.einsum("ai,fcij,bj->fcab", g, weights.astype(float), g, optimize=True) ** 2
    v = np.einsum("ai,cyxij,bj->cyxab", b, tiles, b, optimize=True)
    most = np.einsum("ka,fcab,cyxab,lb->fyxkl", a, u, v, a, optimize=True).max()
    return 2.0**-24 * (4 + 2 * np.sqrt(shape.channels)) * np.sqrt(most)


EVERYTHING = Epilogue(bias=True, residual=True, activation="clip", low=-1.0, high=20.0)


@pytest.mark.parametrize("name", SHAPES)
def test_every_value_computes_the_right_answer(name, processor, check):
    shape = SHAPES[name]
    space = Winograd.space(shape, processor[0])
    assert {schedule.outputs for schedule in space} == {2, 4}
    assert len(set(space)) == len(space)
    for schedule in space if name == "one row" else space[1::6]:
        check(schedule, shape, processor, EVERYTHING)


@pytest.mark.parametrize(
    "epilogue",
    [Epilogue(), Epilogue(bias=True), Epilogue(residual=True, activation="relu")],
    ids=str,
)
def test_every_epilogue(epilogue, processor, check):
    shape = SHAPES["inner tiles and borders"]
    for outputs in TRANSFORMS:
        check(best(shape, processor, outputs), shape, processor, epilogue)


@pytest.mark.parametrize("name", SHAPES)
def test_two_threads_share_blocks_or_what_is_in_the_only_one(name, two_threads, check):
    shape = SHAPES[name]
    for schedule in Winograd.space(shape, two_threads[0])[::3]:
        kernel = schedule.kernel(shape, EVERYTHING, two_threads[0])
        assert "T.parallel(" in kernel.script()
        check(schedule, shape, two_threads, EVERYTHING)


def best(shape, processor, outputs):
    space = Winograd.space(shape, processor[0])
    return next(schedule for schedule in space if schedule.outputs == outputs)


@settings(max_examples=8, deadline=None)
@given(
    channels=st.integers(1, 40),
    filters=st.integers(1, 40),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    outputs=st.sampled_from([2, 4]),
    data=st.data(),
)
def test_any_shape(processor, check, outputs, data, **given_shape):
    shape = convolution(**given_shape)
    assume(min(shape.out) > 0)
    space = Winograd.space(shape, processor[0])
    schedule = data.draw(st.sampled_from([s for s in space if s.outputs == outputs]))
    check(schedule, shape, processor, Epilogue(bias=True, activation="relu"))


@pytest.mark.parametrize("block", [12, 24], ids=["blocks shared", "filters shared"])
def test_threads_change_no_bit(block):
    shape = SHAPES["no pads"]
    rng = np.random.default_rng(3)
    vectors = WIDTHS["x86-64-v3"]
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 1})
    schedule = Winograd(outputs=2, rows=4, columns=16, block=block)
    weights = rng.standard_normal((40, 8, 3, 3)).astype(np.float32)
    image = rng.standard_normal((1, 10, 14, 8)).astype(np.float32)
    answers = []
    for threads in (1, 2):
        processor = replace(vectors, threads=threads)
        kernel = schedule.kernel(shape, Epilogue(), processor)
        assert ("parallel" in kernel.script()) == (threads > 1)
        library = tvm.compile(kernel.with_attr("global_symbol", "main"), target=target)
        given = (image, schedule.pack(weights, shape, vectors))
        out = np.full((5, *shape.out, 8), np.nan, np.float32)
        tensors = [tvm.runtime.tensor(each) for each in (*given, out)]
        library["main"](*tensors)
        answers.append(tensors[-1].numpy())
    np.testing.assert_array_equal(*answers)


@pytest.fixture(scope="session")
def compute(run, block):
    """Run a schedule without an epilogue: image, weights → sums."""

    def compute(schedule, shape, processor, image, weights):
        vectors, target = processor
        arrays = [block(image, vectors), schedule.pack(weights, shape, vectors)]
        blocks = ceil_div(shape.filters, vectors.lanes)
        kernel = schedule.kernel(shape, Epilogue(), vectors)
        out = run(kernel, arrays, (blocks, *shape.out, vectors.lanes), target)
        return out.transpose(0, 3, 1, 2).reshape(-1, *shape.out)[: shape.filters]

    return compute


def assert_flows(made, shape, image, weights, outputs):
    """Infinities and what is no number are where they belong, and all else is as exact."""
    with np.errstate(invalid="ignore"):
        wanted, _ = convolved(shape, image, weights)
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(made[~finite], wanted[~finite])
    _, magnitude = convolved(shape, np.nan_to_num(image, posinf=0, neginf=0), weights)
    assert np.abs(made[finite] - wanted[finite]).max(initial=0) <= EPSILON[outputs] * magnitude


@settings(max_examples=6, deadline=None)
@given(
    name=st.sampled_from([name for name in SHAPES if name != "several blocks"]),
    outputs=st.sampled_from([2, 4]),
    numbers=st.lists(st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1, max_size=6),
    zeros=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_what_is_not_finite_flows_as_in_a_direct_convolution(
    processor, compute, name, outputs, numbers, zeros, seed
):
    shape, rng = SHAPES[name], np.random.default_rng(seed)
    image = rng.standard_normal((shape.channels, shape.height, shape.width))
    image[tuple(rng.integers(0, size, len(numbers)) for size in image.shape)] = numbers
    weights = rng.standard_normal((shape.filters, shape.channels, 3, 3))
    # What is infinite is no number under a tap of zero.
    weights[rng.random(weights.shape) < zeros] = 0
    image, weights = image.astype(np.float32), weights.astype(np.float32)
    schedule = best(shape, processor, outputs)
    made = compute(schedule, shape, processor, image, weights)
    assert_flows(made, shape, image, weights, outputs)


@pytest.mark.parametrize("outputs", TRANSFORMS)
def test_two_threads_mend_as_one(outputs, two_threads, compute):
    shape, rng = SHAPES["several blocks"], np.random.default_rng(0)
    image = rng.standard_normal((shape.channels, shape.height, shape.width), np.float32)
    image[rng.random(image.shape) < 1e-3] = np.inf
    weights = rng.standard_normal((shape.filters, shape.channels, 3, 3), np.float32)
    schedule = best(shape, two_threads, outputs)
    made = compute(schedule, shape, two_threads, image, weights)
    assert_flows(made, shape, image, weights, outputs)


@pytest.mark.parametrize("outputs", TRANSFORMS)
def test_transforms_may_overflow(outputs, processor, compute):
    shape, rng = SHAPES["lopsided pads"], np.random.default_rng(0)
    image = rng.uniform(0.5, 1, (shape.channels, shape.height, shape.width)) * 3e38
    weights = rng.uniform(-1, 1, (shape.filters, shape.channels, 3, 3)) / 81
    image, weights = image.astype(np.float32), weights.astype(np.float32)
    made = compute(best(shape, processor, outputs), shape, processor, image, weights)
    assert np.isfinite(made).all()
    assert_flows(made, shape, image, weights, outputs)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_taps_come_out_of_transformed_weights(transform):
    rows = transform.weights[list(transform.telling)]
    np.testing.assert_allclose(transform.taps(rows), np.eye(3), atol=1e-15)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38])
def test_some_weights_are_not_for_winograd(number):
    weights = np.ones((8, 8, 3, 3), np.float32)
    assert bears(weights)
    weights[3, 4, 1, 2] = number
    assert not bears(weights)


def test_the_check_can_fail(processor, check, monkeypatch):
    shape = SHAPES["no pads"]
    schedule = best(shape, processor, 4)
    right = TRANSFORMS[4].weights.copy()
    monkeypatch.setitem(TRANSFORMS[4].__dict__, "weights", right * (1 + 1e-4))
    with pytest.raises(AssertionError):
        check(schedule, shape, processor, Epilogue())


def test_kernels_for_avx512_compile():
    processor = WIDTHS["x86-64-v4"]
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v4", "num-cores": 1})
    shape = SHAPES["several blocks"]
    for outputs in TRANSFORMS:
        schedule = best(shape, (processor, target), outputs)
        kernel = schedule.kernel(shape, EVERYTHING, processor)
        named = kernel.with_attr("global_symbol", "main")
        library = tvm.compile(named, target=target, tir_pipeline=PIPELINE)
        assert "zmm" in library.mod.inspect_source("asm")


@pytest.mark.parametrize(
    "other",
    [
        {"kernel": (1, 3)},
        {"strides": (2, 1)},
        {"dilations": (1, 2)},
        {"groups": 2},
        {"plain": True},
    ],
    ids=str,
)
def test_other_convolutions_have_none(other, processor):
    shape = convolution(**{"channels": 16, "height": 9, "width": 9, "filters": 16} | other)
    assert not fits(shape)
    assert Winograd.space(shape, processor[0]) == ()


def test_a_value_is_text(processor):
    for schedule in Winograd.space(SHAPES["one row"], processor[0]):
        name, options = parse_spec(format_spec(schedule.name, schedule))
        assert (name, build_spec(Winograd, name, options)) == ("winograd", schedule)
