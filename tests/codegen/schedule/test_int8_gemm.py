"""8-bit products, against the same in wide integers and double precision."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import ceil_div
from suture.codegen.schedule.dot import Finish, Integers
from suture.codegen.schedule.gemm import GemmShape
from suture.codegen.schedule.int8_gemm import Int8Gemm, Int8GemmShape

from .quanta import (
    S8,
    TO_FLOAT,
    TO_S8,
    TO_U8,
    U8,
    arguments,
    constants,
    drawn,
    finished,
    same,
    sample,
)

GEMMS = {
    "ragged": GemmShape(rows=13, depth=37, columns=45),
    "whole": GemmShape(rows=12, depth=64, columns=48),
    "one row": GemmShape(rows=1, depth=70, columns=100),
    "one": GemmShape(rows=1, depth=1, columns=1),
}


def check_gemm(tile, shape, finish, processor, run, *, seed=0):
    vectors, target = processor
    rng = np.random.default_rng(seed)
    gemm, source = shape.gemm, shape.source
    left = drawn(rng, (gemm.rows, gemm.depth), *source.bounds, source.dtype)
    most = 64 if shape.mild else 128
    right = drawn(rng, (gemm.depth, gemm.columns), -most, most - 1, np.int8)
    sums = (left.astype(np.int64) - source.zero) @ right.astype(np.int64)
    scale, bias = constants(rng, sums, finish, gemm.columns)
    wanted = finished(sums, scale, bias, finish)
    filters = ceil_div(gemm.columns, tile.columns) * tile.columns
    packed = tile.pack(right, shape, vectors)
    arrays = [left, *arguments(packed, scale, bias, filters)]
    kernel = tile.kernel(shape, finish, vectors)
    out = run(kernel, arrays, (gemm.rows, gemm.columns), target, finish.dtype)
    same(out, wanted, finish)


@pytest.mark.parametrize("name", GEMMS)
def test_every_tile_of_products(name, processor, run):
    for source, finish, mild in ((U8, TO_U8, True), (S8, TO_S8, False), (U8, TO_FLOAT, True)):
        shape = Int8GemmShape(gemm=GEMMS[name], source=source, mild=mild)
        space = Int8Gemm.space(shape, processor[0])
        assert len(set(space)) == len(space) > 0
        for tile in sample(space):
            check_gemm(tile, shape, finish, processor, run)


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 20),
    depth=st.integers(1, 50),
    columns=st.integers(1, 60),
    zero=st.integers(0, 255),
    mild=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_product(processor, run, rows, depth, columns, zero, mild, seed):
    shape = Int8GemmShape(
        gemm=GemmShape(rows=rows, depth=depth, columns=columns),
        source=Integers(dtype="uint8", zero=zero),
        mild=mild,
    )
    tile = Int8Gemm.space(shape, processor[0])[0]
    finish = Finish(out=S8, low=-60.0, high=61.0)
    check_gemm(tile, shape, finish, processor, run, seed=seed)


def test_blocks_smaller_than_the_rows(processor, run):
    shape = Int8GemmShape(gemm=GEMMS["ragged"], source=S8, mild=False)
    for rows, block in ((4, 4), (3, 5)):
        tile = Int8Gemm(rows, processor[0].lanes, block, processor[0].dots[-1])
        check_gemm(tile, shape, TO_S8, processor, run)


def test_threads_share_tiles(processor, run):
    two = (dataclasses.replace(processor[0], threads=2), processor[1])
    shape = Int8GemmShape(gemm=GEMMS["ragged"], source=U8, mild=False)
    check_gemm(Int8Gemm.space(shape, two[0])[0], shape, TO_U8, two, run)
