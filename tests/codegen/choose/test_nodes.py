"""Times of a model's nodes, before anything is lowered."""

from dataclasses import replace

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from suture.codegen.choose.model import cost_model
from suture.codegen.choose.nodes import MOVED, WEIGHED, KernelTimes
from suture.codegen.schedule.base import WIDTHS
from suture.compiler.cost.nodes import NodeRoofline, Operation, as_it_is

VECTORS = WIDTHS["x86-64-v3"]
TEXT = """<ir_version: 10, opset_import: ["": 18]>
    g (float[1,32,64,64] x, float[1,32,64,64] r) => (float[1,32,32,32] y) {
      [wide] a = Conv<pads=[1,1,1,1]>(x, w) [sum] b = Add(a, r) [relu] c = Relu(b)
      [each] d = Conv<group=32, pads=[1,1,1,1]>(c, k)
      [up] u = ConvTranspose<strides=[2,2]>(d, t)
      [halves] h = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
      [join] j = Concat<axis=1>(h, h) [again] e = Conv(j, v)
      [odd] o = Conv<group=2, pads=[1,1,1,1]>(e, q) [down] z = Sub(e, o) y = Tanh(z) }"""
WEIGHTS = {
    "w": (32, 32, 3, 3),
    "k": (32, 1, 3, 3),
    "t": (32, 8, 2, 2),
    "v": (32, 64, 1, 1),
    "q": (32, 16, 3, 3),
}


class Counted:
    """Expects a microsecond for a million multiply-adds, of what it knows."""

    def __init__(self, *unknown):
        self.unknown, self.asked = unknown, []

    def knows(self, kernel):
        return kernel.rule not in self.unknown

    def predict(self, kernels):
        self.asked.append(list(kernels))
        return np.array([each.done / 1e6 for each in kernels])


@pytest.fixture
def model():
    proto = onnx.parser.parse_model(TEXT)
    rng = np.random.default_rng(3)
    for name, shape in WEIGHTS.items():
        array = rng.normal(0, 1, shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def times(model, cost, **options):
    found = KernelTimes(model, VECTORS, cost, **options)
    operations = [as_it_is(node) for node in model.graph]
    values = found.microseconds(operations)
    named = {node.name: value for node, value in zip(model.graph, values, strict=True)}
    return (
        found,
        named,
        dict(zip(named, NodeRoofline(MOVED).microseconds(operations), strict=True)),
    )


def test_products_take_what_the_model_expects_of_their_kernels(model):
    cost = Counted("grouped-conv", "direct-conv-of-groups")
    _, named, _ = times(model, cost, size_speed="size")
    assert named["wide"] == pytest.approx(32 * 32 * 9 * 64 * 64 / 1e6, rel=0.05)
    assert named["each"] == pytest.approx(32 * 9 * 64 * 64 / 1e6, rel=0.05)
    assert named["up"] == pytest.approx(32 * 8 * 4 * 64 * 64 / 1e6, rel=0.05)
    (asked,) = cost.asked  # all at once
    assert len(asked) == 5


def test_what_their_kernels_do_as_well_takes_nothing_of_its_own(model):
    _, named, roofline = times(model, Counted())
    assert named["sum"] == named["relu"] == named["join"] == 0
    for name in ("halves", "down"):
        assert named[name] == roofline[name] > 0


def test_a_kernel_that_the_model_does_not_know_goes_by_the_roofline(model):
    _, named, roofline = times(model, Counted("depthwise-conv"))
    assert named["each"] == roofline["each"]
    assert named["up"] != roofline["up"]


def test_fewer_rows_take_less_and_the_ends_of_tiles_count(model):
    """Winograd's tiles of four rows: one row more costs as much as four."""
    wide = next(node for node in model.graph if node.name == "wide")
    found = KernelTimes(model, VECTORS, Counted(), size_speed="speed")

    def rows(count):
        whole = as_it_is(wide)
        reads = ((1, 32, count + 2, 64), *whole.reads[1:])
        return Operation(
            node=wide, reads=reads, writes=((1, 32, count, 64),), pads=(0, 1, 0, 1)
        )

    four, five, eight = found.microseconds([rows(4), rows(5), rows(8)])
    assert four < five <= eight
    assert five - four > 0.9 * (eight - four)


def test_larger_weights_only_where_they_may_grow(model):
    slow, fast = Counted(), Counted()
    _, direct, _ = times(model, slow, size_speed="size")
    _, winograd, _ = times(model, fast, size_speed="speed")
    assert winograd["wide"] < direct["wide"] / 2
    assert {each.rule for asked in slow.asked for each in asked} == {
        *("direct-conv", "depthwise-conv", "transposed-conv"),
    }


def test_equal_kernels_are_asked_about_once(model):
    cost = Counted()
    found, _, _ = times(model, cost)
    found.microseconds([as_it_is(node) for node in model.graph] * 2)
    assert len(cost.asked) == 1


def test_where_the_model_chooses_the_least_of_some_counts(model):
    cost = Counted()
    _, least, _ = times(model, cost, chooses=True, size_speed="size")
    _, first, _ = times(model, Counted(), size_speed="size")
    assert all(least[name] <= first[name] for name in first)
    assert len(cost.asked[0]) > 5
    assert len(cost.asked[0]) <= 5 * WEIGHED


def test_each_image_of_a_batch_has_its_time(model):
    wide = next(node for node in model.graph if node.name == "wide")
    found = KernelTimes(model, VECTORS, Counted())
    one = as_it_is(wide)
    reads = ((3, *one.reads[0][1:]), *one.reads[1:])
    three = replace(one, reads=reads, writes=((3, *one.writes[0][1:]),))
    alone, together = found.microseconds([one, three])
    assert together == pytest.approx(3 * alone)


def test_a_rule_that_was_not_measured_goes_by_the_one_whose_tiles_it_has(model):
    shipped = cost_model(None)
    assert "transposed-conv" not in shipped.rules
    _, named, roofline = times(model, shipped)
    for name in ("wide", "each", "up", "again"):
        assert 0 < named[name] < roofline[name], name
    assert times(model, Counted("transposed-conv", "direct-conv"))[1]["up"] == roofline["up"]
