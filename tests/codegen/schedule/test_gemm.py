import numpy as np
import pytest

from suture.codegen.schedule.base import Epilogue, efficiency
from suture.codegen.schedule.gemm import Gemm, GemmShape

SHAPES = [
    GemmShape(rows=13, depth=20, columns=48),
    GemmShape(rows=1, depth=64, columns=10),
    GemmShape(rows=3, depth=7, columns=13),
    GemmShape(rows=1, depth=1, columns=1),
    GemmShape(rows=32, depth=33, columns=96),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_tile_computes_the_right_answer(shape, processor, run):
    vectors, target = processor
    rng = np.random.default_rng(1)
    left = rng.standard_normal((shape.rows, shape.depth)).astype(np.float32)
    right = rng.standard_normal((shape.depth, shape.columns)).astype(np.float32)
    bias = rng.standard_normal(shape.columns).astype(np.float32)
    residual = rng.standard_normal((shape.rows, shape.columns)).astype(np.float32)
    wanted = np.maximum(left.astype(float) @ right + bias + residual, 0)
    epilogue = Epilogue(bias=True, residual=True, activation="relu")
    space = Gemm.space(shape, vectors)
    assert space
    for schedule in space[:4] + space[4::9]:
        kernel = schedule.kernel(shape, epilogue, vectors)
        arrays = [left, schedule.pack(right, shape, vectors), bias, residual]
        out = run(kernel, arrays, residual.shape, target)
        np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_packing_adds_little(shape, processor):
    vectors, _ = processor
    least = -(-shape.columns // vectors.lanes) * vectors.lanes * shape.depth
    weights = np.zeros((shape.depth, shape.columns), np.float32)
    for schedule in Gemm.space(shape, vectors):
        assert schedule.pack(weights, shape, vectors).size <= 1.125 * least


def test_a_tile_beyond_the_registers_is_worth_nothing(processor):
    vectors, _ = processor
    assert efficiency(vectors.registers, 1, vectors) == 0
    assert 0 < efficiency(1, 1, vectors) < efficiency(4, 2, vectors) <= 1
