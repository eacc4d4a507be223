from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.pipeline import PIPELINE
from suture.codegen.schedule.base import WIDTHS, Epilogue, Processor, efficiency
from suture.codegen.schedule.gemm import Gemm, GemmShape

SHAPES = [
    GemmShape(rows=13, depth=20, columns=48),
    GemmShape(rows=1, depth=64, columns=10),
    GemmShape(rows=3, depth=7, columns=13),
    GemmShape(rows=1, depth=1, columns=1),
    GemmShape(rows=32, depth=33, columns=96),
    GemmShape(rows=7, depth=5, columns=151),
]
EPILOGUE = Epilogue(bias=True, residual=True, activation="relu")


def check(schedule, shape, processor, run):
    vectors, target = processor
    rng = np.random.default_rng(1)
    left = rng.standard_normal((shape.rows, shape.depth)).astype(np.float32)
    right = rng.standard_normal((shape.depth, shape.columns)).astype(np.float32)
    bias = rng.standard_normal(shape.columns).astype(np.float32)
    residual = rng.standard_normal((shape.rows, shape.columns)).astype(np.float32)
    wanted = np.maximum(left.astype(float) @ right + bias + residual, 0)
    kernel = schedule.kernel(shape, EPILOGUE, vectors)
    arrays = [left, schedule.pack(right, shape, vectors), bias, residual]
    out = run(kernel, arrays, residual.shape, target)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_tile_computes_the_right_answer(shape, processor, run):
    space = Gemm.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    # Every value of a space would be a thousand kernels: each of the best, then one in seven.
    for schedule in space[:5] + space[5::7]:
        check(schedule, shape, processor, run)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("sizes", [(40, 60, 96), (97, 50, 40), (1, 300, 500)])
def test_threads_change_nothing(sizes, threads, processor, run):
    rows, depth, columns = sizes
    shape = GemmShape(rows=rows, depth=depth, columns=columns)
    vectors, target = processor
    many = replace(vectors, threads=threads)
    best = Gemm.space(shape, many)[0]
    assert "T.parallel" in best.kernel(shape, EPILOGUE, many).script()
    check(best, shape, (many, target), run)


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 20), depth=st.integers(1, 70), columns=st.integers(1, 70))
def test_any_shape(processor, run, rows, depth, columns):
    shape = GemmShape(rows=rows, depth=depth, columns=columns)
    check(Gemm.space(shape, processor[0])[0], shape, processor, run)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_packing_adds_less_than_a_vector(shape, processor):
    vectors, _ = processor
    least = -(-shape.columns // vectors.lanes) * vectors.lanes * shape.depth
    weights = np.zeros((shape.depth, shape.columns), np.float32)
    for schedule in Gemm.space(shape, vectors):
        assert schedule.pack(weights, shape, vectors).size == least


def test_the_most_promising_tile_of_a_large_product_fills_the_registers():
    avx2 = Processor(lanes=8, registers=16)
    best = Gemm.space(GemmShape(rows=197, depth=768, columns=768), avx2)[0]
    assert (best.rows, best.columns) == (6, 16)
    assert best.panels * best.columns * 768 * 4 <= 256 * 1024


def test_threads_get_even_shares():
    shape = GemmShape(rows=128, depth=768, columns=768)
    for threads in (2, 3, 4):
        best = Gemm.space(shape, Processor(lanes=8, registers=16, threads=threads))[0]
        assert 768 // best.columns // best.panels % threads == 0


def test_kernels_for_avx512_compile():
    processor = WIDTHS["x86-64-v4"]
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v4", "num-cores": 1})
    shape = GemmShape(rows=197, depth=96, columns=100)
    kernel = Gemm.space(shape, processor)[0].kernel(shape, EPILOGUE, processor)
    named = kernel.with_attr("global_symbol", "main")
    library = tvm.compile(named, target=target, tir_pipeline=PIPELINE)
    assert "zmm" in library.mod.inspect_source("asm")


def test_a_row_by_itself_goes_over_wide_panels():
    avx2 = Processor(lanes=8, registers=16)
    best = Gemm.space(GemmShape(rows=1, depth=768, columns=1000), avx2)[0]
    assert best.columns >= 40


def test_not_a_number_and_infinity_flow(processor, run):
    vectors, target = processor
    shape = GemmShape(rows=4, depth=9, columns=17)
    left, right = np.ones((4, 9), np.float32), np.ones((9, 17), np.float32)
    left[1, 3], left[2, 0] = np.nan, np.inf
    schedule = Gemm.space(shape, vectors)[0]
    kernel = schedule.kernel(shape, Epilogue(activation="relu"), vectors)
    out = run(kernel, [left, schedule.pack(right, shape, vectors)], (4, 17), target)
    np.testing.assert_array_equal(out, np.maximum(left @ right, 0))


def test_a_tile_beyond_the_registers_is_worth_nothing(processor):
    vectors, _ = processor
    assert efficiency(vectors.registers, 1, vectors) == 0
    assert 0 < efficiency(1, 1, vectors) < efficiency(4, 2, vectors) <= 1
