"""Channel shuffles between grouped convolutions, against ONNX Runtime."""

import numpy as np
import pytest

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.prepare import prepare
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

SHUFFLE = "s = Reshape(a, apart) t = Transpose<perm=[{perm}]>(s) u = Reshape(t, whole)"
DEPTHWISE = "d = Conv<group=12, pads=[1,1,1,1]>(u, dw, db) y = Conv<group=3>(d, last)"
POINTWISE = "d = Relu(x) y = Conv<group=3>(u, last)"
TEXT = """g (float[1,12,5,6] x, float[12,4,1,1] first, float[12,1,3,3] dw, float[12] db,
    float[18,4,1,1] last) => (float[1,18,5,6] y{more})
    <int64[5] apart = {{1,3,4,5,6}}, int64[4] whole = {{1,12,5,6}}>
    {{ a = Conv<group=3>(x, first) {shuffle} {behind} }}"""


@pytest.fixture
def shuffled(parse, with_weights):
    def shuffled(behind, *, perm="0,2,1,3,4", more=""):
        text = TEXT.format(shuffle=SHUFFLE.format(perm=perm), behind=behind, more=more)
        return with_weights(parse(text, 18), ("first", "dw", "db", "last"))

    return shuffled


@pytest.mark.parametrize("behind", [DEPTHWISE, POINTWISE])
def test_a_shuffle_is_taken_in_and_answers_stay(
    behind, shuffled, tvm_backend, target, tmp_path
):
    model = shuffled(behind)
    grouped = prepare(model)
    group(grouped, Rules.installed().matchers)
    assert "Transpose" not in {node.op_type for node in grouped.graph}
    inputs = seeded_inputs(model, np.random.default_rng(1))
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what="shuffle", rtol=1e-5)


@pytest.mark.parametrize(
    ("behind", "options"),
    [
        (DEPTHWISE, {"perm": "0,2,1,4,3"}),
        (DEPTHWISE, {"more": ", float[1,12,5,6] u"}),
        ("d = Relu(u) y = Conv<group=3>(d, last)", {}),
    ],
    ids=["another transposition", "read elsewhere", "something in between"],
)
def test_other_things_stay(behind, options, shuffled):
    model = prepare(shuffled(behind, **options))
    group(model, Rules.installed().matchers)
    assert "Transpose" in {node.op_type for node in model.graph}
