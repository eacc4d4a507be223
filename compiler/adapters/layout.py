"""Order and insert axes: HWC → NCHW and the like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.adapters.base import Adapter, constant
from suture.compiler.component import Port


@dataclass(frozen=True)
class Layout(Adapter):
    """Transpose the axes that are there, then insert those that are missing with size 1."""

    name: ClassVar[str] = "layout"
    source: str
    target: str

    def __post_init__(self) -> None:
        if self.source == self.target or not set(self.source) <= set(self.target):
            raise ValueError(f"{self.source} cannot become {self.target}")

    @classmethod
    def propose(cls, have: Port, want: Port) -> Layout | None:
        """Apply where both name their axes and no axis would have to go."""
        if not have.layout or not want.layout or have.layout == want.layout:
            return None
        if len(have.layout) != len(have.shape) or not set(have.layout) <= set(want.layout):
            return None
        return cls(have.layout, want.layout)

    def _order(self) -> list[int]:
        return [self.source.index(axis) for axis in self.target if axis in self.source]

    def output(self, port: Port) -> Port:
        """Return the port with its axes in the target's order."""
        sizes = dict(zip(self.source, port.shape, strict=True))
        shape = tuple(sizes.get(axis, 1) for axis in self.target)
        return replace(port, layout=self.target, shape=shape)

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return a Transpose where the order changes, and an Unsqueeze where axes are new."""
        order = self._order()
        nodes = []
        if order != sorted(order):
            nodes.append(ir.node("Transpose", [value], {"perm": order}, name="transpose"))
            value = nodes[-1].outputs[0]
        new = [i for i, axis in enumerate(self.target) if axis not in self.source]
        if new:
            axes = constant("axes", new, ir.DataType.INT64)
            nodes += [axes, ir.node("Unsqueeze", [value, axes.outputs[0]], name="unsqueeze")]
        return nodes
