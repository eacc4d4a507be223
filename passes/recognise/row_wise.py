"""Operators that do the same to every row: axes before the last do not matter to them."""

from __future__ import annotations

import onnx_ir as ir

from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_constant,
    is_fixed,
    is_matrix,
    is_vector,
    shape_of,
)

UNARY = frozenset(
    {
        "Abs",
        "Cast",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Reciprocal",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Sqrt",
        "Tanh",
    }
)
BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Pow"})
ALONG_ROWS = frozenset({"LayerNormalization", "RMSNormalization", "Softmax", "LogSoftmax"})


def is_row_wise(node: ir.Node) -> bool:
    """Whether a node does the same to every row of values of three axes or more."""
    return bool(row_inputs(node)) and len(shape_of(node.outputs[0])) > 2


def row_inputs(node: ir.Node) -> tuple[int, ...]:
    """Return which inputs are read row by row; none where the node is not of that kind.

    Those left out are constants: numbers, rows, or a matrix that rows are multiplied by.
    """
    if node.domain not in DEFAULT_DOMAINS or len(node.outputs) != 1 or not node.inputs:
        return ()
    first, out = node.inputs[0], node.outputs[0]
    if first is None or not is_fixed(out) or len(shape_of(out)) < 2:
        return ()
    known = all(v is None or is_constant(v) for v in node.inputs[1:])
    if node.op_type in BINARY:
        return _binary(node)
    if not is_fixed(first) or is_constant(first) or not known:
        return ()
    rank = len(shape_of(first))
    if node.op_type in UNARY or (
        node.op_type in ALONG_ROWS
        and node.attributes.get_int("axis", -1) in (-1, rank - 1)
        and all(v is None or is_vector(v, shape_of(v)[-1]) for v in node.inputs[1:])
    ):
        return (0,) if shape_of(first) == shape_of(out) else ()
    if node.op_type == "MatMul" and is_matrix(node.inputs[1]) and rank > 1:
        return (0,)
    return ()


def _binary(node: ir.Node) -> tuple[int, ...]:
    """Return which operands have the rows of the result, if the others are constants."""
    shape, found = shape_of(node.outputs[0]), []
    for position, value in enumerate(node.inputs):
        if value is None or not is_fixed(value):
            return ()
        given = shape_of(value)
        if given[:-1] == shape[:-1] and given[-1:] and given[-1] in (1, shape[-1]):
            found.append(position)
        elif not is_constant(value) or not (given == () or _is_row(given, shape[-1])):
            return ()
    return tuple(found)


def _is_row(shape: tuple[int, ...], columns: int) -> bool:
    """Whether a shape has but one row, of one number or of as many as there are columns."""
    return all(size == 1 for size in shape[:-1]) and shape[-1] in (1, columns)
