"""Kernels for two processors in one library, which takes those that its host can run."""

import ctypes

import pytest

from suture.compiler.target import lambda_x86_64_v4
from suture.compiler.verify import assert_equal, run_reference


@pytest.fixture(scope="module")
def both(conv_model, tvm_backend, tmp_path_factory):
    return tvm_backend.compile(
        conv_model.clone(), lambda_x86_64_v4(), tmp_path_factory.mktemp("both")
    )


@pytest.fixture(scope="module")
def one(conv_model, tvm_backend, target, tmp_path_factory):
    return tvm_backend.compile(conv_model.clone(), target, tmp_path_factory.mktemp("one"))


def test_weights_are_there_once(one, both):
    library, other = (each.files["libmodel.so"].read_bytes() for each in (one, both))
    weights = (both.files["libmodel.so"].parent / "weights.bin").read_bytes()
    assert both.weight_bytes == one.weight_bytes == len(weights)
    assert other.count(weights) == library.count(weights) == 1
    assert one.arena_bytes == both.arena_bytes


def test_kernels_are_there_twice(both):
    folder = both.files["libmodel.so"].parent
    source = (folder / "kernels.c").read_text()
    tables = [line for line in source.splitlines() if "extern Kernel" in line]
    names = {line.removeprefix("extern Kernel ").removesuffix(";") for line in tables}
    baseline = {name for name in names if not name.endswith("_x86_64_v4")}
    assert names == baseline | {f"{name}_x86_64_v4" for name in baseline}
    assert "kernels for x86-64-v4, x86-64-v3" in both.notes


def test_the_best_set_that_this_processor_runs_is_chosen(
    both, conv_model, random_inputs, tvm_backend, cpu_flags
):
    program = tvm_backend.load(both, conv_model, threads=1)
    inputs = random_inputs(conv_model)
    answers = program(inputs)
    assert_equal(run_reference(conv_model, inputs), answers, what="both", rtol=1e-5)
    library = ctypes.CDLL(str(both.files["libmodel.so"]))
    library.model_processor.restype = ctypes.c_char_p
    chosen = library.model_processor().decode()
    assert chosen == ("x86-64-v4" if "avx512vl" in cpu_flags else "x86-64-v3")


@pytest.fixture(scope="module")
def cpu_flags():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next(line for line in lines if line.startswith("flags")).split()
