"""Several programs of one model in one library."""

import ctypes

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.codegen.emulate import emulated
from suture.codegen.lower import lower
from suture.codegen.specialise import share
from suture.codegen.walk import plan_program
from suture.compiler.model import bind_symbols
from suture.compiler.verify import assert_equal, run_reference
from suture.errors import BackendError, RequestError

SIZES = [{"batch": 1}, {"batch": 4}, {"batch": 7}]


@pytest.fixture(scope="module")
def dynamic():
    """float[batch, 40] to float[batch, 24] and the sum of every row, through 72 columns."""
    rng = np.random.default_rng(4)

    def weight(name, *shape):
        array = (rng.standard_normal(shape) / 8).astype(np.float32)
        return onnx.numpy_helper.from_array(array, name)

    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Gemm", ["x", "w1", "b1"], ["a"]),
            node("Relu", ["a"], ["b"]),
            node("MatMul", ["b", "w2"], ["y"]),
            node("ReduceSum", ["y"], ["s"], keepdims=0, axes=[1]),
        ],
        "dynamic",
        [value("x", 1, ["batch", 40])],
        [value("y", 1, ["batch", 24]), value("s", 1, ["batch"])],
        [weight("w1", 40, 72), weight("b1", 72), weight("w2", 72, 24)],
    )
    opset = onnx.helper.make_opsetid("", 12)
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8))


@pytest.fixture(scope="module")
def compiled(dynamic, tvm_backend, target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    return tvm_backend.compile(dynamic.clone(), target, folder, sizes=SIZES)


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((count, 40)).astype(np.float32)}


def test_each_size_answers_as_onnx_runtime_does(dynamic, compiled, tvm_backend):
    run = tvm_backend.load(compiled, dynamic, threads=1)
    for count in (4, 1, 7, 1, 4):  # in turns: the programs share one arena
        answers = run(rows(count, count))
        expected = run_reference(dynamic, rows(count, count))
        assert answers["y"].shape == (count, 24)
        assert_equal(expected, answers, what=f"batch {count}", rtol=1e-5)


def test_other_sizes_are_refused_by_name(dynamic, compiled, tvm_backend):
    run = tvm_backend.load(compiled, dynamic, threads=1)
    with pytest.raises(RequestError, match="there is no program for these sizes") as caught:
        run(rows(5))
    assert "x [1, 40]; x [4, 40]; x [7, 40]" in str(caught.value)


def test_equal_weights_are_there_once(dynamic, compiled, tvm_backend, target, tmp_path):
    apart = [
        tvm_backend.compile(dynamic.clone(), target, tmp_path / str(n), sizes=[size])
        for n, size in enumerate(SIZES)
    ]
    assert len(compiled.programs) == 3
    assert compiled.weight_bytes < sum(each.weight_bytes for each in apart)
    assert compiled.arena_bytes == max(each.arena_bytes for each in apart)
    assert "3 programs, one for each set of sizes" in compiled.notes[-1]


def test_a_program_twice_is_all_shared(dynamic, target):
    fixed = dynamic.clone()
    bind_symbols(fixed, {"batch": 4})
    lowered = [lower(fixed, target) for _ in range(2)]
    plans = [plan_program(each) for each in lowered]
    both = share(lowered, plans)
    assert len(both.names) == len(plans[0].kernels)
    assert len(both.weights) == len(plans[0].weights)
    assert both.plans[0] == both.plans[1]


def test_one_program_stays_as_it_is(dynamic, target):
    fixed = dynamic.clone()
    bind_symbols(fixed, {"batch": 4})
    lowered = lower(fixed, target)
    plan = plan_program(lowered)
    assert share([lowered], [plan]).plans == (plan,)


def test_a_program_that_is_not_there(compiled):
    library = ctypes.CDLL(str(compiled.files["libmodel.so"]))
    library.model_error.restype = ctypes.c_char_p
    assert library.model_init() == 0
    assert library.model_n_programs() == 3
    for number in (-1, 3):
        assert library.model_use(number) != 0
        assert library.model_error() == b"there is no such program"


def test_a_size_that_cannot_be_is_named(dynamic, tvm_backend, target, tmp_path):
    with pytest.raises(BackendError, match="dynamic shape"):
        tvm_backend.compile(dynamic.clone(), target, tmp_path)


@pytest.mark.emulator
def test_sizes_on_arm64(dynamic, tvm_backend, arm64, tmp_path):
    compiled = tvm_backend.compile(dynamic.clone(), arm64, tmp_path, sizes=SIZES)
    run = emulated(compiled, arm64, tvm_backend.cache)
    for count in (1, 4, 7):
        expected = run_reference(dynamic, rows(count))
        assert_equal(expected, run(rows(count)), what=f"batch {count}", rtol=1e-5)
