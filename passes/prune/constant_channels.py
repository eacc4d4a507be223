"""Remove channels that are the same for every input, or that nobody looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.recognise.evaluate import evaluate
from suture.passes.recognise.row_wise import UNARY
from suture.passes.recognise.values import DEFAULT_DOMAINS, FLOAT

Array = npt.NDArray[Any]
WEIGHT, BIAS = 1, 2


@dataclass(frozen=True)
class PruneConstantChannels(EachGraphPass):
    """Cut channels between two convolutions, or two Gemms, that carry nothing.

    Before: ``t = Relu(Conv(x, w, b)); y = Conv(t, v, c)``, where a filter of w is zero, so its
    channel of t is the number a everywhere, or where v multiplies a channel by zero.
    After: both without that channel, and a's part of the sums added to c.
    What is not zero cannot move past zero padding, and one channel stays in any case.
    """

    name: ClassVar[str] = "prune-constant-channels"

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Look behind each convolution and Gemm of constants."""
        made, declined = [], []
        for node in list(graph):
            chain = _chain(node) if _is_linear(node) else None
            if chain is None:
                continue
            numbers = _constants(node, chain[:-1])
            unread = ~_by_input(chain[-1]).reshape(len(numbers), -1).any(axis=1)
            useless = ~np.isnan(numbers) | unread
            if not useless.any():
                continue
            padded = useless & ~unread & (numbers != 0) & _pads(chain[-1])
            if padded.any():
                reason = f"{padded.sum()} constant channels cannot move past zero padding"
                declined.append(note(node, reason))
            cut = np.flatnonzero(useless & ~padded)
            cut = cut[: len(numbers) - 1]
            if len(cut):
                made.append(note(node, f"{len(cut)} of {len(numbers)} channels carry nothing"))
                _cut(node, chain, np.where(unread, 0, numbers), cut, names)
        return made, declined


def _is_linear(node: ir.Node) -> bool:
    """Whether a node is an ungrouped convolution, or a Gemm, of constants of its own."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in ("Conv", "Gemm"):
        return False
    plain = (
        node.attributes.get_int("group", 1) == 1
        and node.attributes.get_int("transA", 0) == 0
        and node.attributes.get_float("alpha", 1.0) == 1.0
        and node.attributes.get_float("beta", 1.0) == 1.0
    )
    given = [value for value in node.inputs[WEIGHT:] if value is not None]
    return plain and all(
        constant_of(value) is not None and value.dtype == FLOAT and len(value.uses()) == 1
        for value in given
    )


def _chain(node: ir.Node) -> list[ir.Node] | None:
    """Return what follows a node alone, up to the next of its kind, or None."""
    found: list[ir.Node] = []
    value = node.outputs[0]
    while len(uses := list(value.uses())) == 1 and not value.is_graph_output():
        behind = uses[0].node
        if behind.graph is not node.graph or uses[0].idx != 0:
            return None
        found.append(behind)
        if behind.op_type == node.op_type and _is_linear(behind):
            biases = (_bias(node, len(_filters(node))), _bias(behind, len(_filters(behind))))
            return None if any(bias is None for bias in biases) else found
        if behind.op_type not in UNARY or behind.domain not in DEFAULT_DOMAINS:
            return None
        if any(v is not None and constant_of(v) is None for v in behind.inputs[1:]):
            return None
        value = behind.outputs[0]
    return None


def _filters(node: ir.Node) -> Array:
    """Return the weights with output channels first."""
    return _turned(node, transposed=True)


def _by_input(node: ir.Node) -> Array:
    """Return the weights with input channels first."""
    return _turned(node, transposed=False)


def _turned(node: ir.Node, *, transposed: bool) -> Array:
    weight = constant_of(node.inputs[WEIGHT])
    assert weight is not None
    array = weight.numpy()
    outputs_first = node.op_type == "Conv" or bool(node.attributes.get_int("transB", 0))
    return array if outputs_first == transposed else array.swapaxes(0, 1)


def _bias(node: ir.Node, channels: int) -> Array | None:
    """Return the bias in double precision; None where it is not one number a channel."""
    given = constant_of(node.inputs[BIAS]) if len(node.inputs) > BIAS else None
    if given is None:
        return np.zeros(channels)
    array = given.numpy().astype(np.float64)
    return array.reshape(-1) if array.size == channels else None


def _constants(node: ir.Node, between: list[ir.Node]) -> Array:
    """Return what each channel is everywhere behind some activations, NaN where it varies."""
    filters = _filters(node)
    bias = _bias(node, len(filters))
    assert bias is not None
    numbers = bias.astype(np.float32)
    if between:
        answer = evaluate(between, {node.outputs[0]: numbers}, between[-1].outputs[0])
        numbers = np.full_like(bias, np.nan) if answer is None else answer
    varies = filters.reshape(len(filters), -1).any(axis=1)
    return np.where(varies, np.nan, numbers.astype(np.float64))


def _pads(node: ir.Node) -> bool:
    """Whether a node adds zeros around what it reads."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    pads = node.attributes.get_ints("pads", ()) or ()
    return node.op_type == "Conv" and (auto not in ("NOTSET", "VALID") or any(pads))


def _cut(
    node: ir.Node, chain: list[ir.Node], numbers: Array, cut: Array, names: Names
) -> None:
    """Take channels out of the weights on either side."""
    last, filters = chain[-1], _filters(node)
    inputs = _by_input(last)
    outputs = inputs.shape[1]
    bias, after = _bias(node, len(filters)), _bias(last, outputs)
    assert bias is not None
    assert after is not None
    sums = inputs[cut].astype(np.float64).reshape(len(cut), outputs, -1).sum(axis=2)
    total = after + numbers[cut] @ sums
    _give(node, names, WEIGHT, _back(node, np.delete(filters, cut, 0), transposed=True))
    if len(node.inputs) > BIAS and node.inputs[BIAS] is not None:
        _give(node, names, BIAS, np.delete(bias, cut).astype(filters.dtype))
    _give(last, names, WEIGHT, _back(last, np.delete(inputs, cut, 0), transposed=False))
    if total.any() or len(last.inputs) > BIAS:
        _give(last, names, BIAS, total.astype(filters.dtype))
    left = len(filters) - len(cut)
    for each in (node, *chain[:-1]):
        value = each.outputs[0]
        if value.shape is not None:
            dims = [left if axis == 1 else dim for axis, dim in enumerate(value.shape)]
            value.shape = ir.Shape(dims)


def _back(node: ir.Node, array: Array, *, transposed: bool) -> Array:
    """Return weights as the node has them."""
    outputs_first = node.op_type == "Conv" or bool(node.attributes.get_int("transB", 0))
    return array if outputs_first == transposed else array.swapaxes(0, 1)


def _give(node: ir.Node, names: Names, position: int, data: Array) -> None:
    """Put a new constant in place of an input."""
    assert isinstance(node.graph, ir.Graph)
    stem = node.name or node.outputs[0].name or node.op_type
    name = names.free(f"{stem}.{'weight' if position == WEIGHT else 'bias'}")
    if len(node.inputs) <= position:
        node.resize_inputs(position + 1)
    node.replace_input_with(position, add_constant(node.graph, name, data))
