import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.model import model_bytes
from suture.compiler.verify import assert_equal, run_reference
from suture.errors import PassError
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.tokens import PruneTokens

TEXT = """g (int64[1,6] x) => (float[1,6,3] y) { [e] h = Gather(words, x)
    i = Cast<to=7>(m) s = Gather(kinds, i) a = Add(h, s) y = MatMul(a, w) }"""
WEIGHTS = {"words": (200, 8), "kinds": (2, 8), "w": (8, 3), "m": np.array([[True] * 6])}
KEPT = [5, 17, 100, 199]


def model_of(parse, text=TEXT, **more):
    return parse(text, **{**WEIGHTS, **more})


def run(model, text):
    inputs = {"x": np.array([[5, 17, 199, 100, 5, 17]])}
    before = run_reference(model, inputs)
    (record,) = PassManager(parse_pipeline(text), [VerifyingObserver(inputs)]).run(model)
    assert_equal(before, run_reference(model, inputs), what=text, rtol=1e-6)
    return record


def test_tokens_that_are_kept_keep_their_answers_and_others_are_read_as_one(parse):
    model = model_of(parse)
    reference = model.clone()
    record = run(model, "prune-tokens{keep=17+199+5,other=100}")
    told = [(note.at.node, note.reason) for note in record.made]
    assert told == [("e", "4 of 200 tokens are kept, others are read as 100")]
    others = {"x": np.array([[0, 17, 198, 100, -1, 6]])}
    read_as = {"x": np.array([[100, 17, 100, 100, 199, 100]])}
    want = run_reference(reference, read_as)
    assert_equal(want, run_reference(model, others), what="others", rtol=1e-6)
    sizes = {value.const_value.shape[0] for value in model.graph.initializers.values()}
    assert {4, 200} <= sizes
    assert sum(value.const_value.nbytes for value in model.graph.initializers.values()) < 1400


def test_a_second_run_leaves_it_as_it_is(parse):
    model = model_of(parse)
    run(model, "prune-tokens{keep=17+199+5,other=100}")
    once = model_bytes(model)
    record = run(model, "prune-tokens{keep=17+199+5,other=100}")
    assert [note.reason for note in record.declined] == [
        "it has been cut already: words, others are 100"
    ]
    assert model_bytes(model) == once


def test_tokens_from_a_file(parse, tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("17 199\n5\n")
    one, two = model_of(parse), model_of(parse)
    run(one, f"prune-tokens{{keep={path},other=100}}")
    run(two, "prune-tokens{keep=5+17+199,other=100}")
    assert model_bytes(one) == model_bytes(two)


def test_a_list_that_weighs_more_declines(parse):
    model = model_of(parse, words=(200, 1), kinds=(2, 1), w=(1, 3))
    record = run(model, "prune-tokens{keep=5+17+199,other=100}")
    assert [note.reason for note in record.declined] == [
        "a list of 200 tokens would weigh more than the rows it saves"
    ]


def test_a_table_that_the_last_layer_reads_too_declines(parse):
    text = TEXT.replace(
        "y = MatMul(a, w)", "u = Transpose(words) z = MatMul(a, u) y = MatMul(a, w)"
    )
    record = run(model_of(parse, text), "prune-tokens{keep=5+17+199,other=100}")
    assert [note.reason for note in record.declined] == ["others read its table too"]


def test_without_tokens_it_declines(parse):
    record = run(model_of(parse), "prune-tokens")
    assert [note.reason for note in record.declined] == ["no token is named with keep"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("keep=5", "other is the token that stands for those not kept"),
        ("keep=5+200,other=1", "there is no token 200: words has 200"),
        ("keep=5,other=1,table=letters", "one table of tokens is wanted, found: none"),
        ("keep=five,other=1", "neither numbers joined by"),
    ],
)
def test_what_is_wrong_is_said(parse, options, message):
    with pytest.raises(PassError, match=message):
        run(model_of(parse), f"prune-tokens{{{options}}}")


def test_of_two_tables_one_is_to_be_named(parse):
    text = TEXT.replace("i = Cast<to=7>(m)", "i = Div(x, big)")
    both = {"big": np.array(150)}
    with pytest.raises(PassError, match="found: words, kinds"):
        run(model_of(parse, text, **both), "prune-tokens{keep=5,other=1}")
    model = model_of(parse, text, **both)
    assert run(model, "prune-tokens{keep=5+17+199,other=100,table=words}").made


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-tokens"]) is PruneTokens
    (found,) = parse_pipeline("prune-tokens{keep=1+2,other=3}")
    assert found == PruneTokens(keep="1+2", other=3)
