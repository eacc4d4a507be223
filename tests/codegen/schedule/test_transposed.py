import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import Epilogue, ceil_div
from suture.codegen.schedule.transposed import TransposedConv, TransposedShape

EPILOGUE = Epilogue(bias=True, residual=True, activation="relu")
SHAPES = {
    # Edge of the window, stride, pad, further rows and columns at the end.
    "2x2, stride 2": (2, 2, 0, 0),
    "3x3, stride 2": (3, 2, 1, 1),
    "4x4, stride 2": (4, 2, 1, 0),
    "stride 1": (3, 1, 1, 0),
    "gaps between windows": (1, 2, 0, 1),
    "5x5, stride 3": (5, 3, 1, 0),
}


def shape_of(window, stride, pad, more, *, channels=13, filters=19, height=5, width=6):
    out = tuple((size - 1) * stride + window - 2 * pad + more for size in (height, width))
    return TransposedShape(
        channels=channels,
        height=height,
        width=width,
        filters=filters,
        kernel=(window, window),
        strides=(stride, stride),
        pads=(pad, pad),
        out=out,
    )


def expected(shape, more, image, weights, bias, residual):
    """The group as ONNX Runtime computes it."""
    pad = shape.pads[0]
    node = onnx.helper.make_node(
        "ConvTranspose",
        ["x", "w", "b"],
        ["y"],
        strides=shape.strides,
        pads=[pad] * 4,
        output_padding=[more, more],
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "g", [value(n, 1, None) for n in "xwb"], [value("y", 1, None)]
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": image[None], "w": weights, "b": bias})
    return np.maximum(y[0] + residual, 0)


def check(schedule, shape, more, processor, run, block, spoilt=(slice(0), 0)):
    vectors, target = processor
    rng = np.random.default_rng(2)
    sizes = (
        (shape.channels, shape.height, shape.width),
        (shape.channels, shape.filters, *shape.kernel),
        (shape.filters,),
        (shape.filters, *shape.out),
    )
    image, weights, bias, residual = (rng.standard_normal(s).astype(np.float32) for s in sizes)
    image[:, *spoilt] = np.nan
    blocks = ceil_div(shape.filters, vectors.lanes)
    padded = np.zeros(blocks * vectors.lanes, np.float32)
    padded[: shape.filters] = bias
    arrays = [
        block(image, vectors),
        schedule.pack(weights, shape, vectors),
        padded,
        block(residual, vectors),
    ]
    kernel = schedule.kernel(shape, EPILOGUE, vectors)
    out = run(kernel, arrays, (blocks, *shape.out, vectors.lanes), target)
    plain = out.transpose(0, 3, 1, 2).reshape(-1, *shape.out)[: shape.filters]
    wanted = expected(shape, more, image, weights, bias, residual)
    np.testing.assert_allclose(plain, wanted, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_every_tile_computes_the_right_answer(name, processor, run, block):
    shape, more = shape_of(*SHAPES[name]), SHAPES[name][-1]
    space = TransposedConv.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    for schedule in space[:3] + space[3::9]:
        check(schedule, shape, more, processor, run, block)


@settings(max_examples=10, deadline=None)
@given(
    window=st.integers(1, 5),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
    more=st.integers(0, 2),
    channels=st.integers(1, 9),
    filters=st.integers(1, 9),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
)
def test_any_shape(processor, run, block, window, stride, pad, more, **sizes):
    shape = shape_of(window, stride, pad, more, **sizes)
    assume(more < stride)
    assume(min(shape.out) > 0)
    assume(all(size % stride == 0 for size in shape.out))
    best = TransposedConv.space(shape, processor[0])[0]
    check(best, shape, more, processor, run, block)


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_no_number_reaches_what_sees_it(name, processor, run, block):
    shape, more = shape_of(*SHAPES[name]), SHAPES[name][-1]
    best = TransposedConv.space(shape, processor[0])[0]
    check(best, shape, more, processor, run, block, spoilt=(2, 3))
