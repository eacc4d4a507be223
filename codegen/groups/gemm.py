"""Groups that begin with a product by a constant matrix."""

from __future__ import annotations

import onnx_ir as ir

from suture.codegen.groups.base import Group
from suture.codegen.groups.epilogue import extend
from suture.passes.recognise.values import is_matrix, is_static, is_vector, shape_of

GEMM = "SutureGemm"


def match_gemm(node: ir.Node) -> Group | None:
    """Return a product by a constant matrix and what its kernel does as well."""
    if node.op_type not in ("Gemm", "MatMul") or not is_static(node.outputs[0]):
        return None
    x, w = node.inputs[:2]
    if not is_matrix(w) or not is_static(x) or len(shape_of(x)) < 2:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type == "Gemm":
        plain = (
            node.attributes.get_int("transA", 0) == 0
            and node.attributes.get_float("alpha", 1.0) == 1.0
            and node.attributes.get_float("beta", 1.0) == 1.0
        )
        if not plain:
            return None
        if bias is not None and not is_vector(bias, shape_of(node.outputs[0])[-1]):
            return None
    attributes = {"transposed": node.attributes.get_int("transB", 0)}
    group = Group(GEMM, [node], [x, w, bias, None], attributes)
    extend(group, channels_last=True)
    return group
