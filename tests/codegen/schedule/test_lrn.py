import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import Epilogue, ceil_div
from suture.codegen.schedule.lrn import POWERS, Lrn, LrnShape


def expected(shape, image):
    """The normalisation as ONNX Runtime computes it."""
    node = onnx.helper.make_node(
        "LRN",
        ["x"],
        ["y"],
        size=shape.size,
        alpha=shape.alpha,
        beta=shape.beta,
        bias=shape.bias,
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, None)], [value("y", 1, None)])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": image[None]})[0][0]


def check(schedule, shape, processor, run, block):
    vectors, target = processor
    sizes = (shape.channels, 1, shape.pixels)
    image = np.random.default_rng(4).uniform(-9, 9, sizes).astype(np.float32)
    blocked = block(image, vectors)[:, 0]
    padding = len(blocked) * vectors.lanes - shape.channels
    blocked[-1, :, vectors.lanes - padding :] = 7.0
    kernel = schedule.kernel(shape, Epilogue(), vectors)
    out = run(kernel, [blocked], blocked.shape, target)
    plain = out.transpose(0, 2, 1).reshape(-1, 1, shape.pixels)[: shape.channels]
    np.testing.assert_allclose(plain, expected(shape, image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta", POWERS)
def test_every_value_computes_the_right_answer(beta, processor, run, block):
    shape = LrnShape(channels=20, pixels=23, size=5, alpha=0.3, beta=beta, bias=2.0)
    space = Lrn.space(shape, processor[0])
    assert len(set(space)) == len(space) == 16
    for schedule in space:
        check(schedule, shape, processor, run, block)


@settings(max_examples=8, deadline=None)
@given(
    channels=st.integers(1, 20),
    pixels=st.integers(1, 20),
    size=st.sampled_from([1, 3, 5, 7]),
    alpha=st.floats(1e-4, 1),
    bias=st.floats(0.5, 2),
)
def test_any_shape(processor, run, block, **given_shape):
    shape = LrnShape(**given_shape, beta=0.75)
    check(Lrn.space(shape, processor[0])[0], shape, processor, run, block)


def test_other_powers_and_far_neighbours_are_left_to_tvm(processor):
    vectors, _ = processor
    known = {"channels": 8, "pixels": 4, "alpha": 1.0, "bias": 1.0}
    far = 2 * vectors.lanes + 2
    assert ceil_div(far, 2) > vectors.lanes
    assert not Lrn.space(LrnShape(size=far, beta=0.75, **known), vectors)
    assert not Lrn.space(LrnShape(size=3, beta=0.7, **known), vectors)
