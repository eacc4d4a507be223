import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs
from suture.errors import PassError, VerifyError
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.outputs import PruneOutputs

TEXT = """g (float[1,4] x) => (float[1,3] logits, float[1,8] hidden, float[1,8] noise)
    { h = Gemm(x, w) [relu] hidden = Relu(h) logits = Gemm(hidden, v)
      [exp] e = Exp(x) [loud] noise = Gemm(e, u) }"""
WEIGHTS = {"w": (4, 8), "v": (8, 3), "u": (4, 8)}


def run(model, text):
    inputs = seeded_inputs(model, np.random.default_rng(0))
    before = run_reference(model, inputs)
    (record,) = PassManager(parse_pipeline(text), [VerifyingObserver(inputs)]).run(model)
    after = run_reference(model, inputs)
    assert_equal({name: before[name] for name in after}, after, what=text, rtol=1e-6)
    return record


@pytest.mark.parametrize(
    ("keep", "outputs", "ops", "weights"),
    [
        ("logits", ["logits"], ["Gemm", "Relu", "Gemm"], ["w", "v"]),
        ("noise", ["noise"], ["Exp", "Gemm"], ["u"]),
        ("hidden", ["hidden"], ["Gemm", "Relu"], ["w"]),
        ("noise+hidden", ["hidden", "noise"], ["Gemm", "Relu", "Exp", "Gemm"], ["w", "u"]),
    ],
)
def test_what_nobody_asked_for_goes(parse, keep, outputs, ops, weights):
    model = parse(TEXT, **WEIGHTS)
    run(model, f"prune-outputs{{keep={keep}}}")
    assert [value.name for value in model.graph.outputs] == outputs
    assert [node.op_type for node in model.graph] == ops
    assert list(model.graph.initializers) == weights


def test_it_tells_outputs_and_dead_nodes_and_has_nothing_to_do_twice(parse):
    model = parse(TEXT, **WEIGHTS)
    record = run(model, "prune-outputs{keep=logits+hidden}")
    told = [(note.at.node or note.at.value, note.reason) for note in record.made]
    assert told == [
        ("noise", "nobody asked for it"),
        ("loud", "no reader"),
        ("exp", "no reader"),
    ]
    again = run(model, "prune-outputs{keep=logits+hidden}")
    assert (again.made, again.declined) == ((), ())


def test_inputs_stay(parse):
    text = "g (float[4] x, float[4] z) => (float[4] y, float[4] t) { y = Exp(x) t = Neg(z) }"
    model = parse(text)
    run(model, "prune-outputs{keep=y}")
    assert [value.name for value in model.graph.inputs] == ["x", "z"]


def test_without_names_it_declines(parse):
    model = parse(TEXT, **WEIGHTS)
    record = run(model, "prune-outputs")
    assert [note.reason for note in record.declined] == ["no output is named with keep"]
    assert len(model.graph.outputs) == 3


def test_a_name_that_no_output_has(parse):
    model = parse(TEXT, **WEIGHTS)
    with pytest.raises(PassError, match=r"no output 'logit'; did you mean 'logits'\?"):
        run(model, "prune-outputs{keep=logit}")
    with pytest.raises(PassError, match="joined by"):
        parse_pipeline("prune-outputs{keep=a++b}")


def test_later_passes_keep_to_what_is_left(parse):
    """A pass that loses one more output is caught, as is one that changes what is left."""

    class Careless(PruneOutputs):
        narrows = False

    model = parse(TEXT, **WEIGHTS)
    passes = [PruneOutputs("logits+hidden"), Careless("logits")]
    with pytest.raises(PassError, match="changed the outputs: logits instead of"):
        PassManager(passes).run(model)

    class Wrong(PruneOutputs):
        def apply(self, model, ctx):
            next(node for node in model.graph if node.op_type == "Relu").op_type = "Elu"
            return super().apply(model, ctx)

    model = parse(TEXT, **WEIGHTS)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    with pytest.raises(VerifyError, match="changes the answer"):
        PassManager([Wrong("logits")], [VerifyingObserver(inputs)]).run(model)


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-outputs"]) is PruneOutputs
    assert parse_pipeline("prune-outputs{keep=a+b}") == (PruneOutputs(keep="a+b"),)
