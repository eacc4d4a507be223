from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from suture.errors import Location
from suture.passes.base import GraphPass, Names, Note, PassResult, constant_of, note


@pytest.fixture
def model(parse):
    return parse(
        "g (float[4] x, float[4] d) => (float[4] y) { k = Constant<value = float[1] {2.0}>()"
        " [first] a = Mul(x, w) b = Mul(a, k) c = Mul(b, d) y = Neg(c) }",
        w=(4,),
        d=(4,),
    )


@pytest.mark.parametrize(
    ("value", "constant"),
    [("x", False), ("w", True), ("k", True), ("a", False), ("d", False)],
    ids=["input", "initializer", "constant node", "computed", "overridable default"],
)
def test_constant_of(model, value, constant):
    values = {v.name: v for node in model.graph for v in (*node.inputs, *node.outputs)}
    found = constant_of(values[value])
    assert (found is not None) is constant


def test_constant_of_nothing():
    assert constant_of(None) is None


def test_constant_of_gives_the_numbers(model):
    values = {v.name: v for node in model.graph for v in node.inputs}
    np.testing.assert_array_equal(constant_of(values["k"]).numpy(), [2.0])


def test_a_note_names_graph_and_node(model):
    assert note(model.graph[1], "why") == Note(Location("g", "first"), "why")


def test_a_note_names_the_operator_of_a_node_without_a_name(model):
    assert str(note(model.graph[2], "why").at) == "g/Mul"


def test_a_note_of_a_node_outside_any_graph():
    assert note(ir.node("Relu", []), "why").at == Location("model", "Relu")


def test_only_what_was_made_is_a_change(model):
    one = Note(Location("g", "n"), "why")
    assert PassResult(model, made=(one,)).changed
    assert not PassResult(model, declined=(one,)).changed


def test_a_pass_prints_as_the_text_that_selects_it():
    @dataclass(frozen=True)
    class Loosen(GraphPass):
        name: ClassVar[str] = "loosen"
        by_factor: float = 0.5
        everywhere: bool = True

        def apply(self, model, ctx):
            return PassResult(model)

    assert str(Loosen()) == "loosen{by-factor=0.5,everywhere=true}"


def test_names_are_free_in_subgraphs_too_and_given_once(parse):
    model = parse(
        "g (float[4] x, bool[1] c) => (float[4] y) { y = If(c)<"
        "then_branch = a () => (float[4] p) { p = Exp(x) },"
        " else_branch = b () => (float[4] q) { q = Mul(x, w) }> }",
        w=(4,),
    )
    names = Names(model.graph)
    taken = ("x", "c", "y", "p", "q", "w")
    assert [names.free(name) for name in taken] == [f"{name}.1" for name in taken]
    assert [names.free("new"), names.free("new"), names.free("x")] == ["new", "new.1", "x.2"]
