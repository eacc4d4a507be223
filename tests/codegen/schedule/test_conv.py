import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import WIDTHS, Epilogue, ceil_div
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape, holds_groups
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.grouped import GroupedConv

SHAPES = {
    "3x3": ConvShape(
        channels=20, height=9, width=11, filters=24, kernel=(3, 3), pads=(1, 1, 1, 1)
    ),
    "1x1": ConvShape(channels=16, height=1, width=35, filters=40, kernel=(1, 1)),
    "strided, dilated, lopsided": ConvShape(
        channels=8,
        height=17,
        width=9,
        filters=12,
        kernel=(3, 2),
        strides=(2, 1),
        pads=(1, 0, 2, 1),
        dilations=(1, 2),
    ),
    "1xk": ConvShape(channels=9, height=4, width=21, filters=8, kernel=(1, 7)),
    "first layer": ConvShape(
        channels=3,
        height=12,
        width=14,
        filters=32,
        kernel=(5, 5),
        strides=(2, 2),
        pads=(2, 2, 2, 2),
        plain=True,
    ),
    "groups": ConvShape(
        channels=32, height=6, width=6, filters=64, kernel=(3, 3), pads=(1,) * 4, groups=2
    ),
    "one pixel": ConvShape(channels=5, height=1, width=1, filters=7, kernel=(1, 1)),
}

GROUPED = {
    "of four": ConvShape(
        channels=20, height=9, width=17, filters=20, kernel=(3, 3), pads=(1,) * 4, groups=5
    ),
    "of two, strided, dilated, lopsided": ConvShape(
        channels=22,
        height=15,
        width=12,
        filters=22,
        kernel=(2, 3),
        strides=(2, 3),
        pads=(0, 3, 2, 1),
        dilations=(3, 2),
        groups=11,
    ),
    "that end inside vectors": ConvShape(
        channels=15, height=5, width=7, filters=25, kernel=(3, 2), pads=(2, 1, 0, 0), groups=5
    ),
    "of one channel and three filters": ConvShape(
        channels=7, height=6, width=6, filters=21, kernel=(3, 3), pads=(1,) * 4, groups=7
    ),
    "of more channels than filters": ConvShape(
        channels=48, height=4, width=13, filters=12, kernel=(1, 3), pads=(0, 1, 0, 1), groups=3
    ),
    "of eight": ConvShape(
        channels=16, height=6, width=10, filters=16, kernel=(3, 3), pads=(1,) * 4, groups=2
    ),
    "of ten": ConvShape(
        channels=30, height=5, width=9, filters=30, kernel=(3, 3), pads=(1,) * 4, groups=3
    ),
    "of twenty channels and one filter": ConvShape(
        channels=60, height=3, width=9, filters=3, kernel=(1, 9), pads=(0, 4) * 2, groups=3
    ),
    "of twenty, few taps": ConvShape(
        channels=60, height=5, width=5, filters=60, kernel=(3, 1), strides=(1, 2), groups=3
    ),
    "of thirteen, many taps": ConvShape(
        channels=39, height=2, width=16, filters=39, kernel=(1, 9), pads=(0, 4) * 2, groups=3
    ),
    "windows beside the image": ConvShape(
        channels=8, height=3, width=3, filters=8, kernel=(2, 2), pads=(4,) * 4, groups=4
    ),
}


