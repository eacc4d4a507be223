"""What can be told of a scheduled kernel without building it.

A schedule rule hands over raw numbers, ``Facts``; what a cost model learns from is derived
from them here, in the same way for every rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from suture.compiler.cost.base import Matrix

FLOAT = 4
L1_BYTES, L2_BYTES, L3_BYTES = 2**15, 2**19, 2**23
"""Yardsticks, not this machine's caches: the model learns what lies around them."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Raw numbers of a kernel under one of its schedules.

    A kernel makes tiles of sums one after the other, each kept in registers. A run of tiles
    reads the same weights.

    Attributes:
        rule: The rule's name.
        needed: Multiply-adds that the result asks for.
        done: Multiply-adds that are executed, those on padding included.
        rows: Sums of a tile that share a vector of weights.
        wide: Vectors of weights that a step of a tile reads.
        images: Loads of the image in a step of a tile.
        lanes: Numbers in a vector register.
        registers: Vector registers of the processor.
        depth: Multiply-adds of each sum.
        unrolled: Of these, those in one turn of the innermost loop.
        taps: Places of the image that one sum reads for each channel.
        stride: Pixels between neighbouring rows of a tile.
        crossing: Whether neighbouring rows of a tile may lie in different rows of the image.
        tiles: How many tiles there are.
        run: Tiles that read the same weights, one after the other.
        image_bytes: Size of what is read besides the weights.
        weight_bytes: Size of the packed weights.
        output_bytes: Size of the result.
        copied_bytes: Size of a padded copy of the image; 0 where there is none.
        tile_image_bytes: What one tile reads of the image.
        tile_weight_bytes: What one tile reads of the weights.
    """

    rule: str
    needed: float
    done: float
    rows: int
    wide: int
    images: int
    lanes: int
    registers: int
    depth: int
    unrolled: int
    taps: int
    stride: int
    crossing: bool
    tiles: int
    run: int
    image_bytes: float
    weight_bytes: float
    output_bytes: float
    copied_bytes: float
    tile_image_bytes: float
    tile_weight_bytes: float


@dataclass(frozen=True, kw_only=True)
class Features:
    """One row of a feature matrix; sizes are logarithms to base 2.

    The first ten are sizes of the whole kernel, the next ones the tile, then the caches and
    at last two formulas.
    """

    needed: float
    waste: float
    image: float
    weights: float
    output: float
    copied: float
    copied_share: float
    intensity: float
    tiles: float
    run: float
    rows: float
    wide: float
    sums: float
    latency_hidden: float
    registers_used: float
    spilled: float
    loads: float
    lanes: float
    depth: float
    turns: float
    unrolled: float
    taps: float
    stride: float
    crossing: float
    step_code: float
    epilogue: float
    tile_image_l1: float
    tile_weights_l1: float
    tile_l1: float
    tile_weights_l2: float
    image_l2: float
    run_l2: float
    image_l3: float
    weights_l3: float
    reached: float
    cycles: float


NAMES = tuple(each.name for each in fields(Features))


def features(facts: Facts) -> Features:
    """Return what a cost model learns from."""
    f = facts
    sums = f.rows * f.wide
    used = sums + f.wide + 1
    loads = (f.images + f.wide) / sums
    reached = min(1.0, sums / 8) * min(1.0, 1 / loads) * (used <= f.registers or 0.5)
    moved = f.image_bytes + f.weight_bytes + f.output_bytes + f.copied_bytes
    image = max(f.copied_bytes, f.image_bytes)
    return Features(
        needed=_log(f.needed),
        waste=_log(f.done / f.needed),
        image=_log(f.image_bytes),
        weights=_log(f.weight_bytes),
        output=_log(f.output_bytes),
        copied=_log(f.copied_bytes),
        copied_share=f.copied_bytes / FLOAT / f.done,
        intensity=_log(f.done / moved),
        tiles=_log(f.tiles),
        run=_log(f.run),
        rows=f.rows,
        wide=f.wide,
        sums=sums,
        latency_hidden=min(1.0, sums / 8),
        registers_used=used / f.registers,
        spilled=max(0.0, used - f.registers),
        loads=loads,
        lanes=f.lanes,
        depth=_log(f.depth),
        turns=_log(f.depth / f.unrolled),
        unrolled=f.unrolled,
        taps=f.taps,
        stride=f.stride,
        crossing=f.crossing,
        step_code=_log(f.unrolled * (sums + f.wide)),
        epilogue=1 / f.depth,
        tile_image_l1=_log(f.tile_image_bytes / L1_BYTES),
        tile_weights_l1=_log(f.tile_weight_bytes / L1_BYTES),
        tile_l1=_log((f.tile_image_bytes + f.tile_weight_bytes) / L1_BYTES),
        tile_weights_l2=_log(f.tile_weight_bytes / L2_BYTES),
        image_l2=_log(image / L2_BYTES),
        run_l2=_log((image + f.tile_weight_bytes) / L2_BYTES),
        image_l3=_log(image / L3_BYTES),
        weights_l3=_log(f.weight_bytes / L3_BYTES),
        reached=reached,
        cycles=_log(f.done / f.needed / reached),
    )


def matrix(rows: Sequence[Facts], rules: Sequence[str]) -> Matrix:
    """Return features as ``(rows, columns)``, at the end a column for each of some rules."""
    numbers = np.array([list(vars(features(row)).values()) for row in rows], np.float64)
    which = np.array([[row.rule == rule for rule in rules] for row in rows], np.float64)
    return np.hstack(
        [numbers.reshape(len(rows), len(NAMES)), which.reshape(len(rows), len(rules))]
    )


def _log(number: float) -> float:
    """Return the logarithm of a size, of nothing that of a very small one."""
    return math.log2(max(number, 2**-20))
