"""Programs with branches, compiled and run."""

import numpy as np
import pytest

from suture.codegen.aot import SKIP_IF, SKIP_UNLESS
from suture.codegen.lower import lower
from suture.codegen.walk import plan_program
from suture.compiler.verify import assert_equal, run_reference
from suture.errors import BackendError

BRANCHES = """
g (bool c, float[3, 4] x) => (float[3, 4] y, float[3, 1] z) {
    w = Relu(x)
    y, z = If(c) <
        then_branch = t () => (float[3, 4] a, float[3, 1] b) {
            h = Softmax(w)
            a = Exp(h)
            b = ReduceMax<axes = [1]>(h)
        },
        else_branch = e () => (float[3, 4] a, float[3, 1] b) {
            h = Sub(x, w)
            a = Abs(h)
            b = ReduceMin<axes = [1]>(w)
        }
    >
}
"""
NESTED = """
g (bool[1] c, float[4] x) => (float[4] y) {
    big = Constant<value = float {2.0}>()
    most = ReduceMax<keepdims = 0>(x)
    deep = Greater(most, big)
    r = If(c) <
        then_branch = t () => (float[4] a) {
            a = If(deep) <
                then_branch = tt () => (float[4] b) { b = Exp(x) },
                else_branch = te () => (float[4] b) { b = Identity(x) }
            >
        },
        else_branch = e () => (float[4] a) { a = Neg(x) }
    >
    y = Add(r, x)
}
"""


@pytest.fixture
def run(tvm_backend, target, tmp_path):
    def run(model, requests):
        compiled = tvm_backend.compile(model.clone(), target, tmp_path)
        program = tvm_backend.load(compiled, model, threads=1)
        for inputs in requests:
            expected = run_reference(model, inputs)
            assert_equal(expected, program(inputs), what="tvm", rtol=1e-6)
        return program

    return run


def test_the_branch_that_is_taken_answers_time_and_again(run, parse):
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    run(parse(BRANCHES), [{"c": np.array(c), "x": x} for c in (True, False, False, True)])


def test_branches_within_branches(run, parse):
    requests = [
        {"c": np.array([c]), "x": np.array([1, -1, top, 0], np.float32)}
        for c in (True, False)
        for top in (1, 3)
    ]
    run(parse(NESTED), requests)


def test_no_kernel_of_the_other_branch_runs(run, parse, target):
    model = parse(BRANCHES)
    x = np.ones((3, 4), np.float32)
    program = run(model, [{"c": np.array(True), "x": x}])
    calls = plan_program(lower(model, target)).calls
    ran = program.profile({"c": np.array(True), "x": x}) > 0
    otherwise = next(n for n, each in enumerate(calls) if each.kernel == SKIP_IF)
    assert ran[: otherwise + 1].all()
    assert not ran[otherwise + 1 :].any()
    assert calls[0].kernel == SKIP_UNLESS
    assert calls[0].skip + 1 == otherwise


def test_results_of_two_shapes_are_refused(parse, target):
    text = """
    g (bool c, float[4] x) => (float[n] y) {
        one = Constant<value = int64[1] {1}>()
        zero = Constant<value = int64[1] {0}>()
        y = If(c) <
            then_branch = t () => (float[4] a) { a = Exp(x) },
            else_branch = e () => (float[1] a) { a = Slice(x, zero, one) }
        >
    }
    """
    with pytest.raises(BackendError, match="its branches differ"):
        lower(parse(text), target)


def test_a_branch_decided_by_a_constant_leaves_nothing_of_the_other(parse, target):
    text = """
    g (float[4] x) => (float[4] y) {
        c = Constant<value = bool {1}>()
        y = If(c) <
            then_branch = t () => (float[4] a) { a = Exp(x) },
            else_branch = e () => (float[4] a) { a = Neg(x) }
        >
    }
    """
    calls = plan_program(lower(parse(text), target)).calls
    assert [each.kernel for each in calls] == ["tir_exp"]


def test_a_result_may_be_an_input_and_a_constant_and_an_output_twice(run, parse):
    text = """
    g (bool c, float[2] x) => (float[2] y, float[2] z) {
        y = If(c) <
            then_branch = t () => (float[2] a) { a = Constant<value = float[2] {1.0, 2.0}>() },
            else_branch = e () => (float[2] a) { a = Identity(x) }
        >
        z = Identity(y)
    }
    """
    x = np.array([5, 6], np.float32)
    run(parse(text), [{"c": np.array(c), "x": x} for c in (True, False)])


def test_the_weights_of_a_branch_have_names_of_their_own(run, parse):
    text = """
    g (bool c, float[2] x) => (float[2] y) {
        w = Constant<value = float[2] {7.0, 8.0}>()
        r = If(c) <
            then_branch = t () => (float[2] a) <float[2] w2 = {1.0, 2.0}> { a = Mul(x, w2) },
            else_branch = e () => (float[2] a) <float[2] w2 = {3.0, 4.0}> { a = Mul(x, w2) }
        >
        y = Add(r, w)
    }
    """
    x = np.array([5, 6], np.float32)
    run(parse(text), [{"c": np.array(c), "x": x} for c in (True, False)])
