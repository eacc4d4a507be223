"""What nodes of a model take as TVM's kernels, by the cost model of kernels.

Passes ask before anything is lowered. What a kernel does besides its sums takes no time of its
own; kernels that the model does not know, and what is no product, go by the roofline.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from suture.codegen.budget import SizeSpeed, plan_weights
from suture.codegen.choose.base import Question, Schedule
from suture.codegen.emit.conv import PLAIN_CHANNELS, candidates, read_shape
from suture.codegen.groups.base import Group
from suture.codegen.groups.conv import read_pads
from suture.codegen.groups.epilogue import RESIDUAL, extend
from suture.codegen.schedule.base import Epilogue, Processor
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.codegen.schedule.transposed import TransposedConv, TransposedShape
from suture.compiler.cost.base import Vector
from suture.compiler.cost.features import Facts
from suture.compiler.cost.nodes import (
    CALL_MS,
    NodeRoofline,
    Operation,
    Sizes,
    as_it_is,
    sizes_of,
)
from suture.compiler.cost.plugin import KernelCost
from suture.compiler.cost.roofline import Roofline

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
WEIGHED = 16
"""Schedules that are weighed where the cost model chooses, the first ones by formula."""

LIKE = {"transposed-conv": "direct-conv"}
"""Rules that may not have been measured, whose tiles are computed as another rule's are."""
MOVED = Roofline(ms_per_byte=1e3 / 20e9, ms_per_node=CALL_MS)
"""What kernels take that only move numbers: about as pools of large images do on Zen 3."""

