"""What an adapter is: a small ONNX graph that turns one port into another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.compiler.component import Dim, Port
from suture.compiler.model import infer_shapes
from suture.compiler.spec import format_spec

OPSET = 18
"""Operator set that adapters are written in."""

INPUT = "input"
OUTPUT = "output"


@dataclass(frozen=True)
class Adapter(ABC):
    """One conversion; its fields are the options of its spec."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def propose(cls, have: Port, want: Port) -> Adapter | None:
        """Return the conversion that brings ``have`` nearer to ``want``, or None."""

    @abstractmethod
    def output(self, port: Port) -> Port:
        """Return the port that leaves when ``port`` enters."""

    @abstractmethod
    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return the nodes that convert ``value``; the last one's first output leaves."""

    def build(self, port: Port) -> ir.Model:
        """Return the conversion as a model from ``input`` to ``output``."""
        value = ir.Value(
            name=INPUT,
            shape=ir.Shape(list(port.shape)),
            type=ir.TensorType(element_type(port.dtype)),
        )
        nodes = self.nodes(port, value)
        result = nodes[-1].outputs[0]
        result.name = OUTPUT
        leaves = self.output(port)
        result.type = ir.TensorType(element_type(leaves.dtype))
        graph = ir.Graph(
            [value], [result], nodes=nodes, opset_imports={"": OPSET}, name=self.name
        )
        model = ir.Model(graph, ir_version=10)
        infer_shapes(model)
        return model

    def __str__(self) -> str:
        return format_spec(self.name, self)


def element_type(dtype: str) -> ir.DataType:
    """Return ONNX's element type of a NumPy name."""
    return ir.DataType.from_numpy(np.dtype(dtype))


def constant(name: str, data: object, dtype: ir.DataType) -> ir.Node:
    """Return a Constant node of the given numbers."""
    tensor = ir.tensor(np.asarray(data, dtype=dtype.numpy()), name=name)
    return ir.node("Constant", [], attributes={"value": tensor}, name=name)


def with_axes(port: Port, **sizes: Dim) -> Port:
    """Return a port with the sizes of some lettered axes of its layout replaced."""
    layout = port.layout or ""
    shape = tuple(sizes.get(axis, dim) for axis, dim in zip(layout, port.shape, strict=True))
    return replace(port, shape=shape)


def axis_size(port: Port, axis: str) -> Dim | None:
    """Return the size of a lettered axis, or None where the layout lacks it."""
    position = (port.layout or "").find(axis)
    return port.shape[position] if 0 <= position < len(port.shape) else None
