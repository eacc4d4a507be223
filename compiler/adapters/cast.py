"""Change the element type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.adapters.base import Adapter, element_type
from suture.compiler.component import Port


@dataclass(frozen=True)
class Cast(Adapter):
    """ONNX Cast; only towards floating point, where nothing is lost that was asked for."""

    name: ClassVar[str] = "cast"
    to: str

    def __post_init__(self) -> None:
        try:
            element_type(self.to)
        except TypeError as error:
            raise ValueError(f"{self.to!r} is not an element type") from error

    @classmethod
    def propose(cls, have: Port, want: Port) -> Cast | None:
        """Apply where the types differ and the wanted one is a float."""
        if have.dtype == want.dtype or not want.dtype.startswith("float"):
            return None
        return cls(want.dtype)

    def output(self, port: Port) -> Port:
        """Return the port with the new type."""
        return replace(port, dtype=self.to)

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return one Cast."""
        to = int(element_type(self.to))
        return [ir.node("Cast", [value], {"to": to}, name="cast")]
