import numpy as np
import pytest

from suture.codegen.definitions import DEFINITIONS, own_definition
from suture.codegen.expand import expand
from suture.compiler.model import infer_shapes
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

PRODUCT = """
g (uint8[2, 4] a, uint8[4, 3] b) => (uint8[2, 3] y) {
    s = Constant<value = float {0.02}>()
    z = Constant<value = uint8 {3}>()
    t = Constant<value = float {0.1}>()
    y = QLinearMatMul(a, s, z, b, s, z, t, z)
}
"""


@pytest.mark.parametrize(
    "text",
    [
        PRODUCT,
        *(
            f"g (float[2, 3, 4] x) => (float[2, 3, 4] y) "
            f"{{ y = LpNormalization<axis = {axis}, p = {p}>(x) }}"
            for axis in (0, -1)
            for p in (1, 2)
        ),
    ],
)
def test_a_definition_computes_what_the_operator_does(parse, text):
    model = parse(text)
    infer_shapes(model)
    written_out = model.clone()
    assert expand(written_out, lambda node: node.op_type in DEFINITIONS)
    assert not {node.op_type for node in written_out.graph} & set(DEFINITIONS)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    expected, actual = run_reference(model, inputs), run_reference(written_out, inputs)
    assert_equal(expected, actual, what="written out", rtol=1e-6)


def test_a_row_of_zeros_stays_one(parse):
    model = parse("g (float[2, 3] x) => (float[2, 3] y) { y = LpNormalization(x) }")
    infer_shapes(model)
    expand(model, lambda node: True)
    (answer,) = run_reference(model, {"x": np.zeros((2, 3), np.float32)}).values()
    np.testing.assert_array_equal(answer, np.zeros((2, 3)))


def test_old_operator_sets_have_none():
    assert own_definition("LpNormalization", 12) is None
    assert own_definition("Relu", 17) is None
