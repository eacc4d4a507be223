"""Tables with fewer rows: whatever indices come, the answers stay."""

import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import assert_equivalent
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.embedding_rows import PruneEmbeddingRows
from suture.passes.recognise import possible

ROWS, WIDTH = 50, 6
CONSTANTS = {
    "lo": np.array(3),
    "hi": np.array(7),
    "two": np.array([2]),
    "forty": np.array([40]),
    "minus": np.array([-1]),
    "map": np.array([4, 40, 4, 9]),
    "ax": np.array([1]),
}
TABLE = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype(np.float32)

INDICES = {
    "clip": ("int64[2,3] x", "i = Clip(x, lo, hi)", 5, True),
    "clip of bytes": ("uint8[2,3] x", "c = Cast<to=7>(x) i = Clip(c, lo, forty)", 38, True),
    "bool": ("bool[2,3] x", "i = Cast<to=7>(x)", 2, False),
    "argmax": ("float[2,4,3] x", "i = ArgMax<axis=1, keepdims=0>(x)", 4, False),
    "argmin": ("float[2,3,4] x", "i = ArgMin<axis=-1, keepdims=0>(x)", 4, False),
    "mod": ("int64[2,3] x", "i = Mod(x, forty)", 40, False),
    "a map": ("bool[2,3] x", "b = Cast<to=7>(x) i = Gather(map, b)", 3, True),
    "sums": ("bool[2,3] x", "b = Cast<to=7>(x) m = Mul(b, two) i = Add(m, forty)", 2, True),
    "from the end": ("bool[2,3] x", "b = Cast<to=7>(x) i = Add(b, minus)", 2, True),
    "either": ("bool[2,3] x", "i = Where(x, two, forty)", 2, True),
    "moved": (
        "float[2,4,3] x",
        "a = ArgMax<axis=1>(x) s = Squeeze(a, ax) v = Transpose(s) i = Cast<to=6>(v)",
        4,
        False,
    ),
    "both": (
        "bool[2,3] x",
        "b = Cast<to=7>(x) m = Max(b, two) i = Concat<axis=0>(b, m)",
        3,
        False,
    ),
}


def requests(model):
    """Some requests that reach much, whole numbers from far below to far above the table."""
    (entry,) = model.graph.inputs
    dtype, shape = entry.dtype.numpy(), entry.shape.numpy()
    rng = np.random.default_rng(0)
    for _ in range(8):
        if dtype.kind == "f":
            yield {"x": rng.standard_normal(shape).astype(dtype)}
        elif dtype.kind == "b":
            yield {"x": rng.random(shape) < 0.5}
        else:
            info = np.iinfo(dtype)
            yield {
                "x": rng.integers(max(info.min, -99), min(info.max, 99), shape).astype(dtype)
            }


def looked_up(parse, entry, nodes, more="", table=TABLE, **weights):
    text = (
        f"g ({entry}) => (float[A,B,C] y) {{ {nodes} [e] e = Gather(t, i) y = Neg(e) {more} }}"
    )
    used = {name: CONSTANTS[name] for name in CONSTANTS if name in nodes}
    model = parse(text, t=table, **used, **weights)
    model.graph.outputs[0].shape = model.graph.outputs[0].producer().inputs[0].shape
    return model


def run(model):
    reference = model.clone()
    (record,) = PassManager([PruneEmbeddingRows()]).run(model)
    for inputs in requests(reference):
        assert_equivalent(reference, model, inputs, rtol=1e-7)
    (again,) = PassManager([PruneEmbeddingRows()]).run(model)
    assert again.made == ()
    assert again.declined == record.declined
    return record


def table_of(model):
    node = next(node for node in model.graph if node.name == "e")
    return node.inputs[0].const_value.numpy()


@pytest.mark.parametrize(("entry", "nodes", "left", "mapped"), INDICES.values(), ids=INDICES)
def test_rows_that_no_index_reaches_go(parse, entry, nodes, left, mapped):
    model = looked_up(parse, entry, nodes)
    before = model.graph.num_nodes()
    record = run(model)
    assert [note.reason for note in record.made] == [f"{left} of {ROWS} rows can be read"]
    assert table_of(model).shape == (left, WIDTH)
    assert "t" not in model.graph.initializers
    assert model.graph.num_nodes() == before + mapped


