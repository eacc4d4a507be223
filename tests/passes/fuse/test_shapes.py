import numpy as np
import onnx_ir as ir

from suture.compiler.discovery import discover, load
from suture.passes.fuse.shapes import InferShapes
from suture.passes.pipeline import parse_pipeline

TEXT = "g (float[2,4] x) => (float[2,3] y) { [m] t = MatMul(x, w) [r] y = Relu(t) }"


def test_finds_shapes_and_types_that_are_not_told(parse, check):
    model = parse(TEXT, w=(4, 3))
    t = model.graph[0].outputs[0]
    t.shape = t.type = None
    assert check(InferShapes(), model).made == [("m", "t is FLOAT[2,3]")]
    assert t.shape == ir.Shape([2, 3])


def test_leaves_what_is_known(parse, check):
    assert check(InferShapes(), parse(TEXT, w=(4, 3))).made == []


def test_sees_through_computed_shapes(parse, check):
    model = parse(
        "g (float[2,6] x) => (float[A,B,C] y) { s = Shape(x) h = Gather(s, zero)"
        " u = Unsqueeze(h, first) c = Concat<axis=0>(u, rest) t = Reshape(x, c) y = Relu(t) }",
        zero=np.array(0),
        first=np.array([0]),
        rest=np.array([3, 2]),
    )
    t = model.graph[-2].outputs[0]
    t.shape = None
    check(InferShapes(), model)
    assert t.shape == ir.Shape([2, 3, 2])


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["infer-shapes"]) is InferShapes
    assert parse_pipeline("infer-shapes") == (InferShapes(),)
