"""What a pass must keep to, whatever it rewrites: definitions before uses, and types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import _c_api_utils as without_weights

from suture.errors import Location, PassError
from suture.passes.signature import Signature

NODE_NAME = re.compile(r"node name: ([^)]*)\)")


@dataclass(frozen=True)
class Entry:
    """An input or output of a model as callers know it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        shape = "" if self.shape is None else [size or "?" for size in self.shape]
        return f"{self.dtype}{shape}"

    def allows(self, other: Entry, *, fewer: bool = False) -> bool:
        """Whether what callers know still holds; sizes that were free may become known.

        Args:
            other: The same one later.
            fewer: Whether it may have fewer entries.
        """
        if self.shape is None or other.shape is None:
            return self.dtype == other.dtype
        return (
            self.dtype == other.dtype
            and len(self.shape) == len(other.shape)
            and all(
                old is None or new in (old, None) or (fewer and new is not None and new < old)
                for old, new in zip(self.shape, other.shape, strict=True)
            )
        )


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of a model, and whether types can be inferred in it.

    Attributes:
        inputs: In order.
        outputs: In order.
        inferred: Whether ONNX's type inference finds no fault with the model, so that a
            fault it finds later is a pass's.
        signature: The model as it was when types were last inferred.
    """

    inputs: tuple[Entry, ...]
    outputs: tuple[Entry, ...]
    inferred: bool
    signature: Signature = field(repr=False, compare=False)

    @classmethod
    def of(cls, model: ir.Model) -> Interface:
        """Return the interface of a model before any pass."""
        return cls(
            inputs=_entries(model.graph.inputs),
            outputs=_entries(model.graph.outputs),
            inferred=first_type_error(model) is None,
            signature=Signature.of(model),
        )

    def check(self, model: ir.Model, spec: str, *, narrows: bool = False) -> Interface:
        """Check a model that a pass has left, and return the interface that it has now.

        Args:
            model: The model.
            spec: The pass.
            narrows: Whether outputs, or entries of them, may have gone.

        Raises:
            PassError: A value is read that nothing makes, an input or output is another one,
                or types contradict each other; names the pass, the node and the value.
        """
        broken = first_broken_use(model)
        if broken is not None:
            raise PassError(
                f"the pass left a broken graph: {broken.message}",
                at=Location(spec, broken.node, broken.value),
            )
        outputs, left = self.outputs, _entries(model.graph.outputs)
        if narrows and left:
            names = {each.name for each in left}
            outputs = tuple(each for each in outputs if each.name in names)
        _check_entries("input", self.inputs, _entries(model.graph.inputs), spec)
        _check_entries("output", outputs, left, spec, fewer=narrows)
        signature = Signature.of(model)
        if self.inferred and not signature.same(self.signature):
            wrong = first_type_error(model)
            if wrong is not None:
                raise PassError(
                    f"the pass breaks types: {wrong.message}",
                    at=Location(spec, wrong.node, wrong.value),
                )
        return replace(self, outputs=left if narrows else self.outputs, signature=signature)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a graph, and where."""

    message: str
    node: str | None = None
    value: str | None = None


def first_broken_use(model: ir.Model) -> Fault | None:
    """Return a use of a value before or without its definition, or None."""
    return _broken_use(model.graph, frozenset())


def _broken_use(graph: ir.Graph, outside: frozenset[ir.Value]) -> Fault | None:
    """Look through a graph, and those in its nodes, which see what is made before them."""
    known = {*outside, *graph.inputs, *graph.initializers.values()}
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in known:
                message = (
                    f"node {node.name!r} reads {value.name!r}, which nothing before it makes"
                )
                return Fault(message, node.name, value.name)
        for inner in _graphs(node):
            broken = _broken_use(inner, frozenset(known))
            if broken is not None:
                return broken
        known.update(node.outputs)
    for value in graph.outputs:
        if value not in known:
            message = f"graph output {value.name!r} is made by nothing"
            return Fault(message, None, value.name)
    return None


def _graphs(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def first_type_error(model: ir.Model) -> Fault | None:
    """Return what ONNX's inference of types and shapes finds wrong, or None.

    Operators without a schema are left out. Weights are looked at for their types only, in a
    copy of the graph: onnx_ir takes them out of the model and puts them back in another order.
    """

    def infer(proto: onnx.ModelProto) -> None:
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)

    try:
        without_weights.call_onnx_api(infer, model.clone())
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        told = str(error).removeprefix("[ShapeInferenceError] ")
        told = told.removeprefix("Inference error(s): ").partition("\n")[0]
        found = NODE_NAME.search(told)
        return Fault(told, found[1] if found else None)
    return None


def _entries(values: Sequence[ir.Value]) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            name=str(value.name),
            dtype=value.dtype.name.lower() if value.dtype is not None else "?",
            shape=None
            if value.shape is None
            else tuple(size if isinstance(size, int) else None for size in value.shape),
        )
        for value in values
    )


def _check_entries(
    kind: str,
    before: tuple[Entry, ...],
    now: tuple[Entry, ...],
    spec: str,
    *,
    fewer: bool = False,
) -> None:
    names, left = [each.name for each in before], [each.name for each in now]
    if names != left:
        raise PassError(
            f"the pass changed the {kind}s: {', '.join(left)} instead of {', '.join(names)}",
            at=Location(spec, None, next(iter({*names} ^ {*left}), None)),
        )
    for old, new in zip(before, now, strict=True):
        if not old.allows(new, fewer=fewer):
            raise PassError(
                f"the pass made the {kind} {old.name!r} {new}, it was {old}",
                at=Location(spec, None, old.name),
            )
