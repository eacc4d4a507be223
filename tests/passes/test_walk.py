"""A model walked through gives what a whole run gives, and takes changes ahead of it."""

import numpy as np
import pytest

from suture.passes import walk as module
from suture.passes.base import set_constant
from suture.passes.biases import shift
from suture.passes.intermediate import observe
from suture.passes.walk import Walk

TEXT = """g (float[1,4,8,8] x, float[1,6,8,8] z) => (float[1,6] y) {
    [a] a = Conv<pads=[1,1,1,1]>(x, w, b) r = Relu(a) [c] c = Conv(r, v) s = Add(c, z)
    t = Add(s, k) [d] d = Conv(t, u, e) i = Abs(z) j = Sqrt(i) m = Mul(d, j)
    q = Concat<axis=1>(m, t) [p] p = GlobalAveragePool(q) f = Flatten(p)
    [y] y = Gemm(f, h) }"""
WEIGHTS = {
    "w": (5, 4, 3, 3),
    "b": (5,),
    "v": (6, 5, 1, 1),
    "k": (6, 1, 1),
    "u": (6, 6, 1, 1),
    "e": (6,),
    "h": (12, 6),
}
STOPS = ("a", "c", "d", "y")


@pytest.fixture
def model(parse):
    return parse(TEXT, **WEIGHTS)


@pytest.fixture
def requests():
    rng = np.random.default_rng(0)
    shapes = {"x": (1, 4, 8, 8), "z": (1, 6, 8, 8)}
    return [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(3)
    ]


def node_of(model, name):
    return next(node for node in model.graph if node.name == name)


def test_stops_see_what_a_whole_run_sees(model, requests):
    walk = Walk(model, requests)
    wanted = list(observe(model, STOPS, requests, optimize=False))
    for position, name in enumerate(STOPS):
        for value, row in zip(walk.until(node_of(model, name)), wanted, strict=True):
            np.testing.assert_allclose(value, row[position], rtol=1e-6, atol=1e-6)


def test_biases_that_move_at_a_stop_count_from_there_on(model, requests):
    walk = Walk(model, requests)
    for name in ("a", "c", "d"):
        node = node_of(model, name)
        values = walk.until(node)
        gap = np.linspace(-1, 1, values[0].shape[1])
        assert shift(model.graph, node, gap)
        walk.add(node, gap.reshape(-1, 1, 1))
    (last,) = (row[0] for row in observe(model, ["y"], requests[:1], optimize=False))
    got = walk.until(node_of(model, "y"))[0]
    np.testing.assert_allclose(got, last, rtol=1e-5, atol=1e-5)


def test_every_node_runs_once_and_what_was_read_is_let_go(model, requests, monkeypatch):
    ran = []

    def open_session(part, **options):
        ran.extend(node.name for node in part.graph)
        return right(part, **options)

    right = module.open_session
    monkeypatch.setattr(module, "open_session", open_session)
    walk = Walk(model, requests)
    for name in STOPS:
        walk.until(node_of(model, name))
        walk.until(node_of(model, name))
    assert sorted(ran) == sorted(node.name for node in model.graph)
    assert [set(values) for values in walk._live] == [{"y"}] * 3


def test_a_mean_behind_which_moves_instead_is_not_added(parse):
    text = """g (float[1,4] x) => (float[1,4] y)
        { [a] a = Gemm(x, w) y = BatchNormalization(a, s, b, m, var) }"""
    model = parse(text, w=(4, 4), s=(4,), b=(4,), m=(4,), var=(4,))
    assert not shift(model.graph, node_of(model, "a"), np.ones(4))


def test_what_an_if_reads_is_kept(parse):
    text = """g (float[4] x, bool[1] c) => (float[4] y) { [t] t = Exp(x) [u] u = Neg(x)
        [y] y = If(c)<then_branch = a () => (float[4] p) { p = Neg(t) },
        else_branch = b () => (float[4] q) { q = Sqrt(t) }> }"""
    model = parse(text)
    request = {"x": np.float32([1, 2, 3, 4]), "c": np.array([True])}
    walk = Walk(model, [request])
    walk.until(node_of(model, "u"))
    (got,) = walk.until(node_of(model, "y"))
    np.testing.assert_allclose(got, -np.exp(request["x"]), rtol=1e-6)


def test_a_node_that_was_tried_may_change_and_runs_as_it_is_then(model, requests):
    walk = Walk(model, requests)
    walk.until(node_of(model, "a"))
    node = node_of(model, "c")
    wanted = observe(model, ["r", "c"], requests, optimize=False)
    for (reads, makes), row in zip(walk.trial(node), wanted, strict=True):
        np.testing.assert_allclose(reads, row[0], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(makes, row[1], rtol=1e-6, atol=1e-6)
    weight = node.inputs[1]
    set_constant(weight, 2 * weight.const_value.numpy())
    (last,) = (row[0] for row in observe(model, ["y"], requests[:1], optimize=False))
    got = walk.until(node_of(model, "y"))[0]
    np.testing.assert_allclose(got, last, rtol=1e-5, atol=1e-5)
