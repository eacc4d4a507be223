import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.backend.tvm import TvmBackend
from suture.compiler.cost.nodes import count
from suture.compiler.discovery import discover, load
from suture.compiler.model import model_bytes
from suture.compiler.target import find_target
from suture.compiler.verify import assert_equivalent, run_reference, seeded_inputs
from suture.passes.base import PassContext
from suture.passes.pipeline import parse_pipeline
from suture.passes.tile.peak import memory
from suture.passes.tile.rows import height, local
from suture.passes.tile.spatial import TileSpatial
from suture.passes.tile.steps import Piece, Times
from suture.passes.tile.strips import Landscape, is_strip

SMALL = TileSpatial(memory_mb=0.012, extra=1.0)
WINDOWS = {
    "convolution": ("Conv<pads=[1,1,1,1]>(x, w3)", 4),
    "stride": ("Conv<pads=[1,1,1,1], strides=[2,2]>(x, w3)", 4),
    "dilation": ("Conv<pads=[2,2,2,2], dilations=[2,2]>(x, w3)", 4),
    "uneven padding": ("Conv<pads=[0,1,2,1]>(x, w3)", 4),
    "depthwise": ("Conv<group=3, pads=[1,1,1,1]>(x, wd)", 3),
    "max-pool": ("MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", 3),
    "mean of real pixels": ("AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)", 3),
    "mean of padding too": (
        "AveragePool<kernel_shape=[2,3], pads=[1,1,0,1], count_include_pad=1>(x)",
        3,
    ),
    "transposed": ("ConvTranspose<strides=[2,2]>(x, wt2)", 4),
    "transposed, overlapping": ("ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(x, wt)", 4),
    "transposed, padded": (
        "ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, wt)",
        4,
    ),
    "channels joined": ("Concat<axis=1>(x, x)", 6),
    "a constant for each channel": ("Mul(x, k)", 3),
    "normalised": ("BatchNormalization(x, k1, k1, k1, var)", 3),
}
WEIGHTS = {
    "w3": (4, 3, 3, 3),
    "wd": (3, 1, 3, 3),
    "wt": (3, 4, 3, 3),
    "wt2": (3, 4, 2, 2),
    "k": (3, 1, 1),
    "k1": (3,),
    "var": (3,),
}


def chain(window, channels, rows=40):
    """A node after one that works element by element, and before one of little output."""
    return (
        f"g (float[1,3,{rows},33] i) => (float[1,{channels},H,1] y) "
        f"<int64[1] axis = {{3}}> {{ x = Relu(i) "
        f"a = {window} b = Exp(a) y = ReduceMean<keepdims=1>(c, axis) }}"
    ).replace("y = ", "c = MaxPool<kernel_shape=[3,3], strides=[3,3]>(b) y = ")


def used(text):
    words = text.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {name: shape for name, shape in WEIGHTS.items() if name in words}


def peak(model):
    graph = model.graph
    steps = Landscape(graph).program(())
    return memory(steps, tuple(map(Piece, graph.outputs))).peak


def check(parse, text, tile, seed=0, **weights):
    """Tile a model, and hold its answers to those before."""
    model = parse(text, **weights)
    before = model.clone()
    result = tile.apply(model, PassContext())
    inputs = seeded_inputs(before, np.random.default_rng(seed))
    assert_equivalent(before, model, inputs, rtol=1e-6)
    return result


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("rows", [40, 37])
def test_every_window_computes_the_same_in_strips(name, rows, parse):
    window, channels = WINDOWS[name]
    text = chain(window, channels, rows)
    limit = peak(parse(text, **used(text))) / 2.5
    tile = TileSpatial(memory_mb=limit / 2**20, extra=9.0)
    result = check(parse, text, tile, **used(text))
    assert result.made, [each.reason for each in result.declined]
    assert any(is_strip(node) for node in result.model.graph)


