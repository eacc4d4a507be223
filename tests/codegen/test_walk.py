import itertools

import pytest

from suture.codegen.aot import COPY, Call, Tensor
from suture.codegen.lower import lower
from suture.codegen.walk import plan_program


@pytest.fixture
def plan(parse, target):
    def plan(text):
        return plan_program(lower(parse(text), target))

    return plan


def test_output_is_written_in_place(plan):
    made = plan("g (float[4] x) => (float[4] y) { y = Relu(x) }")
    assert made.tensors == (
        Tensor(space="input", shape=(4,), dtype="float32"),
        Tensor(space="output", shape=(4,), dtype="float32"),
    )
    assert made.calls == (Call("relu", (0, 1)),)
    assert (made.arena_bytes, made.weights) == (0, b"")


def test_output_that_is_an_input_is_copied(plan):
    made = plan("g (float[4] x) => (float[4] same) { same = Identity(x) }")
    assert made.calls == (Call(COPY, (0, 1)),)
    assert made.outputs == (Tensor(space="output", shape=(4,), dtype="float32"),)
    assert made.tensors[1] == made.outputs[0]


def test_second_name_of_an_output_is_copied(plan):
    made = plan("""g (float[2,2] x) => (float[2,2] y, float[4] flat) <int64[1] shape = {4}>
        { y = Relu(x) flat = Reshape(y, shape) }""")
    copy = made.calls[-1]
    assert copy.kernel == COPY
    places = [(made.tensors[arg].space, made.tensors[arg].buffer) for arg in copy.args]
    assert places == [("output", 0), ("output", 1)]


def test_equal_constants_are_stored_once(plan):
    made = plan("""g (float[4,4] x) => (float[4,4] y)
        <float[4] v = {1, 2, 3, 4}, float[4] w = {1, 2, 3, 4}>
        { a = Add(x, v) e = Softmax(a) y = Mul(e, w) }""")
    assert len(made.weights) == 16


def test_unused_input_keeps_its_place(plan):
    made = plan("g (float[4] a, float[8] no, float[4] b) => (float[4] y) { y = Add(a, b) }")
    assert [tensor.nbytes for tensor in made.inputs] == [16, 32, 16]
    assert {made.tensors[arg].buffer for arg in made.calls[0].args[:2]} == {0, 2}


def test_buffers_of_the_arena_do_not_overlap_while_both_are_alive(conv_model, target):
    made = plan_program(lower(conv_model, target))
    for call in made.calls:
        spans = sorted(
            (tensor.offset, tensor.offset + tensor.nbytes)
            for tensor in {made.tensors[arg] for arg in call.args}
            if tensor.space == "arena"
        )
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        assert all(start % 64 == 0 and end <= made.arena_bytes for start, end in spans)


def places(made, call):
    return [(made.tensors[arg].space, made.tensors[arg].offset) for arg in call.args]


def test_parts_of_a_concatenation_are_written_where_it_lies(plan):
    made = plan("""g (float[1,8] x) => (float[1,24] y)
        { a = Relu(x) b = Sigmoid(x) c = Tanh(x) d = Concat<axis=1>(a, b)
          y = Concat<axis=-1>(d, c) }""")
    assert COPY not in {call.kernel for call in made.calls}
    assert [places(made, call)[-1] for call in made.calls] == [
        ("output", 0),
        ("output", 32),
        ("output", 64),
    ]


def test_what_is_no_buffer_of_its_own_is_copied_into_a_concatenation(plan):
    made = plan("""g (float[8] x) => (float[32] y, float[8] a)
        { a = Relu(x) y = Concat<axis=0>(a, x, a, a) }""")
    copies = [places(made, call) for call in made.calls if call.kernel == COPY]
    assert [source for source, _ in copies[:3]] == [("input", 0), *[("output", 0)] * 2]
    assert [target for _, target in copies] == [("output", n) for n in (32, 64, 96, 0)]
