import pytest
import tvm

from suture.codegen.choose.base import BY_FORMULA
from suture.codegen.importer import prepare_and_import
from suture.codegen.lower import fuse, write_buffers
from suture.codegen.phases import Phases
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.base import processor_of
from suture.codegen.vectorize import best_width, vectorize


@pytest.fixture
def kernels(parse, target):
    def kernels(text):
        processor = tvm_target(target)
        imported = prepare_and_import(
            parse(text),
            processor_of(target),
            size_speed="balanced",
            chooser=BY_FORMULA,
            phases=Phases(),
        )
        module = write_buffers(fuse(imported.module, processor), processor)
        return [
            (function, vectorize(module)[name.name_hint])
            for name, function in module.functions.items()
            if isinstance(function, tvm.tirx.PrimFunc)
        ]

    return kernels


def test_a_reduction_gets_vectors_and_local_sums(kernels):
    ((_, after),) = kernels(
        "g (float[6,8] x, float[8,24] w) => (float[6,24] y) { y = MatMul(x, w) }"
    )
    script = after.script()
    assert "T.vectorized(T.int64(8))" in script
    assert 'scope="local"' in script
    assert after.attrs["global_symbol"] == "matmul"


def test_an_elementwise_kernel_is_left_to_llvm(kernels):
    ((before, after),) = kernels("g (float[6,8] x) => (float[6,8] y) { y = Relu(x) }")
    tvm.ir.assert_structural_equal(before, after)


def test_a_narrow_reduction_is_left_alone(kernels):
    ((before, after),) = kernels(
        "g (float[6,8] x, float[8,3] w) => (float[6,3] y) { y = MatMul(x, w) }"
    )
    tvm.ir.assert_structural_equal(before, after)


@pytest.mark.parametrize(("size", "width"), [(64, 16), (24, 8), (20, 10), (7, 7), (17, 1)])
def test_best_width(size, width):
    assert best_width(size) == width
