"""Emit convolution groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.gathered import emit_gathered
from suture.codegen.emit.operands import Attributes, dims, numbers, padded, read_epilogue
from suture.codegen.emit.pointwise import emit_pointwise
from suture.codegen.schedule.base import Processor, ceil_div
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape, holds_groups
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.grouped import GroupedConv
from suture.codegen.schedule.winograd import Winograd, bears

PLAIN_CHANNELS = 4
"""Fewer input channels than this are read as they lie; a block would be mostly padding."""
WEIGHT_BYTES = "weight_bytes"
"""Attribute: most that a convolution's packed weights may take, beyond a direct kernel's."""


def read_shape(
    image: Sequence[int], weights: Sequence[int], attributes: Attributes, *, plain: bool
) -> ConvShape:
    """Return the convolution of ``(1, channels, height, width)`` by a group's weights."""
    return ConvShape(
        channels=image[1],
        height=image[2],
        width=image[3],
        filters=weights[0],
        kernel=(weights[2], weights[3]),
        strides=tuple(attributes["strides"]),
        pads=tuple(attributes["pads"]),
        dilations=tuple(attributes["dilations"]),
        groups=attributes["groups"],
        plain=plain,
    )


def candidates(
    shape: ConvShape, processor: Processor, most_bytes: float = math.inf
) -> tuple[DirectConv | GroupedConv | Winograd, ...]:
    """Return every schedule of a convolution, the most promising first by formula.

    Args:
        shape: The convolution.
        processor: What it runs on.
        most_bytes: Most that packed weights may take, beyond what a direct kernel's take.
    """
    whole = holds_groups(shape.channels, shape.filters, shape.groups, processor)
    direct = DirectConv.space(shape, processor) if whole else ()
    grouped = GroupedConv.space(shape, processor) if shape.groups > 1 else ()
    winograd = [
        schedule
        for schedule in Winograd.space(shape, processor)
        if schedule.packed_bytes(shape, processor) <= most_bytes
    ]
    return tuple(
        sorted((*direct, *grouped, *winograd), key=lambda each: each.cycles(shape, processor))
    )


def emit_conv(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureConv(x, w, bias, residual)``, or with ``scale, shift`` of a prologue."""
    if len(operator.inputs) > 4:
        return emit_pointwise(emitter, operator)
    x, w, _, _ = operator.inputs
    attributes = operator.attributes
    whole = holds_groups(dims(x)[1], dims(w)[0], attributes["groups"], emitter.processor)
    pointwise = (
        (*dims(w)[2:], *attributes["strides"]) == (1,) * 4
        and not any(attributes["pads"])
        and not attributes["depthwise"]
    )
    if pointwise and ("order" in attributes or not whole):
        return emit_gathered(emitter, operator)
    return _conv(emitter, operator.inputs, attributes)


def _conv(emitter: Emitter, inputs: Sequence[Any], attributes: Attributes) -> Any:
    x, w, bias, residual = inputs
    weights = numbers(w)
    depthwise = bool(attributes["depthwise"])
    processor = emitter.processor
    lanes = processor.lanes
    few = dims(x)[1] <= PLAIN_CHANNELS and attributes["groups"] == 1
    plain = few and not depthwise and x not in emitter.twins
    shape = read_shape(dims(x), weights.shape, attributes, plain=plain)
    epilogue = read_epilogue(attributes, bias, residual)
    most_bytes = attributes.get(WEIGHT_BYTES, 0) if bears(weights) else 0
    schedule = emitter.choose(
        DepthwiseConv.space(shape, processor)
        if depthwise
        else candidates(shape, processor, most_bytes),
        shape,
        epilogue,
        lambda each: [each.pack(weights, shape, processor)],
    )
    blocks = ceil_div(shape.filters, lanes)
    source = x if shape.plain else emitter.twin(x)
    arguments = [source, relax.const(schedule.pack(weights, shape, processor))]
    if bias is not None:
        arguments.append(relax.const(padded(numbers(bias).reshape(-1), blocks * lanes)))
    if residual is not None:
        arguments.append(emitter.twin(residual))
    made = emitter.call(
        schedule,
        (shape, epilogue),
        lambda: schedule.kernel(shape, epilogue, processor),
        arguments,
        (blocks, *shape.out, lanes),
    )
    return emitter.plain(made, weights.shape[0])
