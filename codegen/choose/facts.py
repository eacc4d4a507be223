"""What the cost model is told of each rule's schedules."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div
from suture.codegen.schedule.conv import UNROLL, DirectConv, copies_image
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.gathered import GatheredConv, GatheredShape
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.codegen.schedule.grouped import GroupedConv
from suture.codegen.schedule.pointwise import PointwiseConv, PointwiseShape
from suture.codegen.schedule.transposed import TransposedConv, TransposedShape
from suture.codegen.schedule.winograd import Winograd
from suture.codegen.schedule.winograd_transforms import TRANSFORMS
from suture.compiler.cost.features import FLOAT, Facts


@singledispatch
def facts_of(schedule: Any, shape: Any, epilogue: Any, processor: Processor) -> Facts | None:
    """Return the raw numbers of a kernel, or None where nothing is known of the rule."""
    return None


@facts_of.register
def _(
    schedule: DirectConv, shape: ConvShape, epilogue: Epilogue, processor: Processor
) -> Facts:
    lanes = 1 if shape.plain else processor.lanes
    seen = ceil_div(shape.channels // shape.groups, lanes) * lanes
    taps, (tall, across) = math.prod(shape.kernel), shape.out
    filters = ceil_div(shape.filters, schedule.columns) * schedule.columns
    runs = ceil_div(shape.pixels, schedule.rows)
    depth = seen * taps
    wide = schedule.columns // processor.lanes
    reach = (schedule.rows - 1) * shape.strides[1] + shape.reach[1]
    padded = (
        shape.pixels
        if taps == 1
        else math.prod(
            (size - 1) * step + span
            for size, step, span in zip(shape.out, shape.strides, shape.reach, strict=True)
        )
    )
    return Facts(
        rule=schedule.name,
        needed=shape.channels // shape.groups * taps * shape.filters * tall * across,
        done=depth * filters * runs * schedule.rows,
        rows=schedule.rows,
        wide=wide,
        images=schedule.rows,
        lanes=processor.lanes,
        registers=processor.registers,
        depth=depth,
        unrolled=shape.kernel[1] if shape.plain else UNROLL,
        taps=taps,
        stride=shape.strides[1],
        crossing=across % schedule.rows != 0 and not shape.dense,
        tiles=runs * filters // schedule.columns,
        run=runs,
        image_bytes=FLOAT * shape.channels * shape.height * shape.width,
        weight_bytes=FLOAT * filters * depth,
        output_bytes=_written(filters * tall * across, epilogue),
        copied_bytes=FLOAT * shape.channels * padded if copies_image(shape) else 0.0,
        tile_image_bytes=FLOAT * seen * shape.kernel[0] * reach,
        tile_weight_bytes=FLOAT * depth * schedule.columns,
    )


@facts_of.register
def _(
    schedule: DepthwiseConv | GroupedConv,
    shape: ConvShape,
    epilogue: Epilogue,
    processor: Processor,
) -> Facts:
    channels, filters = (
        ceil_div(size, processor.lanes) * processor.lanes
        for size in (shape.channels, shape.filters)
    )
    seen = 1 if isinstance(schedule, DepthwiseConv) else shape.channels // shape.groups
    taps, (tall, across) = math.prod(shape.kernel), shape.out
    runs = tall * ceil_div(across, schedule.rows)
    reach = (schedule.rows - 1) * shape.strides[1] + shape.reach[1]
    image = FLOAT * channels * shape.height * shape.width
    return Facts(
        rule=schedule.name,
        needed=taps * seen * shape.filters * tall * across,
        done=taps * seen * filters * runs * schedule.rows,
        rows=schedule.rows,
        wide=1,
        images=schedule.rows,
        lanes=processor.lanes,
        registers=processor.registers,
        depth=taps * seen,
        unrolled=taps,
        taps=taps,
        stride=shape.strides[1],
        crossing=False,
        tiles=runs * filters // processor.lanes,
        run=runs,
        image_bytes=image,
        weight_bytes=FLOAT * taps * seen * filters,
        output_bytes=_written(filters * tall * across, epilogue),
        copied_bytes=0.0,
        tile_image_bytes=FLOAT * processor.lanes * shape.kernel[0] * reach,
        tile_weight_bytes=FLOAT * processor.lanes * taps * seen,
    )


@facts_of.register
def _(
    schedule: TransposedConv,
    shape: TransposedShape,
    epilogue: Epilogue,
    processor: Processor,
) -> Facts:
    seen, filters = (
        ceil_div(size, part) * part
        for size, part in (
            (shape.channels, processor.lanes),
            (shape.filters, schedule.columns),
        )
    )
    taps, pixels = math.prod(shape.taps), math.prod(shape.grid)
    runs, depth = ceil_div(pixels, schedule.rows), seen * taps
    image = FLOAT * seen * shape.height * shape.width
    return Facts(
        rule=schedule.name,
        needed=shape.channels * math.prod(shape.kernel) * shape.filters * pixels,
        done=shape.phases * depth * filters * runs * schedule.rows,
        rows=schedule.rows,
        wide=schedule.columns // processor.lanes,
        images=schedule.rows,
        lanes=processor.lanes,
        registers=processor.registers,
        depth=depth,
        unrolled=UNROLL,
        taps=taps,
        stride=1,
        crossing=False,
        tiles=shape.phases * runs * filters // schedule.columns,
        run=runs,
        image_bytes=image,
        weight_bytes=FLOAT * shape.phases * filters * depth,
        output_bytes=_written(filters * math.prod(shape.out), epilogue),
        copied_bytes=image if any(shape.before) else 0.0,
        tile_image_bytes=FLOAT * seen * shape.taps[0] * (schedule.rows + shape.before[1]),
        tile_weight_bytes=FLOAT * depth * schedule.columns,
    )


@facts_of.register
def _(schedule: Gemm, shape: GemmShape, epilogue: Epilogue, processor: Processor) -> Facts:
    runs = ceil_div(shape.rows, schedule.rows)
    columns = ceil_div(shape.columns, processor.lanes) * processor.lanes
    return Facts(
        rule=schedule.name,
        needed=shape.rows * shape.depth * shape.columns,
        done=shape.rows * shape.depth * columns,
        rows=schedule.rows,
        wide=schedule.columns // processor.lanes,
        images=schedule.rows,
        lanes=processor.lanes,
        registers=processor.registers,
        depth=shape.depth,
        unrolled=UNROLL,
        taps=1,
        stride=1,
        crossing=False,
        tiles=runs * ceil_div(columns, schedule.columns),
        run=runs,
        image_bytes=FLOAT * shape.rows * shape.depth,
        weight_bytes=FLOAT * columns * shape.depth,
        output_bytes=_written(shape.rows * shape.columns, epilogue),
        copied_bytes=0.0,
        tile_image_bytes=FLOAT * schedule.rows * shape.depth,
        tile_weight_bytes=FLOAT * schedule.columns * shape.depth,
    )


@facts_of.register
def _(
    schedule: GatheredConv, shape: GatheredShape, epilogue: Epilogue, processor: Processor
) -> Facts:
    depth = shape.channels // shape.groups
    runs = ceil_div(shape.pixels, schedule.rows)
    segments = len(schedule.segments(shape))
    filters = ceil_div(shape.filters, processor.lanes) * processor.lanes
    return Facts(
        rule=schedule.name,
        needed=depth * shape.filters * shape.pixels,
        done=depth * segments * schedule.columns * runs * schedule.rows,
        rows=schedule.rows,
        wide=schedule.columns // processor.lanes,
        images=schedule.rows,
        lanes=processor.lanes,
        registers=processor.registers,
        depth=depth,
        unrolled=1,
        taps=1,
        stride=1,
        crossing=False,
        tiles=runs * segments,
        run=runs,
        image_bytes=FLOAT * shape.channels * shape.pixels,
        weight_bytes=FLOAT * depth * segments * schedule.columns,
        output_bytes=_written(filters * shape.pixels, epilogue),
        copied_bytes=0.0,
        tile_image_bytes=FLOAT * depth * schedule.rows,
        tile_weight_bytes=FLOAT * depth * schedule.columns,
    )


@facts_of.register
def _(
    schedule: PointwiseConv, shape: PointwiseShape, epilogue: Epilogue, processor: Processor
) -> Facts:
    depth, filters = (
        ceil_div(size, processor.lanes) * processor.lanes
        for size in (shape.channels, shape.filters)
    )
    runs = ceil_div(shape.pixels, schedule.rows)
    image = FLOAT * depth * shape.pixels
    return Facts(
        rule=schedule.name,
        needed=shape.channels * shape.filters * shape.pixels,
        done=depth * filters * runs * schedule.rows,
        rows=schedule.rows,
        wide=schedule.columns // processor.lanes,
        images=schedule.rows,
        lanes=processor.lanes,
        registers=processor.registers,
        depth=depth,
        unrolled=1,
        taps=1,
        stride=1,
        crossing=False,
        tiles=runs * filters // schedule.columns,
        run=min(runs, schedule.runs),
        image_bytes=image,
        weight_bytes=FLOAT * depth * filters,
        output_bytes=_written(filters * shape.pixels, epilogue),
        copied_bytes=image,
        tile_image_bytes=FLOAT * depth * schedule.rows,
        tile_weight_bytes=FLOAT * depth * schedule.columns,
    )


@facts_of.register
def _(schedule: Winograd, shape: ConvShape, epilogue: Epilogue, processor: Processor) -> Facts:
    tall, across = shape.out
    outputs, lanes = schedule.outputs, processor.lanes
    reads = TRANSFORMS[outputs].reads ** 2
    depth = ceil_div(shape.channels, lanes) * lanes
    filters = ceil_div(shape.filters, schedule.columns) * schedule.columns
    patches = ceil_div(tall, outputs) * ceil_div(across, outputs)
    runs = ceil_div(patches, schedule.rows)
    return Facts(
        rule=schedule.name,
        needed=shape.channels * math.prod(shape.kernel) * shape.filters * tall * across,
        done=runs * schedule.rows * reads * depth * filters,
        rows=schedule.rows,
        wide=schedule.columns // lanes,
        images=schedule.rows,
        lanes=lanes,
        registers=processor.registers,
        depth=depth,
        unrolled=lanes,
        taps=reads,
        stride=outputs,
        crossing=False,
        tiles=reads * runs * filters // schedule.columns,
        run=ceil_div(schedule.block, schedule.rows),
        image_bytes=FLOAT * depth * shape.height * shape.width,
        weight_bytes=float(schedule.packed_bytes(shape, processor)),
        output_bytes=_written(filters * tall * across, epilogue),
        copied_bytes=FLOAT * reads * patches * depth,
        tile_image_bytes=FLOAT * depth * schedule.rows,
        tile_weight_bytes=FLOAT * depth * schedule.columns,
    )


def _written(elements: int, epilogue: Epilogue) -> float:
    """Return the bytes that move with the result: written, and read of a residual."""
    return FLOAT * elements * (2 if epilogue.residual else 1)
