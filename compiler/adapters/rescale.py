"""Map one range of values onto another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.adapters.base import Adapter, constant, element_type
from suture.compiler.component import Port


@dataclass(frozen=True)
class Rescale(Adapter):
    """``y = x * scale + offset``, for example 0..255 to 0..1."""

    name: ClassVar[str] = "rescale"
    low: float
    high: float
    to_low: float
    to_high: float

    def __post_init__(self) -> None:
        if self.low == self.high:
            raise ValueError(f"{self.low:g}..{self.high:g} is not a range")

    @classmethod
    def propose(cls, have: Port, want: Port) -> Rescale | None:
        """Apply to floating-point values where both ranges are known and differ."""
        if have.range is None or want.range is None or have.range == want.range:
            return None
        if (
            have.dtype not in ("float32", "float16", "float64")
            or have.range[0] == have.range[1]
        ):
            return None
        return cls(*have.range, *want.range)

    def output(self, port: Port) -> Port:
        """Return the port with the new range."""
        return replace(port, range=(self.to_low, self.to_high))

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return a Mul, and an Add where the offset is not zero."""
        scale = (self.to_high - self.to_low) / (self.high - self.low)
        offset = self.to_low - self.low * scale
        dtype = element_type(port.dtype)
        factor = constant("scale", scale, dtype)
        nodes = [factor, ir.node("Mul", [value, factor.outputs[0]], name="mul")]
        if offset:
            term = constant("offset", offset, dtype)
            nodes += [
                term,
                ir.node("Add", [nodes[-1].outputs[0], term.outputs[0]], name="add"),
            ]
        return nodes
