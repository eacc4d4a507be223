"""Rows of blocked images cut out and put together, against ONNX Runtime."""

import numpy as np
import pytest

from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

HEAD = "g (float[1,12,9,10] x) => (float[1,12,{rows},{columns}] y) <{constants}>"
MODELS = {
    "rows": (
        "{ s = Slice(a, two, seven, rows) y = Exp(s) }",
        (5, 10),
    ),
    "rows from the end": (
        "{ s = Slice(a, four_back, far, rows_back) y = Exp(s) }",
        (4, 10),
    ),
    "rows in steps": (
        "{ s = Slice(a, two, seven, rows, two) y = Exp(s) }",
        (3, 10),
    ),
    "columns": (
        "{ s = Slice(a, two, seven, columns) y = Exp(s) }",
        (9, 5),
    ),
    "strips": (
        "{ s = Slice(a, two, seven, rows) j = Concat<axis=2>(s, a, s) y = Exp(j) }",
        (19, 10),
    ),
}
BLOCKED = ("float[0] empty = {}", "int64[4] sizes = {1, 12, 9, 10}")
"""What a resize reads, whose kernel gives blocks of channels."""
BLOCKS = 2
"""Of 12 channels, in vectors of 8."""
NUMBERS = {
    "two": 2,
    "three": 3,
    "seven": 7,
    "four_back": -4,
    "far": 2**31,
    "rows": 2,
    "rows_back": -2,
    "columns": 3,
}


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_onnx_runtime(name, parse, tvm_backend, target, tmp_path):
    body, (rows, columns) = MODELS[name]
    numbers = (f"int64[1] {key} = {{{value}}}" for key, value in NUMBERS.items())
    constants = ", ".join((*numbers, *BLOCKED))
    body = body.replace("{", "{ a = Resize(x, empty, empty, sizes)", 1)
    model = parse(HEAD.format(rows=rows, columns=columns, constants=constants) + body)
    inputs = seeded_inputs(model, np.random.default_rng(1))
    expected = run_reference(model, inputs)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(expected, answers, what=name, rtol=1e-5)
    told = " ".join(kernel.name for kernel in compiled.kernels)
    assert ("some_rows" in told) == (name in ("rows", "rows from the end", "strips"))
    pasted = [kernel.name for kernel in compiled.kernels if kernel.name == "copy"]
    assert len(pasted) == (3 * BLOCKS if name == "strips" else 0)


def test_a_strip_is_copied_as_soon_as_it_is_made(parse, tvm_backend, target, tmp_path):
    numbers = (f"int64[1] {key} = {{{value}}}" for key, value in NUMBERS.items())
    constants = ", ".join((*numbers, *BLOCKED))
    pool = "MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>"
    body = f"""{{ a = Resize(x, empty, empty, sizes) s = Slice(a, two, seven, rows)
      b = {pool}(s) t = Slice(a, four_back, far, rows_back) d = {pool}(t)
      e = Slice(a, two, three, rows) j = Concat<axis=2>(b, d, e) y = Exp(j) }}"""
    model = parse(HEAD.format(rows=10, columns=10, constants=constants) + body)
    inputs = seeded_inputs(model, np.random.default_rng(1))
    expected = run_reference(model, inputs)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(expected, answers, what="strips", rtol=1e-5)
    told = [kernel.name.partition("_")[0] for kernel in compiled.kernels]
    made = [name for name in told if name in ("pool", "copy")]
    assert made == [*["pool", *["copy"] * BLOCKS] * 2, *["copy"] * BLOCKS]
