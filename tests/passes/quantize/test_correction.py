"""Means of what nodes make are what they were."""

import numpy as np
import pytest

from suture.passes.quantize import sensitivity
from suture.passes.quantize.correction import find_means
from suture.passes.quantize.quantizing import Quantizing
from suture.passes.quantize.sensitivity import answer_name
from suture.passes.quantize.writing import Numbers

TEXT = """g (float[1,4,9,9] x) => (float[1,5] y) { c = Conv(x, w, b) r = Relu(c)
    d = Conv(r, v) s = Relu(d) f = Flatten(s) l = Gemm<transB=1>(f, g, h) y = Softmax(l) }"""
WEIGHTS = {"w": (8, 4, 3, 3), "b": (8,), "v": (6, 8, 3, 3), "g": (5, 150), "h": (5,)}


@pytest.fixture
def quantizing(parse):
    rng = np.random.default_rng(0)
    requests = [{"x": rng.random((1, 4, 9, 9), np.float32)} for _ in range(16)]
    return Quantizing.of(parse(TEXT, **WEIGHTS), requests, Numbers.of(None))


def test_means_are_kept_also_of_a_node_that_had_no_bias(quantizing):
    model = quantizing.quantize(quantizing.original.clone(), 3)
    nodes = [node for node in model.graph if node.op_type in ("Conv", "Gemm")]
    found = find_means(model, nodes, quantizing.requests)
    for name, mean in found.items():
        np.testing.assert_allclose(mean, quantizing.means[name], atol=1e-4)
    assert nodes[1].inputs[2] is not None


def test_the_original_is_left_as_it_is(quantizing):
    before = {
        name: value.const_value.numpy().copy()
        for name, value in quantizing.original.graph.initializers.items()
    }
    quantizing.quantize(quantizing.original.clone(), 3)
    for name, value in quantizing.original.graph.initializers.items():
        np.testing.assert_array_equal(value.const_value.numpy(), before[name])


def test_the_order_is_by_noise_for_work(quantizing):
    costs = [each.power / each.unit.flops for each in quantizing.order]
    assert costs == sorted(costs)
    assert all(20 < each.sqnr_db < 80 for each in quantizing.order)


def test_noise_is_seen_in_front_of_what_hides_it(parse):
    text = "g (float[1,4] x) => ({}) {{ l = MatMul(x, w) {} }}"
    for outputs, body in (
        ("float[1,6] y", "y = Softmax(l)"),
        ("int64[1] y", "y = ArgMax<axis=1, keepdims=0>(l)"),
        ("int32[1,6] y", "s = Sigmoid(l) y = Cast<to=6>(s)"),
    ):
        model = parse(text.format(outputs, body), w=(4, 6))
        assert answer_name(model) == "l"
    assert answer_name(parse("g (int64[4] x) => (int64[4] y) { y = Neg(x) }")) is None


def test_of_many_units_each_is_compared_on_fewer_requests(parse, monkeypatch):
    """Runs for all together stay bounded, and the order stays by noise for work."""
    seen = []

    def observe(model, names, requests, **options):
        seen.append(len(requests))
        yield from right(model, names, requests, **options)

    right = sensitivity.observe
    monkeypatch.setattr(sensitivity, "observe", observe)
    monkeypatch.setattr(sensitivity, "RUNS", 18)
    rng = np.random.default_rng(0)
    requests = [{"x": rng.random((1, 4, 9, 9), np.float32)} for _ in range(16)]
    quantizing = Quantizing.of(parse(TEXT, **WEIGHTS), requests, Numbers.of(None))
    assert seen == [6] * 4  # the whole model, and each of three units
    costs = [each.cost for each in quantizing.order]
    assert costs == sorted(costs)
