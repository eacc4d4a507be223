"""Make one of two casts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, put
from suture.passes.recognise.by_element import only_reader
from suture.passes.recognise.values import DEFAULT_DOMAINS

DIGITS = {
    ir.DataType.BFLOAT16: 8,
    ir.DataType.FLOAT16: 11,
    ir.DataType.FLOAT: 24,
    ir.DataType.DOUBLE: 53,
}
"""Binary digits of a number of floating point (IEEE 754)."""
EXPONENTS = {
    ir.DataType.BFLOAT16: 8,
    ir.DataType.FLOAT16: 5,
    ir.DataType.FLOAT: 8,
    ir.DataType.DOUBLE: 11,
}
"""Bits of its exponent."""
WHOLE = {
    ir.DataType.BOOL: (0, 1),
    ir.DataType.UINT8: (0, 8),
    ir.DataType.UINT16: (0, 16),
    ir.DataType.UINT32: (0, 32),
    ir.DataType.UINT64: (0, 64),
    ir.DataType.INT8: (1, 7),
    ir.DataType.INT16: (1, 15),
    ir.DataType.INT32: (1, 31),
    ir.DataType.INT64: (1, 63),
}
"""Bits of the sign and of the number of whole numbers."""


@dataclass(frozen=True)
class ComposeCasts(EachGraphPass):
    """Make two Casts one, or none, where the first loses nothing.

    Before: ``t = Cast<to=double>(x); y = Cast<to=float>(t)``, x of float.
    After: readers of y read x. From 8 bits by way of float to half is one Cast.
    From float to 8 bits and back is neither: what was rounded stays rounded.
    """

    name: ClassVar[str] = "compose-casts"

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Compose from the first node on, so that a chain of any length becomes one."""
        made, declined = [], []
        for second in list(graph):
            middle = second.inputs[0] if _casts(second) else None
            first = None if middle is None else middle.producer()
            if first is None or not _casts(first) or first.graph is not second.graph:
                continue
            told = note(second, f"composed with {first.name or first.op_type}")
            reason = _compose(graph, names, first, second)
            if reason is None:
                made.append(told)
            else:
                declined.append(note(second, reason))
        return made, declined


def holds(wide: ir.DataType, narrow: ir.DataType) -> bool:
    """Whether a type has each number of another one."""
    if wide == narrow:
        return True
    if narrow in DIGITS:
        return (
            wide in DIGITS
            and DIGITS[wide] >= DIGITS[narrow]
            and EXPONENTS[wide] >= EXPONENTS[narrow]
        )
    if narrow not in WHOLE:
        return False
    sign, bits = WHOLE[narrow]
    if wide in DIGITS:
        return DIGITS[wide] >= bits
    return wide in WHOLE and WHOLE[wide][0] >= sign and WHOLE[wide][1] >= bits


def _casts(node: ir.Node) -> bool:
    """Whether a node is a Cast between known types."""
    if node.op_type != "Cast" or node.domain not in DEFAULT_DOMAINS:
        return False
    value = node.inputs[0]
    return value is not None and value.dtype is not None and node.outputs[0].dtype is not None


def _compose(graph: ir.Graph, names: Names, first: ir.Node, second: ir.Node) -> str | None:
    """Put one Cast, or none, in place of two; return why not, or None where done."""
    source, middle, result = first.inputs[0], first.outputs[0], second.outputs[0]
    assert source is not None
    start, between, end = source.dtype, middle.dtype, result.dtype
    assert start is not None
    assert between is not None
    assert end is not None
    if not holds(between, start):
        return f"{between.name} does not hold each {start.name}"
    if start in WHOLE and between in DIGITS and end in WHOLE and not holds(end, start):
        return f"{between.name} to {end.name} may differ from {start.name} to {end.name}"
    if only_reader(middle) is None:
        return "what lies between has other readers"
    if start == end and not result.is_graph_output():
        result.replace_all_uses_with(source)
        graph.remove([second, first], safe=True)
        return None
    name = f"{second.name or 'Cast'}.composed"
    node = new_node(names, "Cast", [source], name=name, attributes={"to": int(end)}, dtype=end)
    put(graph, [node], [first, second])
    return None