UNET = """g (float[1,3,64,48] x) => (float[1,1,64,48] y) {
  a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
  b = Conv<pads=[1,1,1,1]>(p, w2) s = Relu(b) u = ConvTranspose<strides=[2,2]>(s, up)
  c = Concat<axis=1>(r, u) d = Conv<pads=[1,1,1,1]>(c, w3) t = Relu(d)
  e = Conv(t, w4) y = Sigmoid(e) }"""
UNET_WEIGHTS = {
    "w1": (32, 3, 3, 3),
    "w2": (64, 32, 3, 3),
    "up": (64, 32, 2, 2),
    "w3": (32, 64, 3, 3),
    "w4": (1, 32, 1, 1),
}


def test_a_skip_connection_is_computed_again_rather_than_kept(parse):
    model = parse(UNET, **UNET_WEIGHTS)
    whole = peak(model)
    limit = whole / 3
    before = model.clone()
    result = TileSpatial(memory_mb=limit / 2**20, extra=1.0).apply(model, PassContext())
    assert result.declined == ()
    assert peak(model) <= 1.1 * limit
    inputs = seeded_inputs(before, np.random.default_rng(2))
    assert_equivalent(before, model, inputs, rtol=1e-6)
    once = model_bytes(model)
    again = TileSpatial(memory_mb=limit / 2**20, extra=1.0).apply(model, PassContext())
    assert (again.made, model_bytes(model)) == ((), once)


def test_what_fits_stays(parse):
    model = parse(UNET, **UNET_WEIGHTS)
    once = model_bytes(model)
    result = TileSpatial(memory_mb=4).apply(model, PassContext())
    assert (result.made, result.declined, model_bytes(model)) == ((), (), once)


def test_what_cannot_be_cut_is_told(parse):
    text = """g (float[1,3,40,33] x) => (float[1,3,1,1] y) {
      a = Softmax<axis=2>(x) y = GlobalAveragePool(a) }"""
    result = check(parse, text, SMALL)
    (declined,) = result.declined
    assert result.made == ()
    assert declined.reason.startswith("activations still take")


def test_too_much_work_is_not_done(parse):
    model = parse(UNET, **UNET_WEIGHTS)
    tight = TileSpatial(memory_mb=peak(model) / 3 / 2**20, extra=0.0)
    result = tight.apply(model, PassContext())
    assert len(result.declined) == 1


class Priced:
    """A microsecond a thousand numbers written, and what kernels and copies cost besides."""

    def __init__(self, kernel=0.0, copied=1.0):
        self.kernel, self.copied, self.asked = kernel, copied, []

    def microseconds(self, operations):
        self.asked += operations
        return np.array(
            [
                self.kernel + count(each.writes) / 1e3 * (1 if each.node else self.copied)
                for each in operations
            ]
        )


def tiled(model, cost, **options):
    limit = peak(model) / 3
    tile = TileSpatial(memory_mb=limit / 2**20, **options)
    return tile.apply(model, PassContext(cost=lambda _: cost))


def test_the_cost_in_the_context_decides_whether_it_pays(parse):
    model = parse(UNET, **UNET_WEIGHTS)
    once = model_bytes(model)
    result = tiled(model, Priced(kernel=1e4))
    (declined,) = result.declined
    assert (result.made, model_bytes(model)) == ((), once)
    assert " MiB in place of " in declined.reason
    told = re.search(
        r"; (.*) would be expected to take (.*) ms in place of (.*), (.*) of it",
        declined.reason,
    )
    less, after, before, ratio = map(float, told.groups())
    assert less < peak(model) / 2**20
    assert ratio == pytest.approx(after / before, rel=0.01)
    assert ratio > 1.25
    assert tiled(model, Priced(), extra=1.0).declined == ()
    assert any(map(is_strip, model.graph))


