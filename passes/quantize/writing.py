"""Write quantisation into a graph: QuantizeLinear and DequantizeLinear, in place.

Before: ``Conv(x, w, b)``.
After: ``Conv(DequantizeLinear(QuantizeLinear(x)), DequantizeLinear(w'), b)``, where ``w'`` are
int8, with a scale for each filter. What backends make of that is one kernel in 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.target import Target
from suture.passes.base import Names, add_constant
from suture.passes.quantize.calibration import Range
from suture.passes.quantize.candidates import Unit
from suture.passes.recognise.values import DEFAULT_DOMAINS

MOVING = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that make no new numbers, which can be done in 8 bits."""

FINISHING = ("Add", "Clip", "Relu")
"""Operators that a kernel in 8 bits does after its product."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What numbers become.

    Attributes:
        activations: Type of what is not constant.
        most: Greatest magnitude of a weight.
    """

    activations: Literal["uint8", "int8"]
    most: int

    @property
    def least(self) -> int:
        """The least of the type of activations."""
        return int(np.iinfo(self.activations).min)

    @classmethod
    def of(cls, target: Target | None, bits: int = 0) -> Numbers:
        """Return what suits a target's instructions.

        x86-64 multiplies uint8 by int8 and adds two products up in 16 bits, which saturates
        unless weights have 7 bits (``vpmaddubsw``; docs/kernels.md); arm64 multiplies int8 by
        int8 and adds up in 32 (``sdot``).

        Args:
            target: Where the program will run; None is taken for x86-64.
            bits: Of weights, sign included; 0 for those that suit the target.
        """
        on_arm = target is not None and target.arch == "aarch64"
        bits = bits or (8 if on_arm else 7)
        return cls(
            activations="int8" if on_arm else "uint8",
            most=127 if bits == 8 else 2 ** (bits - 1),
        )


def quantize(
    model: ir.Model, units: Iterable[Unit], ranges: Mapping[str, Range], numbers: Numbers
) -> None:
    """Put units into 8 bits, in place.

    Where a kernel in 8 bits makes a value, everyone in the graph reads it in 8 bits, so that
    the kernel writes nothing else; elsewhere other readers keep the numbers that they had.

    Args:
        model: The model.
        units: Which.
        ranges: Of the value that ``moves`` begins with for each node of theirs.
        numbers: What numbers become.
    """
    writer = _Writer(model, ranges, numbers)
    chosen = {name for unit in units for name in unit.nodes}
    nodes = [node for node in model.graph if node.outputs[0].name in chosen]
    paths = [moves(node.inputs[0]) for node in nodes]
    writer.nodes.update(nodes)
    for unit in units:
        writer.weights(unit)
    for node, path in zip(nodes, paths, strict=True):
        writer.activation(node, path)


def moves(value: ir.Value | None) -> list[ir.Value]:
    """Return the values on the way to a value, from the one whose numbers it has.

    Between them stand operators that only move numbers or choose the greatest.
    """
    assert value is not None
    path, node = [value], value.producer()
    while node is not None and _moves(node):
        assert node.inputs[0] is not None
        path.insert(0, node.inputs[0])
        node = path[0].producer()
    return path


def _moves(node: ir.Node) -> bool:
    alike = node.op_type in MOVING and node.domain in DEFAULT_DOMAINS
    return alike and len(node.outputs) == 1 and not node.outputs[0].is_graph_output()


