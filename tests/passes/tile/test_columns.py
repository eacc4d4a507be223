"""Wide layers in blocks of columns: the same sums in less memory."""

import numpy as np
import pytest

from suture.codegen.backend.tvm import TvmBackend
from suture.compiler.discovery import discover, load
from suture.compiler.model import model_bytes
from suture.compiler.target import find_target
from suture.compiler.verify import assert_equivalent, run_reference, seeded_inputs
from suture.passes.base import PassContext
from suture.passes.pipeline import parse_pipeline
from suture.passes.tile.blocks import is_block
from suture.passes.tile.columns import TileColumns, needs

ROWS, WIDTH, HIDDEN = 64, 32, 256
MLP = "[up] u = Gemm<transB=1>(x, w, b) h = {} [down] y = Gemm(h, v, c)"
WEIGHTS = {"w": (HIDDEN, WIDTH), "b": (HIDDEN,), "v": (HIDDEN, WIDTH), "c": (WIDTH,)}
HALF = ROWS * HIDDEN * 4 / 2**20 / 2
"""MiB of half of the layer between."""

LAYERS = {
    "relu": (MLP.format("Relu(u)"), WEIGHTS),
    "gelu": (
        MLP.format("Mul(g, q)").replace(
            "h =", "q = Mul(u, half) e = Erf(u) g = Add(e, one) h ="
        ),
        {**WEIGHTS, "half": np.float32(0.5), "one": np.float32(1)},
    ),
    "scaled": (
        MLP.format("Mul(r, s)").replace("h =", "r = Relu(u) h ="),
        {**WEIGHTS, "s": (1, HIDDEN)},
    ),
    "factors": (
        "u = Gemm<alpha=0.5, beta=2.0>(x, w, b) h = Tanh(u) y = Gemm<alpha=3.0>(h, v, c)",
        {**WEIGHTS, "w": (WIDTH, HIDDEN)},
    ),
    "no bias": (
        "u = MatMul(x, w) h = Sigmoid(u) y = MatMul(h, v)",
        {**WEIGHTS, "w": (32, 256)},
    ),
    "gated": (
        "g = MatMul(x, w) s = Sigmoid(g) a = Mul(g, s) u = MatMul(x, t) h = Mul(a, u)"
        " y = Gemm<transB=1>(h, v)",
        {**WEIGHTS, "w": (32, 256), "t": (32, 256), "v": (32, 256)},
    ),
    "one number for all": (
        "u = Gemm(x, w, k) h = Relu(u) y = MatMul(h, v)",
        {**WEIGHTS, "w": (32, 256), "k": (1,)},
    ),
}


def model_of(parse, nodes, weights, outputs="float[64,32] y"):
    used = {
        name: array
        for name, array in weights.items()
        if any(f"{end}{name}{stop}" in nodes for end in (" ", "(") for stop in (",", ")"))
    }
    return parse(f"g (float[{ROWS},{WIDTH}] x) => ({outputs}) {{ {nodes} }}", **used)


def run(model, graph_pass):
    """Apply a pass; the answer must stay, and nothing happen a second time."""
    reference = model.clone()
    inputs = seeded_inputs(reference, np.random.default_rng(0))
    result = graph_pass.apply(model, PassContext())
    assert_equivalent(reference, model, inputs, rtol=2e-6)
    once = model_bytes(model)
    assert graph_pass.apply(model, PassContext()).made == ()
    assert model_bytes(model) == once
    return [note.reason for note in result.made], [note.reason for note in result.declined]


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_the_layer_between_is_computed_in_blocks(parse, layers):
    model = model_of(parse, *layers)
    before, weights = needs(model.graph).peak, count(model)
    made, declined = run(model, TileColumns(memory_mb=HALF))
    blocks = {f"{n} blocks of {HIDDEN // n} columns" for n in (4, 8, 16)}
    assert len(made) == 1
    assert set(made) <= blocks
    assert declined == []
    assert needs(model.graph).peak <= HALF * 2**20 < before
    assert count(model) == weights
    (answer,) = model.graph.outputs
    assert (answer.name, answer.shape) == ("y", (ROWS, WIDTH))


def count(model):
    return sum(value.const_value.size for value in model.graph.initializers.values())


def test_as_few_blocks_as_do(parse):
    whole = needs(model_of(parse, *LAYERS["relu"]).graph).peak / 2**20
    counts = []
    for part in (1, 0.9, 0.5, 0.4):
        model = model_of(parse, *LAYERS["relu"])
        run(model, TileColumns(memory_mb=whole * part))
        counts.append(sum(node.op_type == "Relu" for node in model.graph))
    assert counts == sorted(counts)
    assert counts[0] == 1  # what fits stays
    assert counts[1] == 2


