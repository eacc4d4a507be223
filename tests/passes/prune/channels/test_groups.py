"""Cutting a group must be the same as nobody reading it."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.compiler.verify import assert_equal
from suture.errors import VerifyError
from suture.passes.prune.channels import rules
from suture.passes.prune.channels.groups import components, find_groups

RTOL = 1e-5
LAYERS = (
    "conv",
    "grouped",
    "depthwise",
    "residual",
    "squeeze",
    "concat",
    "split",
    "norm",
    "pool",
    "unary",
    "shuffle",
    "attention",
    "upsample",
    "whole",
)


class Drawn:
    """Layers at random; ``value`` is ``(1, channels, 6, 6)`` throughout."""

    def __init__(self, net):
        self.net, self.value, self.channels = net, "x", net.start

    def conv(self, draw):
        after = draw(st.sampled_from((2, 4, 6)))
        value = self.net.conv(
            self.value, self.channels, after, kernel=draw(st.sampled_from((1, 3)))
        )
        self.channels = after
        return value

    def grouped(self, draw):
        return self.net.conv(self.value, self.channels, self.channels, group=2)

    def depthwise(self, draw):
        times = draw(st.sampled_from((1, 2))) if self.channels < 8 else 1
        before, self.channels = self.channels, self.channels * times
        return self.net.conv(self.value, before, self.channels, group=before)

    def residual(self, draw):
        inner = self.net.conv(self.value, self.channels, 4)
        return self.net.node("Add", self.value, self.net.conv(inner, 4, self.channels))

    def squeeze(self, draw):
        """Squeeze and excitation: two 1x1 convolutions on the mean."""
        mean = self.net.node("GlobalAveragePool", self.value)
        narrow = self.net.node("Relu", self.net.conv(mean, self.channels, 3, kernel=1))
        gate = self.net.node("Sigmoid", self.net.conv(narrow, 3, self.channels, kernel=1))
        return self.net.node("Mul", self.value, gate)

    def concat(self, draw):
        other = self.net.conv(self.value, self.channels, 2)
        sides = draw(st.permutations([self.value, other]))
        joined = self.net.node("Concat", *sides, axis=1)
        wide, self.channels = self.channels + 2, 4
        return self.net.conv(joined, wide, 4, kernel=1)

    def split(self, draw):
        half = self.channels // 2
        sizes = self.net.constant(np.array([half, self.channels - half], np.int64))
        first, second = self.net.node("Split", self.value, sizes, outputs=2, axis=1)
        return self.net.node("Concat", self.net.node("Tanh", second), first, axis=1)

    def norm(self, draw):
        spans = ((0.5, 1.5), (-1, 1), (-0.5, 0.5), (0.5, 2))
        numbers = [self.net.weight(self.channels, low=a, high=b) for a, b in spans]
        return self.net.node("BatchNormalization", self.value, *numbers)

    def pool(self, draw):
        op = draw(st.sampled_from(("MaxPool", "AveragePool")))
        return self.net.node(op, self.value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def unary(self, draw):
        slope = self.net.weight(self.channels, 1, 1)
        return draw(
            st.sampled_from(
                (
                    lambda: self.net.node("Relu", self.value),
                    lambda: self.net.node("PRelu", self.value, slope),
                    lambda: self.net.node("Add", self.value, slope),
                )
            )
        )()

    def shuffle(self, draw):
        apart = self.net.constant(np.array([1, 2, self.channels // 2, 6, 6], np.int64))
        again = self.net.constant(np.array([0, -1, 6, 6], np.int64))
        split = self.net.node("Reshape", self.value, apart)
        turned = self.net.node("Transpose", split, perm=[0, 2, 1, 3, 4])
        return self.net.node("Reshape", turned, again)

    def attention(self, draw):
        flat = self.net.constant(np.array([1, self.channels, 36], np.int64))
        back = self.net.constant(np.array([1, self.channels, 6, 6], np.int64))
        tokens = self.net.node("Reshape", self.value, flat)
        return self.net.node(
            "Reshape",
            self.net.attention(tokens, self.channels, 36, draw(st.sampled_from((2, 3)))),
            back,
        )

    def upsample(self, draw):
        scales = self.net.constant(np.array([1, 1, 2, 2], np.float32))
        larger = self.net.node("Resize", self.value, "", scales, mode="nearest")
        return self.net.node("MaxPool", larger, kernel_shape=[2, 2], strides=[2, 2])

    def whole(self, draw):
        """Operators that need all channels, one of them unknown to the rules."""
        if draw(st.booleans()):
            return self.net.node("Softmax", self.value, axis=1)
        return self.net.node("LRN", self.value, size=3)


@st.composite
def models(draw, network):
    drawn = Drawn(network(seed=draw(st.integers(0, 2**16))))
    values = []
    for layer in draw(st.lists(st.sampled_from(LAYERS), min_size=2, max_size=7)):
        drawn.value = getattr(drawn, layer)(draw)
        values.append(drawn.value)
    net, channels = drawn.net, drawn.channels
    if draw(st.booleans()):
        flat = net.node("Flatten", drawn.value)
        last = net.node("Gemm", flat, net.weight(3, channels * 36), net.weight(3), transB=1)
    else:
        last = net.conv(drawn.value, channels, 3)
    also = draw(st.none() | st.sampled_from(values))
    return net.model(last, *([also] if also else []))


@given(data=st.data(), seed=st.integers(0, 99))
@settings(max_examples=120, deadline=None)
def test_a_group_is_cut_as_if_nobody_read_it(data, seed, network, answers, cut_some):
    model = data.draw(models(network))
    smaller, silent, _ = cut_some(model, np.random.default_rng(seed))
    assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)


def through(network, op, *, axis):
    net = network()
    inner = net.node(op, net.conv("x", 4, 6), axis=axis)
    return net.model(net.conv(inner, 6, 3))


def test_channels_that_are_normalised_over_are_not_free(network, cut_some):
    assert cut_some(through(network, "Softmax", axis=1), np.random.default_rng(0))[2] == 0


def test_a_wrong_rule_is_seen(network, answers, cut_some, monkeypatch):
    monkeypatch.setitem(rules.RULES, "Softmax", rules.RULES["Relu"])
    model = through(network, "Softmax", axis=1)
    smaller, silent, count = cut_some(model, np.random.default_rng(0))
    assert count > 0
    with pytest.raises(VerifyError, match="instead of"):
        assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)


def test_heads_are_groups(network, answers, cut_some):
    net = network(start=5, size=6)
    tokens = net.node("Reshape", "x", net.constant(np.array([1, 5, 36], np.int64)))
    model = net.model(net.attention(tokens, 5, 36, heads=4))
    groups = find_groups(model)
    assert groups.free.sum() == 4
    smaller, silent, count = cut_some(model, np.random.default_rng(3))
    assert 0 < count < 4
    assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)


def test_a_residual_sum_ties_both_sides(network):
    net = network()
    first = net.conv("x", 4, 6)
    total = net.node("Add", first, net.conv(net.node("Relu", first), 6, 6))
    model = net.model(net.conv(total, 6, 2))
    groups = find_groups(model)
    assert groups.free.sum() == 6
    assert (groups.axes[first][1] == groups.axes[total][1]).all()


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
        )
    )
)
def test_components_are_those_of_a_graph(drawn):
    count, edges = drawn
    left, right = np.array(edges, np.int64).reshape(-1, 2).T
    found = components(count, left, right)
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(count))
    for members in nx.connected_components(graph):
        assert len(set(found[list(members)])) == 1
    assert len(set(found)) == nx.number_connected_components(graph)
