"""Bring an image to the size a component wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.adapters.base import Adapter, axis_size, constant, with_axes
from suture.compiler.component import Port


@dataclass(frozen=True)
class Resize(Adapter):
    """Bilinear, half-pixel centres, as image libraries do it; NCHW only."""

    name: ClassVar[str] = "resize"
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"{self.height}x{self.width} is not a size")

    @classmethod
    def propose(cls, have: Port, want: Port) -> Resize | None:
        """Apply to a floating-point NCHW image of another, or not yet known, size."""
        if have.layout != "NCHW" or not have.kind.startswith("image/"):
            return None
        height, width = axis_size(want, "H"), axis_size(want, "W")
        if not (isinstance(height, int) and isinstance(width, int)):
            return None
        if (axis_size(have, "H"), axis_size(have, "W")) == (height, width):
            return None
        return cls(height, width) if have.dtype.startswith("float") else None

    def output(self, port: Port) -> Port:
        """Return the port with the new height and width."""
        return with_axes(port, H=self.height, W=self.width)

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return one Resize to fixed sizes."""
        sizes = constant("sizes", [self.height, self.width], ir.DataType.INT64)
        attributes: dict[str, str | list[int]] = {
            "mode": "linear",
            "coordinate_transformation_mode": "half_pixel",
            "axes": [2, 3],
        }
        inputs = [value, None, None, sizes.outputs[0]]
        return [sizes, ir.node("Resize", inputs, attributes, name="resize")]
