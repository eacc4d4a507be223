import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import Epilogue
from suture.codegen.schedule.pool import Pool, PoolShape

SHAPES = {
    "largest of 3x3, stride 2": PoolShape(
        channels=20, height=9, width=11, kernel=(3, 3), strides=(2, 2), pads=(0, 0, 1, 1)
    ),
    "largest of 2x2": PoolShape(channels=8, height=8, width=6, kernel=(2, 2), strides=(2, 2)),
    "mean of 3x3": PoolShape(
        channels=9, height=7, width=13, kernel=(3, 3), pads=(1, 1, 1, 1), mean=True
    ),
    "mean of 3x3 with borders": PoolShape(
        channels=9,
        height=7,
        width=5,
        kernel=(3, 3),
        pads=(1, 1, 1, 1),
        mean=True,
        counts_pads=True,
    ),
    "mean of an image": PoolShape(channels=5, height=7, width=7, kernel=(7, 7), mean=True),
}


def expected(shape, image):
    """The pool as ONNX Runtime computes it."""
    counts = {"count_include_pad": int(shape.counts_pads)} if shape.mean else {}
    node = onnx.helper.make_node(
        "AveragePool" if shape.mean else "MaxPool",
        ["x"],
        ["y"],
        kernel_shape=shape.kernel,
        strides=shape.strides,
        pads=shape.pads,
        **counts,
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, None)], [value("y", 1, None)])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": image[None]})[0][0]


def check(schedule, shape, processor, run, block, spoilt=()):
    vectors, target = processor
    sizes = (shape.channels, shape.height, shape.width)
    image = np.random.default_rng(3).standard_normal(sizes).astype(np.float32)
    for (row, column), value in spoilt:
        image[:, row, column] = value
    blocked = block(image, vectors)
    kernel = schedule.kernel(shape, Epilogue(), vectors)
    out = run(kernel, [blocked], (len(blocked), *shape.out, vectors.lanes), target)
    plain = out.transpose(0, 3, 1, 2).reshape(-1, *shape.out)[: shape.channels]
    np.testing.assert_allclose(plain, expected(shape, image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_every_tile_computes_the_right_answer(name, processor, run, block):
    shape = SHAPES[name]
    space = Pool.space(shape, processor[0])
    assert space
    for schedule in space:
        check(schedule, shape, processor, run, block)


@pytest.mark.parametrize("name", ["mean of 3x3", "largest of 3x3, stride 2"])
def test_infinities_stay_where_they_are_seen(name, processor, run, block):
    shape = SHAPES[name]
    best = Pool.space(shape, processor[0])[0]
    spoilt = [((0, 0), np.inf), ((4, 4), -np.inf)]
    check(best, shape, processor, run, block, spoilt)


@settings(max_examples=12, deadline=None)
@given(
    channels=st.integers(1, 20),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    mean=st.booleans(),
    counts_pads=st.booleans(),
)
def test_any_shape(processor, run, block, **given_shape):
    shape = PoolShape(**given_shape)
    # ONNX asks for windows that see a part of the image.
    assume(all(pad < size for pad, size in zip(shape.pads, shape.kernel * 2, strict=True)))
    assume(min(shape.out) > 0)
    check(Pool.space(shape, processor[0])[0], shape, processor, run, block)