@pytest.mark.parametrize(
    ("entry", "nodes"),
    [
        ("int64[2,3] x", "i = Identity(x)"),
        ("int64[2,3] x", "i = Clip(x, lo)"),
        ("int64[2,3] x", "i = Min(x, two)"),
        ("uint8[2,3] x", "c = Cast<to=7>(x) i = Mod(c, forty)"),
        ("float[2,3] x", "i = Cast<to=7>(x)"),
        ("int64[2,3] x", "b = Cast<to=2>(x) i = Cast<to=7>(b)"),
    ],
    ids=["an input", "one bound", "least", "whole table", "floats", "wraps around"],
)
def test_what_may_be_read_stays(parse, entry, nodes):
    table = TABLE[:40] if "Mod" in nodes else np.tile(TABLE, (6, 1))[:256]
    model = looked_up(parse, entry, nodes, table=table)
    (record,) = PassManager([PruneEmbeddingRows()]).run(model)
    assert (record.made, record.declined) == ((), ())
    assert table_of(model).shape == table.shape


def test_several_readers_of_one_table(parse):
    more = "u = Cast<to=7>(x) [f] f = Gather(t, u) z = Identity(f)"
    nodes = "b = Cast<to=7>(x) i = Gather(map, b)"
    model = looked_up(parse, "bool[2,3] x", nodes, more)
    record = run(model)
    assert record.made[0].reason == f"5 of {ROWS} rows can be read"
    assert table_of(model).shape == (5, WIDTH)  # 0 and 1, and 4, 9 and 40


def test_a_table_that_others_read_too_declines(parse):
    model = looked_up(parse, "bool[2,3] x", "i = Cast<to=7>(x)", "z = Exp(t)")
    record = run(model)
    assert [note.reason for note in record.declined] == ["others read its table too"]


def test_a_list_of_places_that_weighs_more_declines(parse):
    model = looked_up(parse, "int64[2,3] x", "i = Clip(x, lo, forty)", table=TABLE[:, :1])
    record = run(model)
    reason = f"a list of {ROWS} rows would weigh more than those it saves"
    assert [note.reason for note in record.declined] == [reason]


def test_exact_cuts_after_folding(parse):
    """The bound is a sum of constants."""
    text = """g (int64[1,5] x) => (float[1,5,6] y) { k = Add(two, one) s = Squeeze(k)
        c = Clip(x, zero, s) y = Gather(t, c) }"""
    model = parse(text, t=TABLE, two=np.array([2]), one=np.array([1]), zero=np.array(0))
    PassManager(parse_pipeline("exact")).run(model)
    shapes = [value.shape for value in model.graph.initializers.values()]
    assert (4, WIDTH) in shapes
    assert (ROWS, WIDTH) not in shapes


def test_values_that_branch_over_and_over_are_looked_at_once(parse):
    doubled = " ".join(f"b{n + 1} = Max(b{n}, b{n})" for n in range(30))
    nodes = f"b0 = Cast<to=7>(x) {doubled} i = Identity(b30)"
    assert run(looked_up(parse, "bool[2,3] x", nodes)).made


def test_the_test_fails_where_too_few_numbers_are_found(parse, monkeypatch):
    rules = {**possible.RULES, "ArgMax": lambda node, given: np.arange(2)}
    monkeypatch.setattr(possible, "RULES", rules)
    entry, nodes, *_ = INDICES["argmax"]
    with pytest.raises(Exception, match=r"out of (data )?bounds|indices element"):
        run(looked_up(parse, entry, nodes))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-embedding-rows"]) is PruneEmbeddingRows
    assert parse_pipeline("prune-embedding-rows") == (PruneEmbeddingRows(),)
    assert "prune-embedding-rows" in map(str, parse_pipeline("exact"))
