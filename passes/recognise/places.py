"""Where the elements of a value lie in another that it is merely rearranged from.

Exporters write attention with transpositions, splits and reshapes around its products. Places
are found by rearranging the numbers 0, 1, 2 … the same way; a kernel can follow them where
they are the same distance apart along each axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.recognise.evaluate import evaluate
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_constant,
    is_static,
    numbers_of,
    shape_of,
)

REARRANGING = frozenset(
    {
        "Transpose",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Split",
        "Gather",
        "Slice",
        "Identity",
        "Flatten",
    }
)
MOST_ELEMENTS = 1 << 25

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arranged:
    """A value that is another one rearranged, times a number.

    Attributes:
        source: The other one.
        nodes: What lies between, in an order in which they can run.
        places: For each element, its place in the source.
        scale: What the source's elements are multiplied by.
    """

    source: ir.Value
    nodes: tuple[ir.Node, ...]
    places: Places
    scale: float = 1.0


def arranged(value: ir.Value, *, scaled: bool) -> Arranged | None:
    """Return what a value is rearranged from, as far back as can be followed.

    Args:
        value: A value of known shape; None is returned for one that is too large.
        scaled: Whether products with a number are followed as well.
    """
    nodes: list[ir.Node] = []
    source, scale = value, 1.0
    while (node := source.producer()) is not None:
        factor = scalar_factor(node, source) if scaled else None
        rearranges = (
            node.op_type in REARRANGING
            and node.domain in DEFAULT_DOMAINS
            and all(v is None or is_constant(v) for v in node.inputs[1:])
        )
        before = factor[0] if factor else node.inputs[0]
        if not (factor or rearranges) or before is None or not is_static(before):
            break
        scale *= factor[1] if factor else 1.0
        nodes.insert(0, node)
        source = before
    if not is_static(source) or math.prod(shape_of(source)) > MOST_ELEMENTS:
        return None
    places = np.arange(math.prod(shape_of(source))).reshape(shape_of(source))
    found = follow(nodes, source, places, value)
    return None if found is None else Arranged(source, tuple(nodes), found, scale)


def follow(
    nodes: list[ir.Node], source: ir.Value, places: Places, wanted: ir.Value
) -> Places | None:
    """Return places after some nodes; products leave them as they are."""
    current, at = source, places
    for node in nodes:
        after = wanted if wanted in node.outputs else node.outputs[0]
        if len(node.outputs) > 1 and after is not wanted:
            after = next(o for o in node.outputs if any(u.node in nodes for u in o.uses()))
        if node.op_type in REARRANGING:
            moved = evaluate([node], {current: at}, after)
            if moved is None:
                return None
            at = moved
        current = after
    return at


def scalar_factor(node: ir.Node, value: ir.Value) -> tuple[ir.Value, float] | None:
    """Return what a product or quotient multiplies by which number, or None."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in ("Mul", "Div"):
        return None
    for other, constant in ((0, 1), (1, 0)):
        if node.op_type == "Div" and constant == 0:
            continue
        numbers, base = numbers_of(node.inputs[constant]), node.inputs[other]
        if numbers is None or numbers.size != 1 or base is None or base.shape != value.shape:
            continue
        number = float(numbers.reshape(()))
        if number:
            return base, 1 / number if node.op_type == "Div" else number
    return None


def steps(places: Places) -> tuple[int, ...] | None:
    """Return the first place and the distance along each axis, or None where they vary."""
    first = int(places.flat[0])
    strides = []
    expected = np.asarray(first)
    for axis, size in enumerate(places.shape):
        one = tuple(int(other == axis) for other in range(places.ndim))
        stride = int(places[one]) - first if size > 1 else 0
        if size == 1 and axis == places.ndim - 1:
            stride = 1
        strides.append(stride)
        along = np.arange(size).reshape([-1] + [1] * (places.ndim - axis - 1))
        expected = expected + along * stride
    return (first, *strides) if np.array_equal(places, expected) else None
