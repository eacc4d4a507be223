"""Read from a model what nobody should have to type: ports, weights, work, memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from suture.compiler.component import Port, Resources
from suture.compiler.model import bind_symbols, free_symbols, shape_of
from suture.errors import Location, ModelError


def read_ports(values: list[ir.Value] | tuple[ir.Value, ...]) -> tuple[Port, ...]:
    """Return a ``tensor`` port for each graph input or output.

    Raises:
        ModelError: A value has no element type or no rank, or holds no numbers.
    """
    ports = []
    for value in values:
        at = Location(str(value.name))
        if value.dtype is None:
            raise ModelError("a graph input or output has no element type", at=at)
        if value.dtype == ir.DataType.STRING:
            dtype = "str"
        else:
            try:
                dtype = value.dtype.numpy().name
            except TypeError as error:
                raise ModelError(f"no NumPy type for {value.dtype}", at=at) from error
        ports.append(
            Port(name=str(value.name), kind="tensor", dtype=dtype, shape=shape_of(value))
        )
    return tuple(ports)


def read_resources(model: ir.Model) -> Resources:
    """Return what one run needs; free dimensions count as 1.

    The model is changed: its symbols are bound.
    """
    bind_symbols(model, dict.fromkeys(free_symbols(model), 1))
    tensors = [value.const_value for value in model.graph.initializers.values()]
    params = sum(tensor.size for tensor in tensors if tensor is not None)
    return Resources(
        params=params,
        flops=sum(node_flops(node) for node in model.graph),
        peak_bytes=peak_activation_bytes(model),
    )


def elements(value: ir.Value | None) -> int:
    """Return the number of elements of a value, 0 where its shape is not known."""
    if value is None or value.shape is None:
        return 0
    return math.prod(dim if isinstance(dim, int) else 1 for dim in value.shape)


def _conv(node: ir.Node) -> int:
    weight = node.inputs[1]
    if weight is None or weight.shape is None or not isinstance(weight.shape[0], int):
        return 0
    per_output = elements(weight) // max(1, weight.shape[0])
    return 2 * per_output * elements(node.outputs[0])


def _conv_transpose(node: ir.Node) -> int:
    weight = node.inputs[1]
    if weight is None or weight.shape is None or not isinstance(weight.shape[0], int):
        return 0
    return 2 * (elements(weight) // max(1, weight.shape[0])) * elements(node.inputs[0])


def _matmul(node: ir.Node) -> int:
    left = node.inputs[0]
    if left is None or left.shape is None or not left.shape.rank():
        return 0
    transposed = node.op_type == "Gemm" and bool(node.attributes.get_int("transA", 0))
    inner = left.shape[0 if transposed else -1]
    return 2 * (inner if isinstance(inner, int) else 1) * elements(node.outputs[0])


def _attention(node: ir.Node) -> int:
    """Each query times each key of its head, and each product times a row of values."""
    key = node.inputs[1]
    rows = key.shape[-2] if key is not None and key.shape is not None else 1
    work = elements(node.inputs[0]) + elements(node.outputs[0])
    return 2 * work * (rows if isinstance(rows, int) else 1)


def _recurrent(node: ir.Node) -> int:
    sequence = node.inputs[0]
    steps = sequence.shape[0] if sequence is not None and sequence.shape is not None else 1
    weights = elements(node.inputs[1]) + elements(node.inputs[2])
    return 2 * weights * (steps if isinstance(steps, int) else 1)


FLOPS: Mapping[str, Callable[[ir.Node], int]] = {
    "Attention": _attention,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _matmul,
    "MatMul": _matmul,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
"""Operators whose work is not one operation an output element."""

FREE = frozenset(
    {"Constant", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Shape"}
)
"""Operators that compute nothing."""


def node_flops(node: ir.Node) -> int:
    """Return a node's work, a multiply-add counted as two; of an If, the larger branch."""
    branches = [a.as_graph() for a in node.attributes.values() if a.type.name == "GRAPH"]
    if branches:
        return max(sum(node_flops(inner) for inner in graph) for graph in branches)
    if node.op_type in FREE:
        return 0
    if node.op_type in FLOPS:
        return FLOPS[node.op_type](node)
    return sum(elements(value) for value in node.outputs)


def peak_activation_bytes(model: ir.Model) -> int:
    """Return the largest sum of live activations, running nodes in graph order."""
    last_use: dict[ir.Value, int] = {}
    nodes = list(model.graph)
    for position, node in enumerate(nodes):
        last_use.update(dict.fromkeys(_read(node), position))
    for value in model.graph.outputs:
        last_use[value] = len(nodes)
    live = sum(_bytes(value) for value in model.graph.inputs)
    peak = live
    for position, node in enumerate(nodes):
        live += sum(_bytes(value) for value in node.outputs)
        peak = max(peak, live)
        done = {*_read(node), *node.outputs}
        live -= sum(
            _bytes(v)
            for v in done
            if last_use.get(v, position) == position and not v.is_initializer()
        )
    return peak


def _read(node: ir.Node) -> set[ir.Value]:
    """Return the values of the graph that a node reads, its branches included."""
    found = {value for value in node.inputs if value is not None}
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            inner = attribute.as_graph()
            made = {value for each in inner for value in each.outputs}
            used = {value for each in inner for value in _read(each)}
            found |= used - made - set(inner.inputs)
    return found


def _bytes(value: ir.Value) -> int:
    size = value.dtype.itemsize if value.dtype not in (None, ir.DataType.STRING) else 4
    return math.ceil(elements(value) * size)
