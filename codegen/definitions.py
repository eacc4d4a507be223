"""Operators by simpler ones where the standard gives no such definition."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.parser

LP_NORMALIZATION = """
<opset_import: ["": 17], domain: "">
LpNormalization <axis: int = -1, p: int = 2> (x) => (y) {
    axis = Constant <value_int: int = @axis> ()
    line = Constant <value = int64[1] {-1}> ()
    axes = Reshape(axis, line)
    power = Constant <value_int: int = @p> ()
    one = Constant <value = int64 {1}> ()
    first = Equal(power, one)
    sizes = Abs(x)
    squares = Mul(x, x)
    terms = Where(first, sizes, squares)
    total = ReduceSum(terms, axes)
    root = Sqrt(total)
    norm = Where(first, total, root)
    nothing = Sub(norm, norm)
    is_nothing = Equal(norm, nothing)
    quotient = Div(x, norm)
    y = Where(is_nothing, nothing, quotient)
}
"""
QLINEAR_MATMUL = """
<opset_import: ["": 17], domain: "">
QLinearMatMul (a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) => (y) {
    of_a = Cast <to = 1> (a_scale)
    of_b = Cast <to = 1> (b_scale)
    of_y = Cast <to = 1> (y_scale)
    left = DequantizeLinear(a, of_a, a_zero)
    right = DequantizeLinear(b, of_b, b_zero)
    product = MatMul(left, right)
    y = QuantizeLinear(product, of_y, y_zero)
}
"""

DEFINITIONS: Mapping[str, str] = {
    "LpNormalization": LP_NORMALIZATION,
    "QLinearMatMul": QLINEAR_MATMUL,
}
"""Operator → its definition as text, for operator sets from 13 on."""
OLDEST = 13


def own_definition(operator: str, version: int) -> onnx.FunctionProto | None:
    """Return a body for an operator, or None where there is none here either."""
    text = DEFINITIONS.get(operator)
    return onnx.parser.parse_function(text) if text and version >= OLDEST else None