Shape = ConvShape | TransposedShape | GemmShape


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What an operation becomes, as far as its time depends on it.

    Attributes:
        shape: What its rule calls its shape.
        epilogue: What is done to its sums.
        each_alone: Whether a convolution is one of each channel alone.
        most_bytes: Most that packed weights may take, beyond what a direct kernel's take.
    """

    shape: Shape
    epilogue: Epilogue
    each_alone: bool = False
    most_bytes: float = 0.0

    def question(self, processor: Processor) -> Question:
        """Return which schedules compute it, the most promising first by formula."""
        return Question(
            schedules=self._schedules(processor),
            shape=self.shape,
            epilogue=self.epilogue,
            processor=processor,
        )

    def _schedules(self, processor: Processor) -> tuple[Schedule, ...]:
        if isinstance(self.shape, GemmShape):
            return Gemm.space(self.shape, processor)
        if isinstance(self.shape, TransposedShape):
            return TransposedConv.space(self.shape, processor)
        if self.each_alone:
            return DepthwiseConv.space(self.shape, processor)
        return candidates(self.shape, processor, self.most_bytes)


class KernelTimes:
    """Predicts what the nodes of one model take in TVM's program.

    Args:
        model: The model.
        processor: What it runs on.
        cost: The cost model of kernels.
        size_speed: How far packed weights may grow for faster kernels.
        chooses: Whether the cost model chooses schedules; if not, the formula does.
    """

    def __init__(
        self,
        model: ir.Model,
        processor: Processor,
        cost: KernelCost,
        *,
        size_speed: SizeSpeed = "balanced",
        chooses: bool = False,
    ) -> None:
        self._processor, self._cost = processor, cost
        self._weighed = WEIGHED if chooses else 1
        self._roofline = NodeRoofline(MOVED)
        self._groups = {node: made for node in model.graph if (made := _group(node))}
        self._inside = {node for made in self._groups.values() for node in made.nodes[1:]}
        budget = plan_weights(model, processor, size_speed, _convolution)
        self._bytes = {name: offer.nbytes for name, offer in budget.chosen.items()}
        self._known: dict[Kernel, float | None] = {}

    def microseconds(self, operations: Sequence[Operation]) -> Vector:
        """Return the microseconds that each operation is expected to take."""
        found = self._roofline.microseconds(operations)
        kernels = [self._kernel(each) for each in operations]
        self._ask(dict.fromkeys(each for each in kernels if each))
        for place, (operation, kernel) in enumerate(zip(operations, kernels, strict=True)):
            known = self._known[kernel] if kernel else None
            if known is not None:
                found[place] = known * _images(operation)
            elif operation.node in self._inside or _is_written_in_place(operation):
                found[place] = 0.0
        return found

    def _ask(self, kernels: Iterable[Kernel]) -> None:
        """Predict kernels that are new, all at once."""
        facts: list[Facts] = []
        spans: dict[Kernel, tuple[int, int]] = {}
        for kernel in kernels:
            if kernel in self._known:
                continue
            question = kernel.question(self._processor)
            weighed = map(question.facts, question.schedules[: self._weighed])
            known = [found for each in weighed if each and (found := self._known_as(each))]
            spans[kernel] = (len(facts), len(facts) + len(known))
            facts += known
        times = self._cost.predict(facts) if facts else np.zeros(0)
        for kernel, (first, last) in spans.items():
            self._known[kernel] = float(times[first:last].min()) if last > first else None

    def _known_as(self, facts: Facts) -> Facts | None:
        """Return what the cost model knows a kernel as, or None where it does not."""
        like = replace(facts, rule=LIKE.get(facts.rule, facts.rule))
        return next((each for each in (facts, like) if self._cost.knows(each)), None)

    def _kernel(self, operation: Operation) -> Kernel | None:
        """Return what an operation becomes; None of what has no rule that was measured."""
        group = self._groups.get(operation.node) if operation.node else None
        if group is None:
            return None
        shape = _shape(operation)
        if shape is None:
            return None
        node = group.nodes[0]
        epilogue = Epilogue(residual=group.inputs[RESIDUAL] is not None)
        made = Kernel(shape=shape, epilogue=epilogue)
        if not isinstance(shape, ConvShape):
            return made
        if shape.groups > 1 and shape.groups == shape.channels == shape.filters:
            return replace(made, shape=replace(shape, groups=1), each_alone=True)
        return replace(made, most_bytes=self._bytes.get(str(node.outputs[0].name), 0.0))


def _group(node: ir.Node) -> Group | None:
    """Return a product of constant weights with what its kernel does as well."""
    if node.op_type not in PRODUCTS or node.domain not in ("", "ai.onnx"):
        return None
    x, w = node.inputs[:2]
    if w is None or w.const_value is None or not sizes_of(x):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    group = Group(node.op_type, [node], [x, w, bias, None])
    extend(group, channels_last=node.op_type in ("Gemm", "MatMul"))
    return group


def _shape(operation: Operation) -> Shape | None:
    """Return an operation's shape as its rule has it, or None where no rule computes it."""
    node, reads, (written,) = operation.node, operation.reads, operation.writes
    assert node is not None
    if not written:
        return None
    if node.op_type in ("Gemm", "MatMul"):
        across = node.attributes.get_int("transA", 0)
        if len(reads[1]) != 2 or across:
            return None
        return GemmShape(rows=math.prod(written[:-1]), depth=reads[0][-1], columns=written[-1])
    if not len(reads[0]) == len(reads[1]) == 4:
        return None
    strides = tuple(node.attributes.get_ints("strides", [1, 1]))
    dilations = tuple(node.attributes.get_ints("dilations", [1, 1]))
    kernel = reads[1][2:]
    pads = operation.pads or read_pads(node, reads[0][2:], kernel, strides, dilations)
    if pads is None:
        return None
    groups = node.attributes.get_int("group", 1)
    if node.op_type == "Conv":
        attributes = {
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "groups": groups,
        }
        plain = reads[0][1] <= PLAIN_CHANNELS and groups == 1
        return read_shape(reads[0], reads[1], attributes, plain=plain)
    whole = all(size % step == 0 for size, step in zip(written[2:], strides, strict=True))
    if groups > 1 or dilations != (1, 1) or not whole:
        return None
    return TransposedShape(
        channels=reads[0][1],
        height=reads[0][2],
        width=reads[0][3],
        filters=written[1],
        kernel=(kernel[0], kernel[1]),
        strides=(strides[0], strides[1]),
        pads=(pads[0], pads[1]),
        out=(written[2], written[3]),
    )


def _convolution(node: ir.Node) -> ConvShape | None:
    """Return the convolution that a node is as it stands."""
    if node.op_type != "Conv" or _group(node) is None:
        return None
    shape = _shape(as_it_is(node))
    return shape if isinstance(shape, ConvShape) else None


def _images(operation: Operation) -> int:
    """Return how often an operation's kernel is called: once an image."""
    sizes: Sizes = operation.writes[0]
    return sizes[0] if operation.node and operation.node.op_type.startswith("Conv") else 1


def _is_written_in_place(operation: Operation) -> bool:
    """Whether parts of a concatenation are written where they end up.

    Those are channels of images, and rows of images of one channel.
    """
    node, sizes = operation.node, operation.writes[0] if operation.writes else ()
    if node is None or node.op_type != "Concat" or len(sizes) != 4:
        return False
    axis = node.attributes.get_int("axis", 0) % 4
    return axis == 1 or (axis == 2 and sizes[:2] == (1, 1))
