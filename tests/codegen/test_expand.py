"""Bodies that the standard gives operators, in place of the operators."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.codegen.expand import definition, expand, has_body
from suture.compiler.model import infer_shapes
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

ATTENTION = """
g (float[2, 3, 4, 8] q, float[2, 3, 6, 8] k, float[2, 3, 6, 8] v, float[4, 6] mask)
    => (float[2, 3, 4, 8] y, float[2, 3, 4, 6] w) {
    y, , , w = Attention<qk_matmul_output_mode = 2>(q, k, v, mask)
}
"""
TWO = """
g (float[2, 5] x) => (float[2, 5] y) {
    a = Celu<alpha = 2.0>(x)
    b = Celu(a)
    y = Add(a, b)
}
"""


@pytest.mark.parametrize(
    ("text", "opset", "operator"), [(ATTENTION, 23, "Attention"), (TWO, 17, "Celu")]
)
def test_a_body_computes_what_its_operator_does(parse, text, opset, operator):
    model = parse(text, opset)
    infer_shapes(model)
    written_out = model.clone()
    assert expand(written_out, lambda node: node.op_type == operator)
    assert operator not in {node.op_type for node in written_out.graph}
    onnx.checker.check_model(ir.to_proto(written_out))
    inputs = seeded_inputs(model, np.random.default_rng(0))
    expected, actual = run_reference(model, inputs), run_reference(written_out, inputs)
    assert_equal(expected, actual, what="expanded", rtol=1e-6)
    names = [value.name for node in written_out.graph for value in node.outputs]
    assert len(set(names)) == len(names)


def test_nothing_is_done_for_what_has_no_body(parse):
    model = parse("g (float[1, 2, 5] x) => (float[1, 2, 5] y) { y = Relu(x) z = Det(x) }", 13)
    assert not expand(model, lambda node: True)
    assert [node.op_type for node in model.graph] == ["Relu", "Det"]
    assert not has_body("Det", model)
    assert not has_body("NoSuchOperator", model)


def test_a_body_needs_the_operator_set_it_is_of(parse):
    text = "g (float[2, 5] x) => (float[2, 5] y) { y = Relu(x) }"
    assert not has_body("Relu", parse(text, 17))
    assert has_body("Relu", parse(text, 18))


def test_a_body_that_depends_on_types_waits_for_them(parse):
    model = parse("g (float[2, 5] x) => (float[2, 5] y) { h = Relu(x) y = Clip(h) }", 13)
    (_, clip) = model.graph
    assert definition(clip, model) is None
    infer_shapes(model)
    assert definition(clip, model) is not None