def expected(shape, image, weights, bias, residual):
    """The group as ONNX Runtime computes it, then a clip to -1..2."""
    node = onnx.helper.make_node(
        "Conv",
        ["x", "w", "b"],
        ["y"],
        strides=shape.strides,
        pads=shape.pads,
        dilations=shape.dilations,
        group=shape.channels // weights.shape[1],
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "g", [value(n, 1, None) for n in "xwb"], [value("y", 1, None)]
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": image[None], "w": weights, "b": bias})
    return np.clip(y[0] + residual, -1, 2)


def numbers(shape, weights_shape, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((shape.channels, shape.height, shape.width))
    weights = rng.standard_normal(weights_shape) / np.sqrt(np.prod(weights_shape[1:]))
    bias = rng.standard_normal(shape.filters)
    residual = rng.standard_normal((shape.filters, *shape.out))
    return [array.astype(np.float32) for array in (image, weights, bias, residual)]


EPILOGUE = Epilogue(bias=True, residual=True, activation="clip", low=-1.0, high=2.0)


def check(schedule, shape, weights_shape, processor, run, block):
    vectors, target = processor
    image, weights, bias, residual = numbers(shape, weights_shape)
    blocks = ceil_div(shape.filters, vectors.lanes)
    padded = np.zeros(blocks * vectors.lanes, np.float32)
    padded[: shape.filters] = bias
    arrays = [
        image[None] if shape.plain else block(image, vectors),
        schedule.pack(weights, shape, vectors),
        padded,
        block(residual, vectors),
    ]
    kernel = schedule.kernel(shape, EPILOGUE, vectors)
    out = run(kernel, arrays, (blocks, *shape.out, vectors.lanes), target)
    plain = out.transpose(0, 3, 1, 2).reshape(-1, *shape.out)[: shape.filters]
    wanted = expected(shape, image, weights, bias, residual)
    np.testing.assert_allclose(plain, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_every_tile_computes_the_right_answer(name, processor, run, block):
    shape = SHAPES[name]
    space = DirectConv.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    weights = (shape.filters, shape.channels // shape.groups, *shape.kernel)
    for schedule in space[:4] + space[4::7]:
        check(schedule, shape, weights, processor, run, block)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 1)])
def test_depthwise(strides, processor, run, block):
    shape = ConvShape(
        channels=20,
        height=10,
        width=13,
        filters=20,
        kernel=(3, 3),
        strides=strides,
        pads=(1, 1, 1, 1),
    )
    for schedule in DepthwiseConv.space(shape, processor[0]):
        check(schedule, shape, (20, 1, 3, 3), processor, run, block)


@pytest.mark.parametrize("name", GROUPED)
def test_groups(name, processor, run, block):
    shape = GROUPED[name]
    space = GroupedConv.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    weights = (shape.filters, shape.channels // shape.groups, *shape.kernel)
    for schedule in space[:3] + space[3::4]:
        check(schedule, shape, weights, processor, run, block)


@settings(max_examples=12, deadline=None)
@given(
    groups=st.integers(1, 5),
    seen=st.integers(1, 4),
    made=st.integers(1, 4),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_any_groups(processor, run, block, groups, seen, made, size, **given_shape):
    shape = ConvShape(
        channels=groups * seen,
        height=size[0],
        width=size[1],
        filters=groups * made,
        groups=groups,
        **given_shape,
    )
    space = GroupedConv.space(shape, processor[0])
    weights = (shape.filters, seen, *shape.kernel)
    check(space[0], shape, weights, processor, run, block)


@pytest.mark.parametrize("mcpu", ["x86-64", "x86-64-v4"])
@pytest.mark.parametrize("name", GROUPED)
def test_groups_in_vectors_of_other_widths(name, mcpu, run, block):
    shape, vectors = GROUPED[name], WIDTHS[mcpu]
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 1})
    weights = (shape.filters, shape.channels // shape.groups, *shape.kernel)
    schedule, *_ = GroupedConv.space(shape, vectors)
    check(schedule, shape, weights, (vectors, target), run, block)


def test_two_threads_share_groups(two_threads, run, block):
    shape = ConvShape(
        channels=64, height=20, width=20, filters=64, kernel=(3, 3), pads=(1,) * 4, groups=16
    )
    for schedule in GroupedConv.space(shape, two_threads[0])[:2]:
        check(schedule, shape, (64, 4, 3, 3), two_threads, run, block)


@settings(max_examples=12, deadline=None)
@given(
    channels=st.integers(1, 20),
    filters=st.integers(1, 20),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    plain=st.booleans(),
)
def test_any_shape(processor, run, block, channels, filters, size, **given_shape):
    shape = ConvShape(
        channels=channels, height=size[0], width=size[1], filters=filters, **given_shape
    )
    best = DirectConv.space(shape, processor[0])[0]
    weights = (filters, channels, *shape.kernel)
    if channels == 1:  # one channel is no depthwise convolution here
        return
    check(best, shape, weights, processor, run, block)


def test_the_most_promising_tile_fills_the_registers(processor):
    vectors, _ = processor
    shape = ConvShape(channels=64, height=56, width=56, filters=64, kernel=(3, 3))
    best = DirectConv.space(shape, vectors)[0]
    assert best.rows * best.columns // vectors.lanes >= 8
    assert best.columns % vectors.lanes == 0


def test_which_groups_are_whole_blocks(processor):
    vectors, _ = processor
    lanes = vectors.lanes
    assert holds_groups(7, 9, 1, vectors)
    assert holds_groups(2 * lanes, 4 * lanes, 2, vectors)
    assert not holds_groups(2 * lanes + 2, 4 * lanes, 2, vectors)
