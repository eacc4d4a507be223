import itertools

import pytest

from suture.codegen.aot import AotPlan, Call, Copy, Tensor, plan_program, plan_source
from suture.codegen.lower import lower


@pytest.fixture
def plan(parse, target):
    def plan(text):
        return plan_program(lower(parse(text), target))

    return plan


def test_output_is_written_in_place(plan):
    made = plan("g (float[4] x) => (float[4] y) { y = Relu(x) }")
    assert made.tensors == (
        Tensor("input", 0, (4,), "float32"),
        Tensor("output", 0, (4,), "float32"),
    )
    assert made.calls == (Call("relu", (0, 1)),)
    assert made.copies == ()
    assert (made.arena_bytes, made.weights) == (0, b"")


def test_output_that_is_an_input_is_copied(plan):
    made = plan("g (float[4] x) => (float[4] same) { same = Identity(x) }")
    assert made.calls == ()
    assert made.copies == (Copy(0, 0, 16),)
    assert made.outputs == (Tensor("output", 0, (4,), "float32"),)


def test_second_name_of_an_output_is_copied(plan):
    made = plan("""g (float[2,2] x) => (float[2,2] y, float[4] flat) <int64[1] shape = {4}>
        { y = Relu(x) flat = Reshape(y, shape) }""")
    (copy,) = made.copies
    assert made.tensors[copy.tensor].space == "output"
    assert (copy.output, copy.nbytes) == (1, 16)


def test_equal_constants_are_stored_once(plan):
    made = plan("""g (float[4,4] x) => (float[4,4] y)
        <float[4] v = {1, 2, 3, 4}, float[4] w = {1, 2, 3, 4}>
        { a = Add(x, v) e = Softmax(a) y = Mul(e, w) }""")
    assert len(made.weights) == 16


def test_unused_input_keeps_its_place(plan):
    made = plan("g (float[4] a, float[8] no, float[4] b) => (float[4] y) { y = Add(a, b) }")
    assert [tensor.nbytes for tensor in made.inputs] == [16, 32, 16]
    assert {made.tensors[arg].at for arg in made.calls[0].args[:2]} == {0, 2}


def test_buffers_of_the_arena_do_not_overlap_while_both_are_alive(conv_model, target):
    made = plan_program(lower(conv_model, target))
    for call in made.calls:
        spans = sorted(
            (tensor.at, tensor.at + tensor.nbytes)
            for tensor in {made.tensors[arg] for arg in call.args}
            if tensor.space == "arena"
        )
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        assert all(start % 64 == 0 and end <= made.arena_bytes for start, end in spans)


def test_source_of_an_empty_plan_is_c_without_empty_arrays():
    empty = AotPlan(
        tensors=(), calls=(), copies=(), inputs=(), outputs=(), arena_bytes=0, weights=b""
    )
    source = plan_source(empty)
    assert "plan_num_tensors = 0;" in source
    assert "{}" not in source.replace(" ", "")


def test_source_names_kernels_and_places():
    tensors = (Tensor("input", 1, (), "bool"), Tensor("weights", 64, (2, 3), "float16"))
    source = plan_source(
        AotPlan(
            tensors=tensors,
            calls=(Call("mix", (0, 1)),),
            copies=(Copy(0, 1, 12),),
            inputs=tensors[:1],
            outputs=(Tensor("output", 0, (2, 3), "float16"),),
            arena_bytes=128,
            weights=bytes(76),
        )
    )
    for line in (
        "extern Kernel __tvm_ffi_mix;",
        "{0, {kDLCPU, 0}, 0, {6, 8, 1}, shape_0, 0, 0},",
        "{0, {kDLCPU, 0}, 2, {2, 16, 1}, shape_1, 0, 0},",
        "{INPUT, 1},",
        "{WEIGHTS, 64},",
        "{__tvm_ffi_mix, args_0, 2},",
        "{0, 1, 12},",
        "const uint64_t plan_output_bytes[] = {12};",
        "const uint64_t plan_arena_bytes = 128;",
    ):
        assert line in source
