"""Fold padding with zeros into what pads by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.passes.base import Names, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.recognise.by_element import only_reader
from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of

PADS = frozenset({"Conv", "AveragePool"})


@dataclass(frozen=True)
class FoldPads(EachGraphPass):
    """Give a Conv or AveragePool the zeros that a Pad before it writes.

    Before: ``t = Pad(x, [0, 0, 0, 0, 0, 0, 1, 1]); y = Conv(t, w)``, as from TensorFlow.
    After: ``y = Conv<pads=[0, 0, 1, 1]>(x, w)``.
    An AveragePool counts the zeros then, as it did when it read them.
    """

    name: ClassVar[str] = "fold-pads"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "fold-normalization")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Look before each convolution and pool, as long as a Pad stands there."""
        made, declined = [], []
        for node in list(graph):
            while (pad := _pad_before(node)) is not None:
                told = note(pad, f"folded into {node.name or node.op_type}")
                reason = _fold(pad, node)
                if reason is not None:
                    declined.append(note(pad, reason))
                    break
                made.append(told)
        return made, declined


def _pad_before(node: ir.Node) -> ir.Node | None:
    """Return the Pad that a node reads, if the node could pad by itself."""
    if node.op_type not in PADS or node.domain not in DEFAULT_DOMAINS:
        return None
    value = node.inputs[0]
    pad = None if value is None else value.producer()
    fits = pad is not None and pad.op_type == "Pad" and pad.graph is node.graph
    return pad if fits else None


def _fold(pad: ir.Node, node: ir.Node) -> str | None:
    """Add a Pad's zeros to a node's; return why not, or None where done."""
    source = pad.inputs[0]
    if only_reader(pad.outputs[0]) is None:
        return "the padded value has other readers"
    if pad.attributes.get_string("mode", "constant") != "constant" or not _is_zero(pad):
        return "it does not pad with zeros"
    ends = _ends(pad)
    if isinstance(ends, str):
        return ends
    if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return f"{node.op_type} decides for itself how much it pads"
    spatial = ends.shape[1] - 2
    own = node.attributes.get_ints("pads", ()) or (0,) * (2 * spatial)
    total = np.array(own).reshape(2, spatial) + ends[:, 2:]
    if node.op_type == "AveragePool":
        if any(own) and not node.attributes.get_int("count_include_pad", 0):
            return "AveragePool does not count what it pads itself"
        if node.attributes.get_int("ceil_mode", 0):
            return "AveragePool rounds its size up"
        if (total >= node.attributes.get_ints("kernel_shape", ())).any():
            return "AveragePool pads by less than its kernel"
        node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    node.attributes.pop("auto_pad", None)
    node.attributes["pads"] = ir.AttrInt64s("pads", [int(each) for each in total.flat])
    assert pad.graph is not None
    node.replace_input_with(0, source)
    pad.graph.remove(pad, safe=True)
    return None


def _is_zero(pad: ir.Node) -> bool:
    """Whether a Pad's number is known and zero."""
    if "value" in pad.attributes:
        return pad.attributes.get_float("value", 0.0) == 0
    value = pad.inputs[2] if len(pad.inputs) > 2 else None
    numbers = np.zeros(1) if value is None else numbers_of(value)
    return numbers is not None and not numbers.any()


def _ends(pad: ir.Node) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | str:
    """Return what a Pad adds, ``(2, rank)``: before and after each axis; or why not."""
    value = pad.inputs[0]
    rank = 0 if value is None or value.shape is None else len(value.shape)
    given = numbers_of(pad.inputs[1]) if len(pad.inputs) > 1 else None
    told = pad.attributes.get_ints("pads", ()) if given is None else given.reshape(-1)
    axes = numbers_of(pad.inputs[3]) if len(pad.inputs) > 3 else np.arange(rank)
    if not len(told) or not rank or axes is None:
        return "how much it pads is not known"
    ends = np.zeros((2, rank), np.int64)
    ends[:, [int(axis) % rank for axis in axes]] = np.array(told).reshape(2, -1)
    if ends[:, :2].any():
        return "it pads images or channels"
    return "it cuts" if (ends < 0).any() else ends
