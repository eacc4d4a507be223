"""Projections of one input as one product: Q, K and V of an attention side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.codegen.groups.base import DOMAIN
from suture.codegen.groups.gemm import GEMM
from suture.passes.recognise.places import Arranged
from suture.passes.recognise.values import numbers_of, shape_of

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Joined:
    """A product that stands for several.

    Attributes:
        node: The product.
        operands: What was rearranged from theirs, now from its own.
    """

    node: ir.Node
    operands: tuple[Arranged, ...]


def join(operands: Sequence[Arranged], readers: Sequence[ir.Node]) -> Joined | None:
    """Return one product for operands that come from several of one input, or None.

    Args:
        operands: What is read of them.
        readers: The nodes that read the operands; nothing else may.
    """
    products = [each.source.producer() for each in operands]
    if not all(product is not None and _is_plain(product) for product in products):
        return None
    found = [product for product in products if product is not None]
    if len(set(found)) != len(found) or len({product.inputs[0] for product in found}) != 1:
        return None
    inside = {*readers, *(node for each in operands for node in each.nodes)}
    values = [o for node in inside - set(readers) for o in node.outputs]
    for value in (*values, *(each.source for each in operands)):
        if value.is_graph_output() or any(use.node not in inside for use in value.uses()):
            return None
    weights = [_weights(product) for product in found]
    biases = [_bias(product, w.shape[1]) for product, w in zip(found, weights, strict=True)]
    name = f"{found[0].name}.joined"
    node = ir.node(
        GEMM,
        [
            found[0].inputs[0],
            _constant(f"{name}.weights", np.concatenate(weights, axis=1)),
            _constant(f"{name}.bias", np.concatenate(biases)),
            None,
        ],
        attributes={"transposed": 0},
        domain=DOMAIN,
        name=name,
    )
    sizes = [w.shape[1] for w in weights]
    out = node.outputs[0]
    out.name, out.type = f"{name}.out", operands[0].source.type
    out.shape = ir.Shape((*shape_of(operands[0].source)[:-1], sum(sizes)))
    moved = []
    for position, (each, size) in enumerate(zip(operands, sizes, strict=True)):
        row, column = np.divmod(each.places, size)
        places = row * sum(sizes) + column + sum(sizes[:position])
        moved.append(replace(each, source=out, places=places))
    return Joined(node, tuple(moved))


def _is_plain(node: ir.Node) -> bool:
    """Whether a node is a product group that ends with its bias."""
    return (
        node.domain == DOMAIN
        and node.op_type == GEMM
        and node.inputs[3] is None
        and "activation" not in node.attributes
    )


def _weights(node: ir.Node) -> Array:
    weights = numbers_of(node.inputs[1])
    assert weights is not None
    return weights.T if node.attributes.get_int("transposed", 0) else weights


def _bias(node: ir.Node, columns: int) -> Array:
    bias = numbers_of(node.inputs[2])
    return np.zeros(columns, np.float32) if bias is None else bias.reshape(-1)


def _constant(name: str, numbers: Array) -> ir.Value:
    tensor = ir.tensor(np.ascontiguousarray(numbers), name=name)
    return ir.Value(
        name=name,
        shape=ir.Shape(numbers.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