def rounded(
    weights: npt.NDArray[Any], axis: int, most: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return weights as whole numbers, and the scale of each index of an axis."""
    others = tuple(each for each in range(weights.ndim) if each != axis)
    scale = np.abs(weights).max(others, keepdims=True).astype(np.float64) / most
    scale = np.where(scale < np.finfo(np.float32).tiny, 1, scale).astype(np.float32)
    whole = np.clip(np.rint(weights / scale), -most, most).astype(np.int8)
    return whole, scale.reshape(-1)


class _Writer:
    """Writes into one graph; a value is quantised once."""

    def __init__(self, model: ir.Model, ranges: Mapping[str, Range], numbers: Numbers) -> None:
        self.graph, self.ranges, self.numbers = model.graph, ranges, numbers
        self.names = Names(model.graph)
        self.nodes: set[ir.Node] = set()
        self.made: dict[ir.Value, ir.Value] = {}
        self.parameters: dict[ir.Value, list[ir.Value]] = {}

    def weights(self, unit: Unit) -> None:
        """Put weights into 8 bits for all that read them."""
        value = self.graph.initializers[unit.weight]
        assert value.const_value is not None
        whole, scale = rounded(value.const_value.numpy(), unit.axis, self.numbers.most)
        constants = [
            self._constant(f"{unit.weight}.quantised", whole),
            self._constant(f"{unit.weight}.scale", scale),
            self._constant(f"{unit.weight}.zero", np.zeros(len(scale), np.int8)),
        ]
        made = self._node("DequantizeLinear", constants, value, axis=unit.axis)
        first = next(node for node in self.graph if node.outputs[0].name == unit.nodes[0])
        self.graph.insert_before(first, made)
        value.replace_all_uses_with(made.outputs[0])
        del self.graph.initializers[unit.weight]

    def activation(self, node: ir.Node, path: list[ir.Value]) -> None:
        """Let a node read quantised numbers, and what moves them on the way move those."""
        readers = [*(value.producer() for value in path[1:]), node]
        for value, reader in zip(path, readers, strict=True):
            assert reader is not None
            if value not in self.made:
                self.made[value] = self._quantised(value, path[0])
            if reader.inputs[0] is value:
                reader.replace_input_with(0, self.made[value])

    def _quantised(self, value: ir.Value, source: ir.Value) -> ir.Value:
        """Return a value quantised and back, with the scale of its source."""
        if source not in self.parameters:
            self.parameters[source] = self._parameters(source)
        parameters = self.parameters[source]
        uses = [use for use in value.uses() if use.node.graph is self.graph]
        small = self._node("QuantizeLinear", [value, *parameters], value)
        small.outputs[0].type = ir.TensorType(ir.DataType[self.numbers.activations.upper()])
        made = self._node("DequantizeLinear", [small.outputs[0], *parameters], value)
        maker = value.producer()
        if maker is None:
            self.graph.insert_before(self.graph[0], [small, made])
        else:
            self.graph.insert_after(maker, [small, made])
        if self._is_small(value):
            for use in uses:
                use.node.replace_input_with(use.idx, made.outputs[0])
        return made.outputs[0]

    def _is_small(self, value: ir.Value) -> bool:
        """Whether a kernel in 8 bits makes a value, with what it does after the product."""
        node = value.producer()
        while node is not None and node not in self.nodes and node.op_type in FINISHING:
            sources = [each.producer() for each in node.inputs if each is not None]
            node = next((each for each in sources if each is not None), None)
        return node in self.nodes

    def _parameters(self, source: ir.Value) -> list[ir.Value]:
        """Return the scale and the zero of a value."""
        found, least = self.ranges[str(source.name)], self.numbers.least
        scale = np.float32((found.high - found.low) / 255)
        zero = np.clip(np.rint(-found.low / float(scale)), 0, 255) + least
        return [
            self._constant(f"{source.name}.scale", scale),
            self._constant(f"{source.name}.zero", zero.astype(self.numbers.activations)),
        ]

    def _constant(self, name: str, numbers: npt.ArrayLike) -> ir.Value:
        return add_constant(self.graph, self.names.free(name), np.asarray(numbers))

    def _node(
        self, operator: str, inputs: list[ir.Value], like: ir.Value, **attributes: int
    ) -> ir.Node:
        """Return a node that makes a value of another's shape, as float32."""
        name = self.names.free(f"{like.name}.{operator[:-6].lower()}")
        node = ir.node(operator, inputs, attributes=attributes, name=name)
        made = node.outputs[0]
        made.name, made.shape, made.type = self.names.free(name), like.shape, like.type
        return node