def test_what_cannot_be_reached_is_told_and_brought_as_low_as_it_goes(parse):
    model = model_of(parse, *LAYERS["relu"])
    before = needs(model.graph).peak
    made, declined = run(model, TileColumns(memory_mb=0.001))
    after = needs(model.graph).peak
    assert made == ["16 blocks of 16 columns"]
    assert declined == [
        f"activations still take {after / 2**20:.1f} MiB in place of {before / 2**20:.1f}, "
        "0.000999451 are allowed"
    ]
    assert after < 0.6 * before


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (MLP.format("Softmax(u)"), "float[64,32] y"),
        (MLP.format("Relu(u)") + " z = Exp(h)", "float[64,32] y, float[64,256] z"),
        (MLP.format("Relu(u)"), "float[64,32] y, float[64,256] h"),
        (MLP.format("Relu(u)") + " z = Transpose(w)", "float[64,32] y, float[32,256] z"),
        (MLP.format("Add(u, r)").replace("h =", "r = Exp(w2) h ="), "float[64,32] y"),
    ],
    ids=["a softmax", "another reader", "an output", "weights read twice", "not a product"],
)
def test_what_needs_all_columns_stays(parse, nodes, outputs):
    nodes = nodes.replace("Exp(w2)", "Concat<axis=1>(x, x, x, x, x, x, x, x)")
    model = model_of(parse, nodes, WEIGHTS, outputs)
    made, declined = run(model, TileColumns(memory_mb=HALF))
    assert made == []
    assert not any(map(is_block, model.graph))
    assert len(declined) == 1
    assert declined[0].startswith("activations still take")


def test_what_does_not_become_less_declines(parse):
    """The result is wider than the layer between: parts of sums take more than they save."""
    nodes = "u = Gemm(x, w) h = Relu(u) [down] y = Gemm(h, v)"
    model = model_of(parse, nodes, {"w": (32, 64), "v": (64, 512)}, "float[64,512] y")
    _, declined = run(model, TileColumns(memory_mb=0.01))
    assert declined[0] == "what is live does not become less in blocks"


class Called:
    """Each node takes a microsecond, whatever it does; some operator takes more."""

    def __init__(self, **more):
        self.more = more

    def microseconds(self, operations):
        return np.array([1.0 + self.more.get(each.node.op_type, 0) for each in operations])


def test_the_cost_in_the_context_decides_whether_it_pays(parse):
    two, four = "2 blocks of 128 columns", "4 blocks of 64 columns"
    dear = f"{four} would be expected to take 0.015 ms in place of 0.003, 5.00 of it"
    for extra, made, declined in ((1.0, [], [dear]), (3.9, [two], []), (4.1, [four], [])):
        model = model_of(parse, *LAYERS["relu"])
        graph_pass = TileColumns(memory_mb=HALF, extra=extra)
        result = graph_pass.apply(model, PassContext(cost=lambda _: Called()))
        assert [note.reason for note in result.made] == made
        assert [note.reason for note in result.declined if note.at.node] == declined


def test_of_blocks_below_the_limit_the_fewest_unless_more_are_expected_to_be_faster(parse):
    def reason(cost):
        model = model_of(parse, *LAYERS["relu"])
        graph_pass = TileColumns(memory_mb=0.9 * needs(model.graph).peak / 2**20, extra=99)
        (made,) = graph_pass.apply(model, PassContext(cost=lambda _: cost)).made
        return made.reason

    assert reason(Called()) == "2 blocks of 128 columns"

    class Narrow:
        """Only what is as wide as an eighth of the layer takes no time."""

        def microseconds(self, operations):
            wide = [each.writes[0][-1] for each in operations]
            return np.array([float(size > WIDTH or size == HIDDEN // 16) for size in wide])

    assert reason(Narrow()) == "8 blocks of 32 columns"


def test_of_three_layers_in_a_row(parse):
    nodes = "u = MatMul(x, w) h = Relu(u) m = MatMul(h, v) n = Relu(m) o = MatMul(n, q)"
    nodes += " y = Relu(o)"
    weights = {"w": (32, 256), "v": (256, 256), "q": (256, 32)}
    model = model_of(parse, nodes, weights)
    made, _ = run(model, TileColumns(memory_mb=HALF))
    assert made


def test_tvm_s_arena_becomes_smaller(parse, tmp_path, cache):
    target, arenas = find_target("lambda-x86_64"), []
    for passes in ("exact", f"exact,tile-columns{{memory-mb={HALF}}}"):
        model = model_of(parse, *LAYERS["relu"])
        inputs = seeded_inputs(model, np.random.default_rng(0))
        want = run_reference(model, inputs)["y"]
        for graph_pass in parse_pipeline(passes):
            graph_pass.apply(model, PassContext())
        backend = TvmBackend(cache)
        compiled = backend.compile(model, target, tmp_path / str(len(arenas)))
        got = backend.load(compiled, model, threads=1)(inputs)["y"]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
        arenas.append(compiled.arena_bytes)
    assert arenas[1] < 0.7 * arenas[0]


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["tile-columns"]) is TileColumns
    assert parse_pipeline("tile-columns{memory-mb=8}") == (TileColumns(memory_mb=8),)
