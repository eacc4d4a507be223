"""Make convolutions of one value side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.passes.base import Names, Note, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, new_split
from suture.passes.recognise.affine import Array
from suture.passes.recognise.by_element import only_reader
from suture.passes.recognise.row_wise import UNARY
from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of


@dataclass(frozen=True)
class JoinConvolutions(EachGraphPass):
    """Let one convolution make what several make of one value, and a Split take it apart.

    Before: ``a = Conv(x, w, b); b = Conv(x, v, c)``, which go over x alike.
    After: ``a, b = Split(Conv(x, [w v], [b c]))``.
    An activation that follows each of them comes before the Split. Not part of ``exact``: on
    the processors that were measured a Split costs as much as one pass over x saves.
    """

    name: ClassVar[str] = "join-convolutions"
    after: ClassVar[tuple[str, ...]] = ("fold-*", "merge-equal-subgraphs")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Join what reads each value."""
        made: list[Note] = []
        declined: list[Note] = []
        readers: dict[ir.Value, list[ir.Node]] = {}
        for node in graph:
            if node.op_type == "Conv" and node.domain in DEFAULT_DOMAINS and node.inputs[0]:
                readers.setdefault(node.inputs[0], []).append(node)
        for convs in readers.values():
            alike: dict[object, list[ir.Node]] = {}
            for conv in convs if len(convs) > 1 else ():
                reason = _obstacle(conv)
                if reason is None:
                    alike.setdefault(_way(conv), []).append(conv)
                else:
                    declined.append(note(conv, reason))
            for some in alike.values():
                if len(some) == 1:
                    reason = "no other convolution goes over what it reads in its way"
                    declined.append(note(some[0], reason))
                    continue
                made.append(note(some[0], f"{len(some)} convolutions side by side"))
                _join(graph, names, some)
        return made, declined


def _obstacle(conv: ir.Node) -> str | None:
    """Return what keeps a convolution from being a part of another one, or None."""
    if conv.attributes.get_int("group", 1) != 1:
        return "it is grouped"
    constants = [value for value in conv.inputs[1:] if value is not None]
    if any(numbers_of(value) is None for value in constants):
        return "the weights are not constant"
    if any(len(value.uses()) > 1 or value.is_graph_output() for value in constants):
        return "the weights are shared with another node"
    return None


def _way(conv: ir.Node) -> object:
    """Return what convolutions have in common that go over a value alike."""
    kernel = _weight(conv).shape[2:]
    ones, given = (1,) * len(kernel), conv.attributes
    return (
        kernel,
        tuple(given.get_ints("strides", ones) or ones),
        tuple(given.get_ints("dilations", ones) or ones),
        tuple(given.get_ints("pads", ()) or (0,) * (2 * len(kernel))),
        given.get_string("auto_pad", "NOTSET"),
    )


def _weight(conv: ir.Node) -> Array:
    numbers = numbers_of(conv.inputs[1])
    assert numbers is not None
    return numbers


def _bias(conv: ir.Node) -> Array:
    """Return the bias, zeros where there is none."""
    numbers = numbers_of(conv.inputs[2]) if len(conv.inputs) > 2 else None
    weight = _weight(conv)
    return np.zeros(len(weight), weight.dtype) if numbers is None else numbers


def _join(graph: ir.Graph, names: Names, convs: Sequence[ir.Node]) -> None:
    """Put one convolution and a Split in place of several."""
    first, behind = convs[0], _activations(convs)
    stem = f"{first.name or 'Conv'}.joined"
    inputs = [first.inputs[0]]
    weight = np.concatenate([_weight(conv) for conv in convs])
    inputs.append(add_constant(graph, names.free(f"{stem}.weight"), weight))
    if any(len(conv.inputs) > 2 and conv.inputs[2] is not None for conv in convs):
        bias = np.concatenate([_bias(conv) for conv in convs])
        inputs.append(add_constant(graph, names.free(f"{stem}.bias"), bias))
    dtype = first.outputs[0].dtype
    attributes = {name: each.value for name, each in first.attributes.items()}
    joined = new_node(names, "Conv", inputs, name=stem, attributes=attributes, dtype=dtype)
    made = [joined]
    if first.outputs[0].shape is not None:
        images, _, *spatial = first.outputs[0].shape
        joined.outputs[0].shape = ir.Shape([images, len(weight), *spatial])
    if behind:
        attributes = {name: each.value for name, each in behind[0].attributes.items()}
        operands = [joined.outputs[0], *behind[0].inputs[1:]]
        name = f"{stem}.{behind[0].op_type}"
        made.append(
            new_node(
                names,
                behind[0].op_type,
                operands,
                name=name,
                attributes=attributes,
                dtype=behind[0].outputs[0].dtype,
            )
        )
        made[-1].outputs[0].shape = joined.outputs[0].shape
    widths = [len(_weight(conv)) for conv in convs]
    made.append(new_split(graph, names, made[-1].outputs[0], widths, 1, name=f"{stem}.split"))
    old = [node.outputs[0] for node in (behind or convs)]
    ir.convenience.replace_nodes_and_values(
        graph, first, [*behind, *convs], made, old, list(made[-1].outputs)
    )


def _activations(convs: Sequence[ir.Node]) -> list[ir.Node]:
    """Return the same activation behind each convolution; none where they differ."""
    found = [only_reader(conv.outputs[0], 0) for conv in convs]
    nodes = [each[0] for each in found if each is not None]
    if len(nodes) < len(convs) or any(node.op_type not in UNARY for node in nodes):
        return []
    if any(
        value and not value.is_initializer() for node in nodes for value in node.inputs[1:]
    ):
        return []
    kinds = {(node.op_type, tuple(node.inputs[1:])) for node in nodes}
    attributes = [{name: a.value for name, a in node.attributes.items()} for node in nodes]
    same = len(kinds) == 1 and all(each == attributes[0] for each in attributes)
    return nodes if same else []
