import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.cost.nodes import (
    CALL_MS,
    NodeRoofline,
    Operation,
    as_it_is,
    by_roofline,
    predicted,
    work_of,
)
from suture.compiler.cost.roofline import Roofline

TEXT = """<ir_version: 10, opset_import: ["": 18]> g (float[1,8,20,6] x) => (float[1,4,20,6] y)
    <float[4,8,3,3] w, int64[1] a = {0}, int64[1] b = {5}, int64[1] axis = {2}> {
      c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) s = Slice(x, a, b, axis)
      f = Flatten(s) y = Identity(r) }"""


@pytest.fixture(scope="module")
def nodes():
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(TEXT))
    return {node.op_type: node for node in ir.from_proto(proto).graph}


def rows(conv, count):
    """The convolution on some rows of its output, and as many more as it reads."""
    (batch, channels, _, width), weights = as_it_is(conv).reads
    return Operation(
        node=conv,
        reads=((batch, channels, count + 2, width), weights),
        writes=((batch, 4, count, width),),
        pads=(0, 1, 0, 1),
    )


def test_work_is_that_of_what_is_written(nodes):
    conv = work_of(as_it_is(nodes["Conv"]))
    assert conv.flops == 2 * 8 * 9 * 4 * 20 * 6
    assert conv.nbytes == 4 * (8 * 20 * 6 + 4 * 8 * 9 + 4 * 20 * 6)
    relu = work_of(as_it_is(nodes["Relu"]))
    assert (relu.flops, relu.nbytes) == (4 * 20 * 6, 8 * 4 * 20 * 6)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_parts_add_up_to_the_arithmetic_of_all_rows(nodes, parts):
    conv = nodes["Conv"]
    together = sum(work_of(rows(conv, each)).flops for each in parts)
    assert together == pytest.approx(work_of(rows(conv, sum(parts))).flops)


def test_what_is_picked_is_read_and_what_is_only_seen_otherwise_is_not(nodes):
    assert work_of(as_it_is(nodes["Slice"])).nbytes == 2 * 4 * 8 * 5 * 6
    assert not work_of(as_it_is(nodes["Flatten"])).row.any()
    copied = Operation(reads=((1, 8, 5, 6),), writes=((1, 8, 5, 6),))
    assert work_of(copied).nbytes == 2 * 4 * 8 * 5 * 6


def test_the_roofline_says_how_long(nodes):
    slow = NodeRoofline(Roofline(ms_per_flop=1.0, ms_per_byte=0.0, ms_per_node=0.5))
    operations = [as_it_is(nodes["Conv"]), as_it_is(nodes["Relu"])]
    expected = [1e3 * (work_of(each).flops + 0.5) for each in operations]
    np.testing.assert_allclose(slow.microseconds(operations), expected)
    assert predicted(slow, [nodes["Conv"], nodes["Relu"]]) == pytest.approx(sum(expected))
    assert slow.microseconds([]).shape == (0,)


def test_of_no_known_shape_only_the_call_counts():
    value = ir.Value(name="x")
    node = ir.node("Relu", [value])
    found = by_roofline(None).microseconds([as_it_is(node)])
    np.testing.assert_allclose(found, [1e3 * CALL_MS])
