"""Heads of the operator ``Attention`` go as if nobody read them, and are counted anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.compiler.verify import assert_equal
from suture.errors import VerifyError
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.channels import attention, slicing
from suture.passes.prune.channels.groups import find_groups

RTOL = 1e-5
OPSET = 23
ROWS, WIDTH = 5, 36


def tokens(network, seed=0):
    net = network(start=ROWS, size=6, seed=seed)
    shape = net.constant(np.array([1, ROWS, WIDTH], np.int64))
    return net, net.node("Reshape", "x", shape)


def operators(model):
    return [node for node in model.graph if node.op_type == "Attention"]


def counts(model):
    return [
        tuple(node.attributes.get_int(name) for name in ("q_num_heads", "kv_num_heads"))
        for node in operators(model)
    ]


@given(
    heads=st.sampled_from([(2, 2), (4, 4), (6, 3), (6, 2), (4, 1), (6, 6)]),
    masked=st.sampled_from(["", "all", "heads"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_heads_go_as_if_nobody_read_them(heads, masked, seed, network, answers, cut_some):
    net, value = tokens(network, seed)
    mask = masked and net.weight(1, heads[0] if masked == "heads" else 1, ROWS, ROWS)
    value = net.node("Add", value, net.operator(value, WIDTH, heads[0], mask, heads[1]))
    model = net.model(net.operator(value, WIDTH, 2), opset=OPSET)
    groups = find_groups(model)
    assert groups.free.sum() == heads[1] + 2
    smaller, silent, count = cut_some(model, np.random.default_rng(seed))
    (queries, keys), (last, _) = counts(smaller)
    assert keys + last == heads[1] + 2 - count
    assert queries * heads[1] == keys * heads[0]
    assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)


def test_heads_are_an_axis_of_their_own(network, answers, cut_some):
    """``[batch, heads, rows, columns]``, without attributes that count."""
    net, value = tokens(network)
    apart = net.constant(np.array([1, ROWS, 4, 9], np.int64))
    heads = [
        net.node(
            "Transpose",
            net.node("Reshape", net.node("MatMul", value, net.weight(WIDTH, WIDTH)), apart),
            perm=[0, 2, 1, 3],
        )
        for _ in "qkv"
    ]
    mixed = net.node("Transpose", net.node("Attention", *heads), perm=[0, 2, 1, 3])
    rows = net.node("Reshape", mixed, net.constant(np.array([1, ROWS, WIDTH], np.int64)))
    model = net.model(net.node("MatMul", rows, net.weight(WIDTH, 7)), opset=OPSET)
    assert find_groups(model).free.sum() == 4
    smaller, silent, count = cut_some(model, np.random.default_rng(3))
    assert 0 < count < 4
    assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)


def test_heads_whose_products_are_asked_for_stay(network):
    net, value = tokens(network)
    rows = net.operator(value, WIDTH, 4)
    (node,) = (node for node in net.nodes if node.op_type == "Attention")
    node.output.extend(["", "", "products"])
    model = net.model(rows, "products", opset=OPSET)
    assert not find_groups(model).free.any()


def test_heads_are_free_behind_exact(network, answers, cut_some):
    net, value = tokens(network)
    model = net.model(net.attention(value, ROWS, WIDTH, heads=4))
    PassManager(parse_pipeline("exact")).run(model)
    assert counts(model) == [(4, 4)]
    assert sum(node.op_type == "Split" for node in model.graph) == 1
    smaller, silent, count = cut_some(model, np.random.default_rng(3))
    assert 0 < count < 4
    assert counts(smaller) == [(4 - count, 4 - count)]
    assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)


def test_wrong_heads_are_seen(network, answers, cut_some, monkeypatch):
    """Columns of a head taken for one of each head."""
    for module in (attention, slicing):
        monkeypatch.setattr(
            module, "heads_of", lambda axes, count: axes[2].reshape(-1, count).T
        )
    net, value = tokens(network)
    model = net.model(net.operator(value, WIDTH, 4), opset=OPSET)
    smaller, silent, count = cut_some(model, np.random.default_rng(3))
    assert count > 0
    with pytest.raises(VerifyError, match="instead of"):
        assert_equal(answers(silent), answers(smaller), what="cut", rtol=RTOL)
