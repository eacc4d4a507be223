"""Groups that resize images: ONNX's ways to align two grids become tables of places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from suture.codegen.groups.base import Group, constant
from suture.compiler.session import open_session
from suture.passes.recognise.values import is_static, numbers_of, shape_of

RESIZE = "SutureResize"
MODES = ("nearest", "linear")
FEWEST_CHANNELS = 8
"""Fewer would be resized with vectors that are mostly padding."""
OLDEST = 11
"""Resize of opset 10 has other inputs."""


def match_resize(node: ir.Node) -> Group | None:
    """Return a Resize of images' rows and columns to the nearest or between two."""
    if node.op_type != "Resize" or not is_static(node.inputs[0]):
        return None
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    mode = node.attributes.get_string("mode", "nearest")
    known = (
        len(before) == 4 == len(after)
        and before[:2] == after[:2]
        and before[1] >= FEWEST_CHANNELS
        and min(before + after) > 0
        and mode in MODES
        and opset_of(node) >= OLDEST
        and not node.attributes.get_int("antialias", 0)
        and node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
        and node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        != "tf_crop_and_resize"
    )
    tables = [table(node, axis) for axis in (2, 3)] if known else []
    found = [each for each in tables if each is not None]
    if len(found) < 2:
        return None
    group = Group(RESIZE, [node], [node.inputs[0]], {"linear": int(mode == "linear")})
    for axis, each in zip(("rows", "columns"), found, strict=True):
        group.inputs.append(constant(node, f"{node.outputs[0].name}.{axis}", each))
    return group


def opset_of(node: ir.Node) -> int:
    """Return the version of ONNX's operators that a node is of."""
    assert node.graph is not None
    return node.graph.opset_imports.get("", OLDEST)


def table(node: ir.Node, axis: int) -> npt.NDArray[np.float32] | None:
    """Return what ONNX Runtime reads along an axis for each output: two rows of numbers.

    The first place, and the share of the place after it. Found by resizing unit vectors, since
    float32's rounding decides ties. None where it reads more than two places.
    """
    size, target = shape_of(node.inputs[0])[axis], shape_of(node.outputs[0])[axis]
    scale = _entry(node, 2, axis)
    names = ["x", "", "scales"] if scale is not None else ["x", "", "", "sizes"]
    given = np.array([1, scale], np.float32) if scale is not None else np.array([size, target])
    alone = onnx.helper.make_node("Resize", names, ["y"])
    proto = ir.to_proto(node)
    alone.attribute.extend(each for each in proto.attribute if each.name != "axes")
    info, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [alone],
        "resize",
        [info("x", float32, [size, size])],
        [info("y", float32, [size, target])],
        [onnx.numpy_helper.from_array(given, names[-1])],
    )
    opsets = [onnx.helper.make_opsetid("", opset_of(node))]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (weights,) = open_session(ir.from_proto(model)).run(None, {"x": np.eye(size, dtype="f4")})
    first = (weights != 0).argmax(0)
    outputs = np.arange(target)
    share = np.float32(1) - weights[first, outputs]
    # Behind the last place it reads that one twice; zero times infinity would be no number.
    share[first == size - 1] = 0.5
    rebuilt = np.zeros_like(weights)
    rebuilt[first, outputs] = np.float32(1) - share
    rebuilt[np.minimum(first + 1, size - 1), outputs] += share
    return (
        np.stack([first, share]).astype(np.float32) if np.allclose(rebuilt, weights) else None
    )


def _entry(node: ir.Node, position: int, axis: int) -> float | None:
    """Return what one of a Resize's lists says of an axis, or None where it is left out."""
    if len(node.inputs) <= position or node.inputs[position] is None:
        return None
    array = numbers_of(node.inputs[position])
    axes = list(node.attributes.get_ints("axes", range(4)))
    axes = [each % 4 for each in axes]
    if array is None or array.size != len(axes):
        return None
    return float(array[axes.index(axis)]) if axis in axes else 1.0