@settings(max_examples=10, deadline=None)
@given(extra=st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.0]), kernel=st.integers(0, 20))
def test_no_more_time_is_expected_than_is_allowed(parse, extra, kernel):
    model = parse(UNET, **UNET_WEIGHTS)
    result = tiled(model, Priced(kernel=kernel), extra=extra)
    for each in result.made[-1:]:
        told = re.match("expected to take (.*) ms in place of (.*), (.*) of it", each.reason)
        after, before, ratio = map(float, told.groups())
        assert ratio == pytest.approx(after / before, rel=0.02)
        assert ratio <= 1 + extra + 0.005


def test_equal_operations_are_asked_about_once(parse):
    cost = Priced()
    tiled(parse(UNET, **UNET_WEIGHTS), cost)
    assert len(set(cost.asked)) == len(cost.asked) > 0


@settings(max_examples=25, deadline=None)
@given(strips=st.integers(2, 9), most=st.sampled_from([0, 2**15, 2**17]))
def test_strips_write_what_they_read_and_no_less_than_the_whole(parse, strips, most):
    """Every tensor that a region makes has at least its rows, and every read was written."""
    graph = parse(UNET, **UNET_WEIGHTS).graph
    landscape = Landscape(graph)
    for output in landscape.local:
        region = landscape.before(output, most)
        if region is None or strips > height(output):
            continue
        region = replace(region, strips=strips)
        made = set(map(Piece, region.sources))
        for step in region.steps:
            assert made.issuperset(step.reads)
            made.update(step.writes)
        ends = [step.reads[0] for step in region.steps if step.kind == "join"]
        assert sum(piece.sizes[2] for piece in ends) == height(output)
        times, everything = Times(Priced()), list(region.steps)
        assert times.total([region.step]) == pytest.approx(times.total(everything))
        whole = [
            step for step in landscape.program(()) if step.writes[0].value in region.inside
        ]
        assert times.total([region.step]) >= times.total(whole)
        alone = memory([step for step in everything if step.kind != "join"]).peak
        assert region.step.scratch <= alone


def test_strips_of_one_channel_are_written_where_they_end_up(parse, tmp_path, cache):
    text = """g (float[1,16,128,96] x) => (float[1,1,128,96] y) {
      a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, w2)
      y = Sigmoid(b) }"""
    weights = {"w1": (16, 16, 3, 3), "w2": (1, 16, 3, 3)}
    model = parse(text, **weights)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    want = run_reference(model, inputs)["y"]
    limit = peak(model) / 4
    result = TileSpatial(memory_mb=limit / 2**20, extra=1.0).apply(model, PassContext())
    assert result.declined == ()
    backend = TvmBackend(cache)
    compiled = backend.compile(model, find_target("lambda-x86_64"), tmp_path)
    got = backend.load(compiled, model, threads=1)(inputs)["y"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert not any("paste" in each.name for each in compiled.kernels)
    assert compiled.arena_bytes <= 1.5 * limit


def test_rows_of_a_gate_are_no_rows(parse):
    """A gate of one row has no rows to cut."""
    text = """g (float[1,3,40,33] i, float[1,3,1,1] gate) => (float[1,3,40,33] y) {
      x = Relu(i) y = Mul(x, gate) }"""
    model = parse(text)
    assert [local(node) is not None for node in model.graph] == [True, False]


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(9, 50),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    top=st.integers(0, 2),
    bottom=st.integers(0, 2),
    dilation=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_any_convolution(parse, rows, kernel, stride, top, bottom, dilation, seed):
    if (kernel - 1) * dilation + 1 > rows + top + bottom:
        return
    pads, steps = f"{top},0,{bottom},0", f"{stride},1"
    window = f"Conv<pads=[{pads}], strides=[{steps}], dilations=[{dilation},1]>(x, w)"
    check(parse, chain(window, 2, rows), SMALL, seed, w=(2, 3, kernel, 1))


def test_found_by_its_entry_point():
    assert load(discover("suture.passes")["tile-spatial"]) is TileSpatial
    (made,) = parse_pipeline("tile-spatial{memory-mb=8}")
    assert made == TileSpatial(memory_mb=8)
