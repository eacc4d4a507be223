"""What a byte of packed weights is spent on; the last tests ask a real model."""

import itertools
import math

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.codegen.budget import GROWTH, Offer, WeightBudget, plan_weights, spend, tell
from suture.codegen.emit.conv import WEIGHT_BYTES
from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.lower import lower
from suture.codegen.prepare import prepare
from suture.codegen.schedule.base import WIDTHS

AVX2 = WIDTHS["x86-64-v3"]


def offer(nbytes, cycles):
    return Offer(schedule="", cycles=cycles, nbytes=nbytes)


def test_bytes_go_where_they_save_the_most_time():
    little = (offer(10, 100), offer(20, 90))
    much = (offer(10, 100), offer(20, 20))
    assert spend([little, much], 30) == (little[0], much[1])
    assert spend([little, much], 40) == (little[1], much[1])


def test_nothing_is_spent_where_nothing_may_be():
    offers = [(offer(10, 100), offer(11, 1))] * 3
    assert spend(offers, 30) == tuple(each[0] for each in offers)
    assert spend(offers, 0) == tuple(each[0] for each in offers)


def test_without_a_limit_the_fastest_is_taken():
    offers = [(offer(10, 100), offer(18, 60), offer(40, 25)), (offer(1, 5), offer(4, 9))]
    assert spend(offers, math.inf) == (offers[0][2], offers[1][0])


def test_an_offer_that_does_not_fit_leaves_room_for_smaller_ones():
    large = (offer(100, 1000), offer(400, 100))
    small = (offer(1, 10), offer(4, 5))
    assert spend([large, small], 110) == (large[0], small[1])


def test_the_middle_offer_is_taken_where_the_large_one_is_too_large():
    three = (offer(9, 90), offer(16, 45), offer(36, 30))
    assert spend([three], 20) == (three[1],)
    assert spend([three], 36) == (three[2],)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 200),
)
def test_no_better_choice_is_missed_by_more_than_one_step(given_offers, more):
    offers = [[offer(*each) for each in one] for one in given_offers]
    limit = sum(min(each.nbytes for each in one) for one in offers) + more
    chosen = spend(offers, limit)
    assert sum(each.nbytes for each in chosen) <= limit
    assert all(each in one for each, one in zip(chosen, offers, strict=True))
    best = min(
        sum(each.cycles for each in choice)
        for choice in itertools.product(*offers)
        if sum(each.nbytes for each in choice) <= limit
    )
    widest = max(
        max(each.cycles for each in one) - min(each.cycles for each in one) for one in offers
    )
    assert sum(each.cycles for each in chosen) <= best + widest


@pytest.fixture
def model(parse):
    """Two convolutions that Winograd is for, and one that it is not for."""
    made = parse(
        """g (float[1,64,28,28] x) => (float[N,M,H,W] y)
        { a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a)
          b = Conv<pads=[1,1,1,1]>(r, w2) c = Conv(b, w3)
          y = Conv<pads=[1,1,1,1], strides=[2,2]>(c, w4) }""",
        18,
    )
    rng = np.random.default_rng(0)
    for name, shape in {
        "w1": (64, 64, 3, 3),
        "w2": (64, 64, 3, 3),
        "w3": (128, 64, 1, 1),
        "w4": (64, 128, 3, 3),
    }.items():
        array = rng.standard_normal(shape).astype(np.float32)
        tensor = ir.tensor(array / 24, name=name)
        value = next(v for node in made.graph for v in node.inputs if v.name == name)
        value.shape, value.type = ir.Shape(shape), ir.TensorType(tensor.dtype)
        value.const_value = tensor
        made.graph.register_initializer(value)
    return made


@pytest.fixture
def grouped(model):
    made = prepare(model)
    group(made, Rules.installed().matchers)
    return made


DIRECT_BYTES = 4 * (2 * 64 * 64 * 9 + 128 * 64 + 64 * 128 * 9)


def test_no_growth(grouped):
    budget = plan_weights(grouped, AVX2, "size")
    assert budget.nbytes == budget.direct_bytes == DIRECT_BYTES
    assert {each.schedule.split("{")[0] for each in budget.chosen.values()} == {"direct-conv"}


def test_balanced(grouped):
    budget = plan_weights(grouped, AVX2, "balanced")
    assert DIRECT_BYTES < budget.nbytes <= budget.limit == GROWTH["balanced"] * DIRECT_BYTES
    assert "0 convolutions by Winograd" not in str(budget)


def test_as_fast_as_it_gets(grouped):
    budget = plan_weights(grouped, AVX2, "speed")
    assert len(budget.chosen) == 2
    for each in budget.chosen.values():
        assert each.schedule.startswith("winograd{outputs=4")
    assert budget.nbytes == DIRECT_BYTES + 2 * 4 * 64 * 64 * (36 - 9)
    assert "2 convolutions by Winograd" in str(budget)


def test_a_convolution_is_told_what_it_may_take(grouped):
    budget = plan_weights(grouped, AVX2, "speed")
    tell(grouped, budget)
    told = [node.attributes.get_int(WEIGHT_BYTES, 0) for node in grouped.graph]
    assert told == [4 * 64 * 64 * 36, 4 * 64 * 64 * 36, 0, 0]


@pytest.mark.parametrize(("size_speed", "kernels"), [("size", 0), ("speed", 1)])
def test_what_is_emitted(model, target, size_speed, kernels):
    lowered = lower(model, target, size_speed=size_speed)
    names = [spec.split("{")[0] for spec in lowered.schedules.values()]
    # The two convolutions differ in what follows them.
    assert names.count("winograd") == 2 * kernels
    assert lowered.budget == plan_weights_of(model, size_speed)


def plan_weights_of(model, size_speed):
    made = prepare(model)
    group(made, Rules.installed().matchers)
    return plan_weights(made, AVX2, size_speed)


@pytest.fixture
def shared(parse):
    """Two convolutions of the same weights, images of equal size."""
    made = parse(
        """g (float[1,64,28,28] x) => (float[N,M,H,W] y)
        { a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) y = Conv<pads=[1,1,1,1]>(r, w) }""",
        18,
    )
    array = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
    value = made.graph[0].inputs[1]
    value.const_value = ir.tensor(array / 24, name="w")
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.FLOAT)
    for node in made.graph:
        if node.op_type == "Conv":
            node.replace_input_with(1, value)
    made.graph.register_initializer(value)
    made = prepare(made)
    group(made, Rules.installed().matchers)
    return made


def test_weights_that_are_shared_count_once(shared):
    one = 4 * 64 * 64 * 9
    direct, fast = (plan_weights(shared, AVX2, way) for way in ("size", "speed"))
    assert direct.nbytes == direct.direct_bytes == one
    assert fast.nbytes == 4 * one
    assert len(fast.chosen) == 2
    assert {offer.nbytes for offer in fast.chosen.values()} == {4 * one}


def test_weights_that_are_no_numbers_are_not_for_winograd(shared):
    (value,) = shared.graph.initializers.values()
    array = value.const_value.numpy().copy()
    array[3, 4, 1, 1] = np.inf
    value.const_value = ir.tensor(array, name=value.name)
    assert plan_weights(shared, AVX2, "speed").chosen == {}


def test_a_model_without_convolutions(parse):
    made = prepare(parse("g (float[1,8] x) => (float[1,8] y) { y = Relu(x) }", 18))
    assert plan_weights(made, AVX2, "balanced") == WeightBudget()
