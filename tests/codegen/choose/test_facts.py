import numpy as np
import pytest

from suture.codegen.choose.facts import facts_of
from suture.codegen.schedule.base import WIDTHS, Epilogue
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.gathered import GatheredConv, GatheredShape
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.codegen.schedule.grouped import GroupedConv
from suture.codegen.schedule.pointwise import PointwiseConv, PointwiseShape
from suture.codegen.schedule.winograd import Winograd
from suture.compiler.cost.features import features

CONV = ConvShape(channels=20, height=9, width=13, filters=24, kernel=(3, 3), pads=(1,) * 4)
FIRST = ConvShape(
    channels=3, height=12, width=14, filters=32, kernel=(5, 5), strides=(2, 2), plain=True
)
GROUPED = ConvShape(
    channels=64, height=6, width=6, filters=64, kernel=(3, 3), pads=(1,) * 4, groups=2
)
EACH = ConvShape(channels=20, height=9, width=13, filters=20, kernel=(3, 3), pads=(1,) * 4)
FOURS = ConvShape(
    channels=20, height=9, width=13, filters=20, kernel=(3, 3), pads=(1,) * 4, groups=5
)
RULES = {
    "direct": (DirectConv, CONV, (24, 20, 3, 3)),
    "first layer": (DirectConv, FIRST, (32, 3, 5, 5)),
    "groups": (DirectConv, GROUPED, (64, 32, 3, 3)),
    "groups of four": (GroupedConv, FOURS, (20, 4, 3, 3)),
    "depthwise": (DepthwiseConv, EACH, (20, 1, 3, 3)),
    "winograd": (Winograd, CONV, (24, 20, 3, 3)),
    "gemm": (Gemm, GemmShape(rows=13, depth=20, columns=70), (20, 70)),
    "gathered": (
        GatheredConv,
        GatheredShape(channels=24, filters=60, groups=3, pixels=35),
        (60, 8, 1, 1),
    ),
    "pointwise": (
        PointwiseConv,
        PointwiseShape(channels=20, filters=40, pixels=35, clipped=True),
        (40, 20, 1, 1),
    ),
}


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("name", RULES)
def test_facts_are_those_of_the_kernel(name, mcpu):
    rule, shape, weights = RULES[name]
    processor = WIDTHS[mcpu]
    space = rule.space(shape, processor)
    assert space
    for schedule in space:
        facts = facts_of(schedule, shape, Epilogue(), processor)
        packed = schedule.pack(np.ones(weights, np.float32), shape, processor)
        array = getattr(packed, "weights", packed)
        assert facts.weight_bytes == array.nbytes
        assert facts.rule == schedule.name
        if rule is not Winograd:
            assert facts.done >= facts.needed
        assert facts.rows * facts.wide < processor.registers
        assert facts.tiles >= facts.run >= 1
        assert facts.depth >= facts.unrolled >= 1
        assert np.isfinite([*vars(features(facts)).values()]).all()


def test_a_residual_is_read_as_well():
    shape, processor = GemmShape(rows=4, depth=8, columns=16), WIDTHS["x86-64-v3"]
    (schedule, *_) = Gemm.space(shape, processor)
    without = facts_of(schedule, shape, Epilogue(), processor)
    with_one = facts_of(schedule, shape, Epilogue(residual=True), processor)
    assert with_one.output_bytes == 2 * without.output_bytes == 2 * 4 * 64


def test_nothing_is_known_of_other_rules():
    assert facts_of("a schedule", None, Epilogue(), WIDTHS["x86-64-v3"]) is None
