"""Make one of two resizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from suture.compiler.session import open_session
from suture.errors import SutureError
from suture.passes.base import Names, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.exchange import exchange, plan
from suture.passes.making import new_node, put
from suture.passes.recognise.by_element import data_input, only_reader
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_fixed, numbers_of, shape_of

Places = npt.NDArray[np.int64]
MOST_ELEMENTS = 1 << 24
"""Places up to here are told apart in float32."""
OLDEST = 11
"""Resize of opset 10 has other inputs."""
FREE = 13
"""The operator set from which the region and scales may be left out."""
PLAINEST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""The ways that a whole factor repeats each pixel as often."""


@dataclass(frozen=True)
class ComposeResizes(EachGraphPass):
    """Make two Resizes to the nearest pixel one, or none.

    Before: ``t = Resize(x, scales=2); u = Relu(t); y = Resize(u, scales=1/2)``.
    After: ``y = Relu(x)``.
    Which pixels a Resize reads is found out by resizing their numbers, so that what comes out
    reads the same ones. Between two pixels nothing composes: a mean of means is another one.
    What works element by element between them is done where there are fewer elements.
    """

    name: ClassVar[str] = "compose-resizes"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "sink-arithmetic")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Compose from the first node on, so that a chain of any length becomes one."""
        made, declined = [], []
        for node in list(graph):
            before = _before(node)
            if before is None:
                continue
            first, between = before
            told = note(node, f"composed with {first.name or first.op_type}")
            reason = _compose(graph, first, between, node, names)
            if reason is None:
                made.append(told)
            else:
                declined.append(note(node, reason))
        return made, declined


def _before(node: ir.Node) -> tuple[ir.Node, list[ir.Node]] | None:
    """Return the Resize before another one, and what works element by element between."""
    value = node.inputs[0] if _resizes(node) else None
    between: list[ir.Node] = []
    while value is not None:
        first = value.producer()
        if first is None or first.graph is not node.graph:
            return None
        if _resizes(first):
            return first, between
        place = data_input(first)
        if place is None or only_reader(value) is None:
            return None
        between.insert(0, first)
        value = first.inputs[place]
    return None


def _resizes(node: ir.Node) -> bool:
    """Whether a node is a Resize."""
    return node.op_type == "Resize" and node.domain in DEFAULT_DOMAINS


def _compose(
    graph: ir.Graph, first: ir.Node, between: list[ir.Node], second: ir.Node, names: Names
) -> str | None:
    """Put one Resize, or none, in place of two; return why not, or None where done."""
    reason = _obstacle(first, between, second)
    if reason is not None:
        return reason
    before, after = shape_of(first.inputs[0]), shape_of(second.outputs[0])
    inner, outer = (_places(node, *_told(node)) for node in (first, second))
    if inner is None or outer is None:
        return "ONNX Runtime does not resize it"
    wanted = inner.reshape(-1)[outer]
    nothing = before == after and bool((wanted.reshape(-1) == np.arange(wanted.size)).all())
    if nothing and not between and second.outputs[0].is_graph_output():
        return "it names a graph output"
    told = None if nothing else _one(first, second, wanted)
    if told is None and not nothing:
        return "no one Resize reads the same pixels"
    if prod(before) < prod(after):
        _lift(between, first, second, names)
    else:
        for each in reversed(between):
            exchange(each, [second], names)
    _replace(graph, names, (first, second), told)
    return None


def _obstacle(first: ir.Node, between: list[ir.Node], second: ir.Node) -> str | None:
    """Return what keeps two Resizes from becoming one, or None."""
    for node in (first, second):
        crops = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        nearest = node.attributes.get_string("mode", "nearest") == "nearest"
        if not nearest or crops == "tf_crop_and_resize" or _opset(node) < OLDEST:
            return "only resizes to the nearest pixel of the image compose"
        if not (is_fixed(node.inputs[0]) and is_fixed(node.outputs[0])):
            return "the sizes are not fixed"
        if any(value is not None and numbers_of(value) is None for value in node.inputs[1:]):
            return "the sizes are not constant"
    values = (first.inputs[0], first.outputs[0], second.outputs[0])
    if max(prod(shape_of(value)) for value in values) > MOST_ELEMENTS:
        return "the image is too large to tell its pixels apart"
    if only_reader(first.outputs[0]) is None:
        return "what lies between has other readers"
    if any(each.op_type == "Cast" for each in between):
        return "a Cast lies between"
    plans = (plan(each, [second]) for each in between)
    return next((found for found in plans if isinstance(found, str)), None)


Attributes = Mapping[str, Any]
Sizes = Mapping[str, npt.NDArray[Any]]


def _told(node: ir.Node) -> tuple[Attributes, Sizes]:
    """Return what a Resize is told besides the image: attributes, and inputs by name."""
    names = ("roi", "scales", "sizes")
    given = {
        name: numbers_of(value) for name, value in zip(names, node.inputs[1:], strict=False)
    }
    sizes = {name: array for name, array in given.items() if array is not None}
    return {name: each.value for name, each in node.attributes.items()}, sizes


def _places(node: ir.Node, attributes: Attributes, sizes: Sizes) -> Places | None:
    """Return the number of the pixel that ONNX Runtime reads for each of a Resize's output.

    float32's rounding decides ties, so that it is asked itself.

    Args:
        node: The Resize whose input is read.
        attributes: What is told in place of its own.
        sizes: Likewise.
    """
    shape = shape_of(node.inputs[0])
    inputs = [name if name in sizes else "" for name in ("roi", "scales", "sizes")]
    alone = onnx.helper.make_node("Resize", ["x", *inputs], ["y"], **attributes)
    float32, info = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [alone],
        "resize",
        [info("x", float32, shape)],
        [info("y", float32, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in sizes.items()],
    )
    opsets = [onnx.helper.make_opsetid("", _opset(node))]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    numbers = np.arange(prod(shape), dtype=np.float32).reshape(shape)
    try:
        (answer,) = open_session(ir.from_proto(model)).run(None, {"x": numbers})
    except SutureError:
        return None
    return np.asarray(answer).astype(np.int64)


def _one(first: ir.Node, second: ir.Node, wanted: Places) -> tuple[Attributes, Sizes] | None:
    """Return what one Resize has to be told to read the wanted pixels, or None."""
    shape = np.array(wanted.shape)
    if _opset(first) < FREE:
        factors = (shape / shape_of(first.inputs[0])).astype(np.float32)
        sizes: Sizes = {"roi": np.zeros(0, np.float32), "scales": factors}
    else:
        sizes = {"sizes": shape.astype(np.int64)}
    for others in (_told(second)[0], _told(first)[0], PLAINEST):
        attributes = {"mode": "nearest"} | {
            name: others[name] for name in PLAINEST if name in others
        }
        found = _places(first, attributes, sizes)
        if found is not None and np.array_equal(found, wanted):
            return attributes, sizes
    return None


def _lift(between: list[ir.Node], first: ir.Node, second: ir.Node, names: Names) -> None:
    """Put what works element by element before both, where there are fewer elements."""
    if not between:
        return
    source, middle, last = first.inputs[0], first.outputs[0], between[-1].outputs[0]
    place, graph = data_input(between[0]), first.graph
    assert source is not None
    assert graph is not None
    assert place is not None
    between[0].replace_input_with(place, source)
    second.replace_input_with(0, middle)
    first.replace_input_with(0, last)
    for node in between:
        value = node.outputs[0]
        value.name, value.shape = names.free(f"{value.name}.before"), source.shape
    middle.type = last.type
    graph.remove(first)
    graph.insert_after(between[-1], first)


def _replace(
    graph: ir.Graph,
    names: Names,
    pair: tuple[ir.Node, ir.Node],
    told: tuple[Attributes, Sizes] | None,
) -> None:
    """Put one Resize, or none, in place of two that follow each other."""
    first, second = pair
    source, result = first.inputs[0], second.outputs[0]
    assert source is not None
    if told is None:
        result.replace_all_uses_with(source)
        graph.remove([second, first], safe=True)
        return
    attributes, sizes = told
    name = f"{second.name or 'Resize'}.composed"
    inputs = [
        add_constant(graph, names.free(f"{name}.{kind}"), sizes[kind])
        if kind in sizes
        else None
        for kind in ("roi", "scales", "sizes")
    ]
    node = new_node(
        names,
        "Resize",
        [source, *inputs],
        name=name,
        attributes=attributes,
        dtype=result.dtype,
    )
    put(graph, [node], [first, second])


def _opset(node: ir.Node) -> int:
    """Return the version of ONNX's operators that a node is of."""
    assert node.graph is not None
    return node.graph.opset_imports.get("", OLDEST)
