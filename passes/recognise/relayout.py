"""What becomes of a constant when what it meets is laid out anew.

``f(layout(x), moved(c)) = layout(f(x, c))`` for every f that works element by element.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.recognise.values import is_fixed, numbers_of, shape_of

Array = npt.NDArray[Any]
LAYOUTS = frozenset({"Transpose", "Unsqueeze", "Squeeze", "Reshape", "Flatten"})
SPATIAL = frozenset(
    {"Resize", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Pad"}
)
"""Operators on images' rows and columns that leave images and channels alone."""


def moved(array: Array, node: ir.Node) -> Array | str:
    """Return a constant as it meets a node's output, or why it cannot.

    Args:
        array: What meets the node's first input element by element.
        node: One of ``LAYOUTS`` or ``SPATIAL``, or one that changes no shape.
    """
    value = node.inputs[0]
    if value is None or value.shape is None:
        return "the rank is not known"
    if array.ndim > len(value.shape):
        return "the constant may give the value its rank"
    if array.size == 1:
        return array.reshape(())
    full = array.reshape((1,) * (len(value.shape) - array.ndim) + array.shape)
    sizes = list(zip(full.shape, value.shape, strict=True))
    if any(size not in (1, dim) for size, dim in sizes):
        return "the constant may give the value its shape"
    if node.op_type in SPATIAL:
        return _beside(full, node)
    return _laid_out(full, node, value) if node.op_type in LAYOUTS else full


def axes_of(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes that a Squeeze or Unsqueeze names, or None where they are not told."""
    given = numbers_of(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = node.attributes.get_ints("axes", ()) if given is None else given.reshape(-1)
    return tuple(int(axis) for axis in axes) or None


def perm_of(node: ir.Node, rank: int) -> list[int]:
    """Return the order of axes that a Transpose makes."""
    return list(node.attributes.get_ints("perm", ()) or range(rank)[::-1])


def _laid_out(full: Array, node: ir.Node, value: ir.Value) -> Array | str:
    """Return a constant of all axes as a layout leaves it."""
    axes = axes_of(node) if node.op_type in ("Squeeze", "Unsqueeze") else None
    if node.op_type == "Transpose":
        return full.transpose(perm_of(node, full.ndim))
    if node.op_type == "Unsqueeze" and axes is not None:
        return np.expand_dims(full, axes)
    if node.op_type == "Squeeze" and axes is not None:
        return np.squeeze(full, axes)
    if not (is_fixed(value) and is_fixed(node.outputs[0])):
        return "the shapes are not fixed"
    after = np.broadcast_to(full, shape_of(value)).reshape(shape_of(node.outputs[0]))
    for axis in range(after.ndim):
        first = after.take([0], axis)
        after = first if (after == first).all() else after
    return after


def _beside(full: Array, node: ir.Node) -> Array | str:
    """Return a constant that differs along axes only that a node leaves alone."""
    if any(size != 1 for size in full.shape[2:]):
        return f"the constant varies over what {node.op_type} changes"
    before, after = node.inputs[0], node.outputs[0]
    assert before is not None
    if node.op_type not in ("Resize", "Pad"):
        return full
    if before.shape is None or after.shape is None or before.shape[:2] != after.shape[:2]:
        return f"{node.op_type} may change the channels"
    scales = numbers_of(node.inputs[2]) if _scaled(node) else None
    if _scaled(node) and (scales is None or (_of_all(node, scales)[:2] != 1).any()):
        return f"{node.op_type} may change the channels"
    return full


def _scaled(node: ir.Node) -> bool:
    """Whether a Resize is told factors, not sizes."""
    given = node.inputs[2:3] if node.op_type == "Resize" else ()
    return any(value is not None and 0 not in (value.shape or (1,)) for value in given)


def _of_all(node: ir.Node, scales: Array) -> Array:
    """Return factors of all axes; those that are not named stay as they are."""
    value = node.inputs[0]
    assert value is not None
    assert value.shape is not None
    rank = len(value.shape)
    every = np.ones(rank)
    every[[axis % rank for axis in node.attributes.get_ints("axes", range(rank))]] = scales
    return every
