"""Which nodes can be computed in 8 bits, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from suture.compiler.inspect import node_flops
from suture.passes.base import Note, note
from suture.passes.recognise.integer import has_integer_kernel
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_fixed,
    is_static,
    numbers_of,
    shape_of,
)

PRODUCTS = ("Conv", "Gemm", "MatMul")

FEWEST_CHANNELS = 3
"""Of fewer, a convolution is faster in float32: 3.8 against 10 µs for 1 -> 16, 3×3, 32²."""


@dataclass(frozen=True)
class Unit:
    """Nodes that go into 8 bits together, because they read the same weights.

    Attributes:
        nodes: Names of what they make, in the order of the graph.
        weight: Name of the initializer.
        axis: Where its filters lie: each has a scale of its own.
        flops: Work of one run.
    """

    nodes: tuple[str, ...]
    weight: str
    axis: int
    flops: int


def is_quantised(model: ir.Model) -> bool:
    """Whether something of a model is in 8 bits already."""
    return any(
        node.op_type.startswith(("QLinear", "QuantizeLinear", "DequantizeLinear", "DynamicQ"))
        or node.op_type.endswith("Integer")
        for node in model.graph.all_nodes()
    )


def find_units(model: ir.Model) -> tuple[tuple[Unit, ...], tuple[Note, ...]]:
    """Return what can go into 8 bits, and notes on the convolutions and products that cannot.

    Constants are initializers.
    """
    readers: dict[ir.Value, list[ir.Node]] = {}
    declined: list[Note] = []
    for node in model.graph:
        if node.op_type not in PRODUCTS or node.domain not in DEFAULT_DOMAINS:
            continue
        reason = _unfit(node)
        if reason is not None:
            declined.append(note(node, reason))
        else:
            weight = node.inputs[1]
            assert weight is not None
            readers.setdefault(weight, []).append(node)
    declined.extend(_inside(model))
    units = []
    for weight, nodes in readers.items():
        axes = {filters_axis(node) for node in nodes}
        if len(axes) > 1 or len(list(weight.uses())) > len(nodes) or weight.is_graph_output():
            declined.extend(note(node, "others read its weights too") for node in nodes)
            continue
        units.append(
            Unit(
                nodes=tuple(str(node.outputs[0].name) for node in nodes),
                weight=str(weight.name),
                axis=axes.pop(),
                flops=sum(map(node_flops, nodes)),
            )
        )
    return tuple(units), tuple(declined)


def filters_axis(node: ir.Node) -> int:
    """Return the axis of a node's weights along which its results lie."""
    transposed = node.attributes.get_int("transB", 0)
    return 0 if node.op_type == "Conv" or transposed else 1


def _unfit(node: ir.Node) -> str | None:
    """Return why a node cannot be computed in 8 bits, or None."""
    x, w = node.inputs[:2]
    if x is None or w is None:
        return "an operand is missing"
    if x.dtype != ir.DataType.FLOAT:
        kind = "of unknown type" if x.dtype is None else x.dtype.name.lower()
        return f"its numbers are {kind}, not float"
    if numbers_of(x) is not None:
        return "what it multiplies is constant"
    weights = numbers_of(w)
    if weights is None or w not in (w.graph.initializers.values() if w.graph else ()):
        return "its weights are not constant"
    if not np.isfinite(weights).all():
        return "not all of its weights are finite"
    if not is_static(x) or not is_fixed(node.outputs[0]):
        return "its sizes are not known"
    if not weights.any():
        return "its weights are all zero"
    return _unfit_conv(node, x, w) if node.op_type == "Conv" else _unfit_product(node, x, w)


def _unfit_conv(node: ir.Node, x: ir.Value, w: ir.Value) -> str | None:
    shape = shape_of(x)
    if len(shape) != 4:
        return "only convolutions of two axes have kernels in 8 bits"
    groups = node.attributes.get_int("group", 1)
    if not has_integer_kernel(shape_of(w), groups):
        return "groups of several channels have no kernel in 8 bits"
    if groups == 1 and shape[1] < FEWEST_CHANNELS:
        return f"of four channels that a step multiplies in 8 bits it has {shape[1]}"
    return None


def _unfit_product(node: ir.Node, x: ir.Value, w: ir.Value) -> str | None:
    if len(shape_of(w)) != 2 or len(shape_of(x)) < 2:
        return "only products by a matrix have kernels in 8 bits"
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    transposed = node.attributes.get_int("transA", 0)
    if factors != [1.0, 1.0] or transposed:
        return "a scaled or transposed product has no kernel in 8 bits"
    return None


def _inside(model: ir.Model) -> Iterator[Note]:
    """Yield notes on the products in If, Loop and Scan."""
    for graph in model.graph.subgraphs():
        for node in graph:
            if node.op_type in PRODUCTS and node.domain in DEFAULT_DOMAINS:
                yield note(node, "it is inside of another node")
