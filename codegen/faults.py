"""What TVM's importer and ONNX Runtime get wrong: one table for each, with the reasons.

A node in a table is written out by its definition in the standard where it has one
(``suture.codegen.expand``), and refused otherwise, so that the other backend ships. What could
be mended in TVM is not here but in ``suture.codegen.emit.mended``. The importer looks at an
operator's name only: some of its names are those of Microsoft's operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir
from tvm.relax.frontend.onnx import onnx_frontend

from suture.codegen.emit.rule import Rules
from suture.passes.recognise.attention import find_attention

DOMAINS = ("", "ai.onnx", "com.microsoft")
STANDARD = ("", "ai.onnx")

Check = Callable[[ir.Node], str | None]
"""Returns what is wrong with a node in TVM, or None."""


def _trains(node: ir.Node) -> str | None:
    if node.attributes.get_int("training_mode", 0):
        return "it normalises by the statistics given, not by the batch's"
    return None


def _drops(node: ir.Node) -> str | None:
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    constant = ir.convenience.get_const_tensor(mode) if mode is not None else None
    if mode is None or (constant is not None and not constant.numpy().any()):
        return None
    return "it drops nothing, whatever the training mode"


def _averages(node: ir.Node) -> str | None:
    if any(output.name for output in node.outputs[1:]):
        return "it leaves out the mean and the deviation"
    return None


def _normalises_axes(node: ir.Node) -> str | None:
    value = node.inputs[0]
    rank = len(value.shape) if value is not None and value.shape is not None else None
    if node.attributes.get_int("axis", -1) in (-1, None if rank is None else rank - 1):
        return None
    return "it normalises over the last axis only"


def _takes_crd(node: ir.Node) -> str | None:
    return "it knows DCR only" if node.attributes.get_string("mode", "DCR") != "DCR" else None


def _takes_maxima(node: ir.Node) -> str | None:
    if node.attributes.get_string("mode", "avg") != "avg":
        return "its maxima are of other points than ONNX's"
    return None


def _counts_back(node: ir.Node) -> str | None:
    place = node.inputs[2] if len(node.inputs) > 2 else None
    constant = ir.convenience.get_const_tensor(place) if place is not None else None
    if place is None or (constant is not None and constant.numpy().min() >= 0):
        return None
    return "it counts places from the end one too far"


def _microsoft(node: ir.Node) -> str | None:
    if node.domain not in STANDARD or find_attention(node) is not None:
        return None  # a group of its own takes what is found
    return "it takes it to be Microsoft's"


TVM_FAULTS: Mapping[str, Check] = {
    "Attention": _microsoft,
    "BatchNormalization": _trains,
    "Dropout": _drops,
    "LayerNormalization": _averages,
    "RMSNormalization": _normalises_axes,
    "RoiAlign": _takes_maxima,
    "SequenceInsert": _counts_back,
    "SpaceToDepth": _takes_crd,
}
"""Operator → what finds a node of it that TVM's importer gets wrong."""


def _shows_products(node: ir.Node) -> str | None:
    if node.domain in STANDARD and len(node.outputs) > 3 and node.outputs[3].name:
        return "its fourth output is not masked as ONNX says"
    return None


def _is_random(node: ir.Node) -> str | None:
    return None if _drops(node) is None else "it answers by chance"


def _unpools_into(node: ir.Node) -> str | None:
    given = node.inputs[2] if len(node.inputs) > 2 else None
    return None if given is None else "it takes indices to be those of another output shape"


def _aligns_parts(node: ir.Node) -> str | None:
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    value, scales = node.inputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    if mode != "align_corners" or value is None or value.shape is None or scales is None:
        return None
    constant = ir.convenience.get_const_tensor(scales)
    sizes = [size for size in value.shape if isinstance(size, int)]
    if constant is not None and len(sizes) == constant.size:
        products = constant.numpy() * sizes
        if not (products % 1).any():
            return None
    return "it aligns to a whole number of points where the scales ask for a part"


ORT_FAULTS: Mapping[str, Check] = {
    "Attention": _shows_products,
    "Dropout": _is_random,
    "MaxUnpool": _unpools_into,
    "Resize": _aligns_parts,
}
"""Operator → what finds a node of it that ONNX Runtime gets wrong."""


def ort_fault(node: ir.Node) -> str | None:
    """Return why ONNX Runtime must not see a node, or None."""
    check = ORT_FAULTS.get(node.op_type)
    return check(node) if check else None


def tvm_fault(node: ir.Node, rules: Rules) -> str | None:
    """Return why TVM's importer must not see a node, or None."""
    if node.domain not in DOMAINS:
        return f"TVM does not know the domain {node.domain!r}"
    if node.op_type not in onnx_frontend._get_convert_map() and not rules.emits(node.op_type):
        return "TVM's importer lacks it"
    check = TVM_FAULTS.get(node.op_type)
    return check(node) if check else None
