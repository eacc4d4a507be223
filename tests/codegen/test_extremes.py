import numpy as np
import pytest
import tvm
from tvm import te, tirx, topi

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


@pytest.mark.parametrize("kind", [tirx.max, tirx.min])
def test_what_is_no_number_flows(kind):
    first, second = (te.placeholder((3,), "float32", name=name) for name in "ab")
    constant = te.compute((3,), lambda i: kind(first[i], tirx.const(0.5, "float32")))
    both = te.compute((3,), lambda i: kind(first[i], second[i]))
    kernels = {
        "constant": te.create_prim_func([first, constant]),
        "both": te.create_prim_func([first, second, both]),
    }
    numbers = np.array([1, np.nan, np.nan], np.float32), np.array([np.nan, 1, 0], np.float32)
    for mended in (False, True):
        module = tvm.IRModule(
            {name: each.with_attr("global_symbol", name) for name, each in kernels.items()}
        )
        library = tvm.compile(mend_extremes(module) if mended else module, target="llvm")
        made = []
        for name, given in (("constant", numbers[:1]), ("both", numbers)):
            tensors = [tvm.runtime.tensor(each) for each in (*given, np.zeros(3, np.float32))]
            library[name](*tensors)
            made.append(np.isnan(tensors[-1].numpy()).tolist())
        assert (made == [[False, True, True], [True, True, True]]) == mended


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
