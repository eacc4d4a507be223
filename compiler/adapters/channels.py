"""Colour to grey and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.compiler.adapters.base import Adapter, constant, element_type, with_axes
from suture.compiler.component import Port

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601), as Pillow's mode ``L`` has them."""


@dataclass(frozen=True)
class ToGray(Adapter):
    """A 1×1 convolution with the weights of luma."""

    name: ClassVar[str] = "to-gray"

    @classmethod
    def propose(cls, have: Port, want: Port) -> ToGray | None:
        """Apply to a floating-point NCHW colour image where a grey one is wanted."""
        fits = have.layout == "NCHW" and have.dtype.startswith("float")
        return (
            cls() if fits and (have.kind, want.kind) == ("image/rgb", "image/gray") else None
        )

    def output(self, port: Port) -> Port:
        """Return the port with one channel."""
        return replace(with_axes(port, C=1), kind="image/gray")

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return one Conv."""
        weights = np.array(LUMA).reshape(1, 3, 1, 1)
        luma = constant("luma", weights, element_type(port.dtype))
        return [luma, ir.node("Conv", [value, luma.outputs[0]], name="conv")]


@dataclass(frozen=True)
class ToRgb(Adapter):
    """The grey channel three times."""

    name: ClassVar[str] = "to-rgb"

    @classmethod
    def propose(cls, have: Port, want: Port) -> ToRgb | None:
        """Apply to a NCHW grey image where a colour one is wanted."""
        fits = have.layout == "NCHW"
        return (
            cls() if fits and (have.kind, want.kind) == ("image/gray", "image/rgb") else None
        )

    def output(self, port: Port) -> Port:
        """Return the port with three channels."""
        return replace(with_axes(port, C=3), kind="image/rgb")

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return one Concat."""
        return [ir.node("Concat", [value, value, value], {"axis": 1}, name="concat")]
