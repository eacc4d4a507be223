import numpy as np
import pytest
import tvm
from tvm import te, topi

from suture.codegen.extremes import mend_extremes
from suture.compiler.verify import assert_equal, run_reference


@pytest.mark.parametrize(("reduce", "first"), [(topi.max, "-inf"), (topi.min, "inf")])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_reduction_begins_with_an_infinity(reduce, first, dtype):
    values = te.placeholder((4, 5), dtype)
    kernel = te.create_prim_func([values, reduce(values, axis=1)])
    mended = mend_extremes(tvm.IRModule({"main": kernel}))
    assert f'= T.{dtype}("{first}")' in mended.script()


def test_sums_and_whole_numbers_stay():
    values = te.placeholder((4, 5), "int32")
    total = te.placeholder((4, 5), "float32")
    module = tvm.IRModule(
        {
            "greatest": te.create_prim_func([values, topi.max(values, axis=1)]),
            "sum": te.create_prim_func([total, topi.sum(total, axis=1)]),
        }
    )
    tvm.ir.assert_structural_equal(mend_extremes(module), module)


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin"])
def test_rows_of_nothing_but_infinities(parse, tvm_backend, target, tmp_path, operator):
    model = parse(f"g (float[3, 4] x) => (float[3] y) {{ y = {operator}"
                  "<axes = [1], keepdims = 0>(x) }")  # fmt: skip
    inputs = {"x": np.full((3, 4), -np.inf, np.float32)}
    inputs["x"][1] = np.inf
    inputs["x"][2, 1] = 3
    compiled = tvm_backend.compile(model, target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what="tvm")
    assert np.isinf(answers["y"][:2]).all()
