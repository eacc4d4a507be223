"""Whether a model is still what it was, as far as types are concerned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import onnx_ir as ir

SMALL_BYTES = 1024
"""Constants of up to this size are compared by their numbers: sizes may come from them."""


@dataclass(frozen=True)
class Signature:
    """What types and shapes of a model follow from.

    Attributes:
        objects: Functions, nodes, values, attributes and constants in order; kept, so that no
            other one comes to lie in the same place.
        facts: What may change within those.
    """

    objects: tuple[object, ...]
    facts: tuple[object, ...]

    @classmethod
    def of(cls, model: ir.Model) -> Signature:
        """Return the signature of a model; it takes some microseconds a node."""
        objects: list[object] = [*model.functions.values()]
        facts: list[object] = [*model.opset_imports.items()]
        for graph in model.graphs():
            facts += [graph.name, len(graph), len(graph.inputs), len(graph.outputs)]
            for value in chain(graph.inputs, graph.outputs, graph.initializers.values()):
                _add_value(value, objects, facts)
            for node in graph:
                objects += [node, *node.inputs, *node.attributes.values()]
                facts += [*_about(node), len(node.inputs), len(node.outputs)]
                for value in node.outputs:
                    _add_value(value, objects, facts)
        return cls(tuple(objects), tuple(facts))

    def same(self, other: Signature) -> bool:
        """Whether it is that of the same model, with nothing changed."""
        return (
            len(self.objects) == len(other.objects)
            and all(a is b for a, b in zip(self.objects, other.objects, strict=True))
            and self.facts == other.facts
        )


def _about(node: ir.Node) -> Iterator[object]:
    yield from (node.name, node.op_type, node.domain, node.overload, node.version)
    yield from node.attributes


def _add_value(value: ir.Value, objects: list[object], facts: list[object]) -> None:
    objects += [value, value.const_value]
    shape = None if value.shape is None else tuple(map(str, value.shape))
    facts += [value.name, repr(value.type), shape]
    constant = value.const_value
    if constant is not None and constant.nbytes <= SMALL_BYTES:
        facts.append(constant.tobytes())
