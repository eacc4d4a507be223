"""Signals along one axis as images of one row, which the rules for images compute.

Before: ``Conv`` of ``(N, C, L)`` → ``Relu``.
After: ``Reshape`` to ``(N, C, 1, L)`` → ``Conv`` of 1×k taps → ``Relu`` → ``Reshape`` to
``(N, C, L)``.

What stands between two convolutions is done to images as well, so that no kernel is cut off
from what it would take in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from suture.codegen.groups.base import constant
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_constant,
    is_static,
    numbers_of,
    shape_of,
)

ROW = 2
"""The axis that is added."""
RANK = 3
CONVOLUTIONS = ("Conv", "ConvTranspose")
POOLS = ("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool")
BY_CHANNEL = ("BatchNormalization", "InstanceNormalization")
ELEMENTWISE = (
    *("Add", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "Max", "Min", "Mish", "Mul", "PRelu", "Pow", "Relu", "Selu"),
    *("Sigmoid", "Softplus", "Sqrt", "Sub", "Swish", "Tanh"),
)
ONES = ("kernel_shape", "strides", "dilations")
"""Attributes that are 1 along a row of one."""
ZEROS = ("output_padding",)


def see_as_images(model: ir.Model) -> int:
    """Let convolutions of one axis, and what follows them, see images; return how many nodes.

    Done in place, to convolutions of constant weights and where shapes are known.
    """
    rows = _Rows(model.graph)
    return sum(rows.take(node) for node in list(model.graph))


@dataclass
class _Rows:
    """A graph in which signals become images.

    Attributes:
        graph: The graph.
        images: A signal → the image that it is.
        made: The signals that are images' rows, as a convolution before them is.
    """

    graph: ir.Graph
    images: dict[ir.Value, ir.Value] = field(default_factory=dict)
    made: set[ir.Value] = field(default_factory=set)

    def take(self, node: ir.Node) -> bool:
        """Let a node work on images if it may; say whether it does."""
        if not self._fits(node):
            return False
        attributes = _attributes(node)
        (old,) = node.outputs
        before: list[ir.Node] = []
        inputs = [self._operand(node, place, before) for place in range(len(node.inputs))]
        new = ir.node(
            node.op_type, inputs, attributes=attributes, name=node.name, domain=node.domain
        )
        image = new.outputs[0]
        image.name, image.type = f"{old.name}.image", old.type
        image.shape = ir.Shape(_widened(shape_of(old)))
        back = self._reshape(image, shape_of(old), f"{old.name}.signal")
        signal = back.outputs[0]
        signal.name, signal.type, signal.shape = old.name, old.type, old.shape
        ir.convenience.replace_nodes_and_values(
            self.graph, node, [node], [*before, new, back], [old], [signal]
        )
        self.images[signal] = image
        self.made.add(signal)
        return True

    def _fits(self, node: ir.Node) -> bool:
        """Whether a node does the same to images of one row as to signals."""
        if node.domain not in DEFAULT_DOMAINS or len(node.outputs) != 1:
            return False
        if not _is_signal(node.outputs[0]) or not node.inputs:
            return False
        first = node.inputs[0]
        if node.op_type in CONVOLUTIONS:
            return _is_signal(first) and is_constant(node.inputs[1])
        if node.op_type in (*POOLS, *BY_CHANNEL):
            return first in self.made and not node.attributes.get_int("training_mode", 0)
        given = [value for value in node.inputs if value is not None]
        if not any(value in self.made for value in given):
            return False
        if node.op_type == "Concat":
            return all(map(_is_signal, given))
        known = (
            value in self.made or _is_signal(value) or _is_small(value) for value in given
        )
        return node.op_type in ELEMENTWISE and all(known)

    def _operand(self, node: ir.Node, place: int, before: list[ir.Node]) -> ir.Value | None:
        """Return what a node reads in place of an input; what makes it goes to ``before``."""
        value = node.inputs[place]
        if value is None or (place > 0 and node.op_type in BY_CHANNEL):
            return value
        if value in self.images:
            return self.images[value]
        shape = tuple(value.shape.numpy()) if value.shape is not None else ()
        if len(shape) < 2:
            return value
        numbers = numbers_of(value)
        if numbers is not None:
            widened = numbers.reshape(_widened(shape))
            self.images[value] = constant(node, f"{value.name}.image", widened)
        else:
            reshape = self._reshape(value, _widened(shape), f"{value.name}.image")
            before.append(reshape)
            self.images[value] = reshape.outputs[0]
        return self.images[value]

    def _reshape(self, value: ir.Value, shape: Sequence[int], name: str) -> ir.Node:
        """Return a node that sees a value with another shape."""
        sizes = ir.tensor(np.array(shape, np.int64), name=f"{name}.shape")
        target = ir.Value(
            name=sizes.name,
            shape=ir.Shape([len(shape)]),
            type=ir.TensorType(sizes.dtype),
            const_value=sizes,
        )
        self.graph.register_initializer(target)
        node = ir.node("Reshape", [value, target], name=name)
        node.outputs[0].name, node.outputs[0].type = name, value.type
        node.outputs[0].shape = ir.Shape(shape)
        return node


def _is_signal(value: ir.Value | None) -> bool:
    return is_static(value) and len(shape_of(value)) == RANK


def _is_small(value: ir.Value) -> bool:
    """Whether a value broadcasts along the added axis as it did without."""
    if is_constant(value):
        return value.shape is not None and len(value.shape) <= RANK
    return value.shape is not None and len(value.shape) < 2


def _widened(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape with an axis of one before the last."""
    return (*shape[:-1], 1, *shape[-1:])


def _attributes(node: ir.Node) -> Mapping[str, Any]:
    """Return a node's attributes, of two axes."""
    changed: dict[str, Any] = dict(node.attributes)
    for names, value in ((ONES, 1), (ZEROS, 0)):
        for name in names:
            if name in changed:
                changed[name] = [value, *node.attributes.get_ints(name)]
    if "output_shape" in changed:
        changed["output_shape"] = [1, *node.attributes.get_ints("output_shape")]
    if "pads" in changed:
        begin, end = node.attributes.get_ints("pads")
        changed["pads"] = [0, begin, 0, end]
    if node.op_type == "Concat":
        axis = node.attributes.get_int("axis") % RANK
        changed["axis"] = axis + (axis >= ROW)
    return changed
