"""Resizes against ONNX Runtime: every way to align two grids that a kernel is made for."""

import numpy as np
import pytest

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.groups.resize import RESIZE
from suture.codegen.prepare import prepare
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

ALIGNED = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
ROUNDED = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
ATTRIBUTES = [
    *(f'mode="linear", coordinate_transformation_mode="{a}"' for a in ALIGNED),
    *(
        f'mode="nearest", coordinate_transformation_mode="{a}", nearest_mode="{r}"'
        for a in ("half_pixel", "asymmetric")
        for r in ROUNDED
    ),
]
TARGETS = {
    "doubled": ("empty, scales", "float[4] scales = {1, 1, 2, 2}", (16, 22)),
    "by odd factors": ("empty, scales", "float[4] scales = {1, 1, 1.5, 0.7}", (12, 7)),
    "to sizes": ("empty, empty, sizes", "int64[4] sizes = {1, 12, 5, 23}", (5, 23)),
}


def resizes(target, attributes, channels=12):
    """Return a model of one resize for each of some attributes."""
    inputs, constant, (rows, columns) = TARGETS[target]
    outputs = [f"float[1,{channels},{rows},{columns}] y{n}" for n in range(len(attributes))]
    nodes = [f"y{n} = Resize<{each}>(a, {inputs})" for n, each in enumerate(attributes)]
    return (
        f"g (float[1,{channels},8,11] x) => ({', '.join(outputs)}) "
        f"<float[0] empty = {{}}, {constant}> {{ a = Relu(x) {' '.join(nodes)} }}"
    )


def grouped(model):
    prepared = prepare(model)
    group(prepared, Rules.installed().matchers)
    return [node.op_type for node in prepared.graph]


@pytest.mark.parametrize("to", TARGETS)
def test_answers_are_those_of_onnx_runtime(to, parse, tvm_backend, target, tmp_path):
    model = parse(resizes(to, ATTRIBUTES))
    assert grouped(model).count(RESIZE) == len(ATTRIBUTES)
    inputs = seeded_inputs(model, np.random.default_rng(3))
    expected = run_reference(model, inputs)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answer = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(expected, answer, what=to, rtol=1e-5)


@pytest.mark.parametrize(
    "attributes",
    ['mode="cubic"', 'mode="linear", coordinate_transformation_mode="tf_crop_and_resize"'],
)
def test_what_is_left_to_tvm(attributes, parse):
    assert RESIZE not in grouped(parse(resizes("to sizes", [attributes])))


def test_few_channels_are_left_to_tvm(parse):
    model = parse(resizes("doubled", ['mode="linear"'], channels=3))
    assert RESIZE not in grouped(model)
