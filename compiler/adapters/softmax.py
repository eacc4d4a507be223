"""Scores to probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.adapters.base import Adapter
from suture.compiler.component import Port


@dataclass(frozen=True)
class Softmax(Adapter):
    """Turn ``logits/x`` into ``class/x`` over the last axis."""

    name: ClassVar[str] = "softmax"

    @classmethod
    def propose(cls, have: Port, want: Port) -> Softmax | None:
        """Apply where the families are logits and class, of the same detail."""
        family, _, detail = have.kind.partition("/")
        wanted, _, of = want.kind.partition("/")
        return cls() if (family, wanted) == ("logits", "class") and detail == of else None

    def output(self, port: Port) -> Port:
        """Return the port as probabilities."""
        kind = "class/" + port.kind.partition("/")[2]
        return replace(port, kind=kind, range=(0.0, 1.0))

    def nodes(self, port: Port, value: ir.Value) -> list[ir.Node]:
        """Return one Softmax."""
        return [ir.node("Softmax", [value], {"axis": -1}, name="softmax")]
