"""Fusion groups: which nodes of a prepared model become one scheduled kernel.

Decided here and nowhere else. A group is one node of the domain ``suture`` in place of a
convolution or a matrix product and what follows it: ``Conv(x, w, bias?, residual?)`` and
``Gemm(x, w, bias?, residual?)``, with the activation as attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

DOMAIN = "suture"
CONV, GEMM = "SutureConv", "SutureGemm"
FLOAT = ir.DataType.FLOAT


@dataclass
class _Chain:
    """An anchor and the nodes after it that its kernel does as well."""

    nodes: list[ir.Node]
    attributes: dict[str, Any] = field(default_factory=dict)
    bias: ir.Value | None = None
    residual: ir.Value | None = None

    @property
    def value(self) -> ir.Value:
        """What leaves the group."""
        return self.nodes[-1].outputs[0]


def group(model: ir.Model) -> tuple[str, ...]:
    """Replace every group of a prepared model, in place; return what they hold, for people."""
    told = []
    for node in list(model.graph):
        if node.graph is None:  # taken into an earlier group
            continue
        chain = _anchor(node)
        if chain is None:
            continue
        kind = CONV if node.op_type == "Conv" else GEMM
        _extend(chain, channels_last=kind == GEMM)
        _replace(model.graph, chain, kind)
        told.append(" ".join(each.op_type for each in chain.nodes))
    return tuple(told)


def _anchor(node: ir.Node) -> _Chain | None:
    """Return a chain of one node, or None where no schedule is for it."""
    if node.domain not in ("", "ai.onnx") or not _static(node.outputs[0]):
        return None
    if node.op_type == "Conv":
        return _conv(node)
    if node.op_type == "Gemm":
        return _gemm(node)
    if node.op_type == "MatMul" and _matrix(node.inputs[1]) and _static(node.inputs[0]):
        return _Chain([node]) if len(_shape(node.inputs[0])) > 1 else None
    return None


def _conv(node: ir.Node) -> _Chain | None:
    x, w = node.inputs[:2]
    if not _static(x) or not _constant(w) or w is None or w.dtype != FLOAT:
        return None
    shape, kernel = _shape(x), _shape(w)
    if len(shape) != 4 or shape[0] != 1 or len(kernel) != 4:
        return None
    groups = node.attributes.get_int("group", 1)
    depthwise = groups > 1 and groups == shape[1] == kernel[0]
    strides = list(node.attributes.get_ints("strides", [1, 1]))
    dilations = list(node.attributes.get_ints("dilations", [1, 1]))
    pads = _pads(node, shape[2:], kernel[2:], strides, dilations)
    if pads is None or min(pads) < 0:
        return None
    attributes = {
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "depthwise": int(depthwise),
        "groups": 1 if depthwise else groups,
    }
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and not _constant(bias):
        return None
    return _Chain([node], attributes, bias=bias)


def _pads(
    node: ir.Node,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[int] | None:
    """Return pads as numbers, whatever ``auto_pad`` says."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    if auto == "VALID":
        return [0, 0, 0, 0]
    begins, ends = [], []
    for axis in range(2):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        steps = -(-size[axis] // strides[axis]) - 1
        total = max(steps * strides[axis] + reach - size[axis], 0)
        less, more = total // 2, total - total // 2
        begins.append(less if auto == "SAME_UPPER" else more)
        ends.append(more if auto == "SAME_UPPER" else less)
    return [*begins, *ends]


def _gemm(node: ir.Node) -> _Chain | None:
    plain = (
        node.attributes.get_int("transA", 0) == 0
        and node.attributes.get_float("alpha", 1.0) == 1.0
        and node.attributes.get_float("beta", 1.0) == 1.0
    )
    if not plain or not _matrix(node.inputs[1]) or not _static(node.inputs[0]):
        return None
    attributes = {"transposed": node.attributes.get_int("transB", 0)}
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and not _vector(bias, _shape(node.outputs[0])[-1]):
        return None
    return _Chain([node], attributes, bias=bias)


def _extend(chain: _Chain, *, channels_last: bool) -> None:
    """Take in what follows, as long as nothing else reads what is in between."""
    while True:
        uses = list(chain.value.uses())
        if len(uses) != 1 or chain.value.is_graph_output():
            return
        node = uses[0].node
        if node.domain not in ("", "ai.onnx") or node.graph is not chain.nodes[0].graph:
            return
        if node.op_type in ("Add", "Sum") and len(node.inputs) == 2:
            if not _add(chain, node, channels_last=channels_last):
                return
        elif node.op_type == "Relu":
            chain.attributes["activation"] = "relu"
            chain.nodes.append(node)
            return
        elif node.op_type == "Clip":
            bounds = _bounds(node)
            if bounds is not None:
                chain.attributes |= {"activation": "clip", "low": bounds[0], "high": bounds[1]}
                chain.nodes.append(node)
            return
        else:
            return


def _add(chain: _Chain, node: ir.Node, *, channels_last: bool) -> bool:
    """Take in an addition, of a constant for each channel or of a tensor of the same shape."""
    value = chain.value
    other = node.inputs[0] if node.inputs[1] is value else node.inputs[1]
    if other is None or other is value or other.dtype != FLOAT or chain.residual is not None:
        return False
    columns = _shape(value)[-1]
    if channels_last and chain.bias is None and _vector(other, columns):
        chain.bias = other
    elif (
        _static(other)
        and _shape(other) == _shape(value)
        and not _constant(other)
        and chain.attributes.get("groups", 1) == 1
    ):
        chain.residual = other
    else:
        return False
    chain.nodes.append(node)
    return True


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """Return a Clip's bounds, or None where they are not constant."""
    bounds = [-3.4028234663852886e38, 3.4028234663852886e38]
    for position in (0, 1):
        if len(node.inputs) > position + 1 and node.inputs[position + 1] is not None:
            numbers = _numbers(node.inputs[position + 1])
            if numbers is None or numbers.size != 1:
                return None
            bounds[position] = float(numbers.reshape(-1)[0])
    low = node.attributes.get_float("min", bounds[0])
    high = node.attributes.get_float("max", bounds[1])
    return float(low), float(high)


def _replace(graph: ir.Graph, chain: _Chain, kind: str) -> None:
    """Put one node where the last of a group stands."""
    first, last = chain.nodes[0], chain.nodes[-1]
    old = chain.value
    new = ir.node(
        kind,
        [first.inputs[0], first.inputs[1], chain.bias, chain.residual],
        attributes=chain.attributes,
        domain=DOMAIN,
        name=first.name,
    )
    new.outputs[0].shape, new.outputs[0].type = old.shape, old.type
    new.outputs[0].name = old.name
    ir.convenience.replace_nodes_and_values(
        graph, last, list(reversed(chain.nodes)), [new], [old], [new.outputs[0]]
    )


def _static(value: ir.Value | None) -> bool:
    """Whether a value is a float32 tensor of known shape with no empty axis."""
    return (
        value is not None
        and value.dtype == FLOAT
        and value.shape is not None
        and value.shape.is_static()
        and all(value.shape.numpy())
    )


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    assert value is not None
    assert value.shape is not None
    return tuple(value.shape.numpy())


def _constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _matrix(value: ir.Value | None) -> bool:
    return _constant(value) and _static(value) and len(_shape(value)) == 2


def _vector(value: ir.Value | None, size: int) -> bool:
    if not _constant(value) or not _static(value):
        return False
    shape = _shape(value)
    return shape[-1:] == (size,) and int(np.prod(shape)) == size


def _numbers(value: ir.Value | None) -> npt.NDArray[Any] | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()
