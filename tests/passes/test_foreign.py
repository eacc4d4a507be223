"""Passes of onnx_ir, registered as another distribution would register them."""

from importlib.metadata import EntryPoint

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import pytest

from suture.compiler.discovery import discover
from suture.compiler.verify import assert_equivalent, seeded_inputs
from suture.errors import Location, PassError, VerifyError
from suture.passes import pipeline
from suture.passes.foreign import ForeignPass
from suture.passes.manager import PassManager
from suture.passes.observers import DumpingObserver, VerifyingObserver
from suture.passes.pipeline import GROUP, format_pipeline, parse_pipeline

COMMON = "onnx_ir.passes.common"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Three passes of onnx_ir and our own, under one group."""
    names = {
        "ir-cse": f"{COMMON}:CommonSubexpressionEliminationPass",
        "ir-unused": f"{COMMON}:RemoveUnusedNodesPass",
        "ir-lift": f"{COMMON}:LiftConstantsToInitializersPass",
    }
    points = {name: EntryPoint(name, value, GROUP) for name, value in names.items()}
    ours = discover(GROUP)
    monkeypatch.setattr(pipeline, "discover", lambda group: {**ours, **points})


@pytest.fixture
def model(parse):
    return parse(
        "g (float[2,4] x) => (float[2,4] y)"
        " { a = Exp(x) b = Exp(x) i = Identity(b) dead = Tanh(x) y = Add(a, i) }"
    )


def test_stands_in_a_pipeline_among_ours(model):
    reference = model.clone()
    passes = parse_pipeline("remove-identities,ir-cse,ir-unused,fold-constants{limit=4}")
    records = PassManager(passes).run(model)
    assert [node.op_type for node in model.graph] == ["Exp", "Add"]
    assert [record.name for record in records] == [
        "remove-identities",
        "ir-cse",
        "ir-unused",
        "fold-constants{limit=4}",
    ]
    inputs = seeded_inputs(reference, np.random.default_rng(3))
    assert_equivalent(reference, model, inputs, rtol=1e-5)


def test_tells_only_whether_it_changed_the_model(model):
    (graph_pass,) = parse_pipeline("ir-cse")
    first, second = PassManager([graph_pass, graph_pass]).run(model)
    assert [(note.at, note.reason) for note in first.made] == [(Location("g"), "changed")]
    assert second.made == ()


def test_prints_as_its_entry_point():
    passes = parse_pipeline("ir-cse,ir-unused")
    assert all(isinstance(graph_pass, ForeignPass) for graph_pass in passes)
    assert format_pipeline(passes) == "ir-cse,ir-unused"


def test_is_suggested_like_any_other():
    with pytest.raises(PassError, match="did you mean 'ir-unused'"):
        parse_pipeline("ir-unsued")


def test_an_option_that_it_does_not_take_is_told():
    with pytest.raises(PassError, match="RemoveUnusedNodesPass") as caught:
        parse_pipeline("ir-unused{deep=1}")
    assert caught.value.at == Location("--passes", "ir-unused{deep=1}")


def test_options_are_read_as_annotated_and_printed_again(parse):
    passes = parse_pipeline("ir-lift{lift_all_constants=true,size-limit=0}")
    text = format_pipeline(passes)
    assert text == "ir-lift{lift-all-constants=true,size-limit=0}"
    assert parse_pipeline(text) == passes
    model = parse(
        "g (float[4] x) => (float[4] y) { k = Constant<value_float = 2.0>() y = Mul(x, k) }"
    )
    PassManager(passes).run(model)
    assert [node.op_type for node in model.graph] == ["Mul"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size-limit=few", "ir-lift.size_limit is of type int, not 'few'"),
        ("size-limt=3", "has no option 'size_limt'; did you mean 'size_limit'?"),
    ],
)
def test_an_option_that_cannot_be_read_is_told(options, message):
    with pytest.raises(PassError) as caught:
        parse_pipeline(f"ir-lift{{{options}}}")
    assert message in caught.value.message


def test_those_that_print_the_same_are_equal():
    one, other = ir_passes.RemoveUnusedNodesPass(), ir_passes.IdentityEliminationPass()
    assert ForeignPass("one", one) != ForeignPass("other", other)
    assert ForeignPass("one", one) != ForeignPass("one", one, (("limit", "3"),))
    assert parse_pipeline("ir-cse") == parse_pipeline("ir-cse")


def test_a_dump_is_named_after_it(model, tmp_path):
    PassManager(parse_pipeline("ir-lift{size-limit=0}"), [DumpingObserver(tmp_path)]).run(
        model
    )
    assert (tmp_path / "01-ir-lift.onnx").exists()


class Fails(ir.passes.InPlacePass):
    def call(self, model):
        raise LookupError("nothing there")


class Copies(ir.passes.FunctionalPass):
    def call(self, model):
        return ir.passes.PassResult(model.clone(), modified=True)


class Doubles(ir.passes.InPlacePass):
    def call(self, model):
        node = model.graph[-1]
        node.replace_input_with(0, node.inputs[1])
        return ir.passes.PassResult(model, modified=True)


@pytest.mark.parametrize(
    ("inner", "message"),
    [(Fails(), "the pass failed: "), (Copies(), "the pass returned a different model")],
)
def test_is_held_to_the_same_contract(model, inner, message):
    with pytest.raises(PassError) as caught:
        PassManager([ForeignPass("theirs", inner)]).run(model)
    assert message in caught.value.message
    assert caught.value.at == Location("theirs")


def test_a_wrong_one_is_caught_by_verification(parse):
    model = parse("g (float[2,4] x) => (float[2,4] y) { a = Exp(x) b = Neg(x) y = Add(a, b) }")
    verifier = VerifyingObserver(seeded_inputs(model, np.random.default_rng(3)), rtol=1e-5)
    with pytest.raises(VerifyError) as caught:
        PassManager([ForeignPass("theirs", Doubles())], [verifier]).run(model)
    assert caught.value.at.component == "theirs"
    assert caught.value.at.value == "y"


def test_sequences_of_onnx_ir_are_passes_too(model):
    inner = ir.passes.Sequential(
        ir_passes.CommonSubexpressionEliminationPass(), ir_passes.RemoveUnusedNodesPass()
    )
    (record,) = PassManager([ForeignPass("both", inner)]).run(model)
    assert (record.nodes_before, record.nodes_after) == (5, 3)
