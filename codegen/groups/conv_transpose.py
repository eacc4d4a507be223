"""Groups that begin with a transposed convolution."""

from __future__ import annotations

import onnx_ir as ir

from suture.codegen.groups.base import Group
from suture.codegen.groups.epilogue import extend
from suture.passes.recognise.values import FLOAT, is_constant, is_static, shape_of

CONV_TRANSPOSE = "SutureConvTranspose"


def match_conv_transpose(node: ir.Node) -> Group | None:
    """Return a transposed convolution of constant weights and what its kernel does as well.

    One group, no dilation, and an output whose sizes are multiples of the strides.
    """
    if node.op_type != "ConvTranspose" or not is_static(node.outputs[0]):
        return None
    x, w = node.inputs[:2]
    if not is_static(x) or not is_constant(w) or w is None or w.dtype != FLOAT:
        return None
    out, kernel = shape_of(node.outputs[0]), shape_of(w)
    strides = list(node.attributes.get_ints("strides", [1, 1]))
    pads = list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    known = (
        len(shape_of(x)) == len(kernel) == 4
        and node.attributes.get_int("group", 1) == 1
        and set(node.attributes.get_ints("dilations", [1, 1])) == {1}
        and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        and "output_shape" not in node.attributes
        and min(pads) >= 0
        and all(size % stride == 0 for size, stride in zip(out[2:], strides, strict=True))
    )
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if not known or (bias is not None and not is_constant(bias)):
        return None
    attributes = {"strides": strides, "pads": pads[:2], "out": list(out[2:])}
    group = Group(CONV_TRANSPOSE, [node], [x, w, bias, None], attributes)
    extend(group, channels_last=False)
    return group
