import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.errors import PlanError


def plan_of(*pairs, output):
    """A plan of components a, b, ... with an edge for each ``(source, sink)``."""
    names = dict.fromkeys(name for pair in pairs for name in pair if name != INPUT)
    steps = tuple(Step(name, f"{name}@1.0.0", name * 4) for name in names)
    edges = tuple(Edge(a, INPUT if a == INPUT else "y", b, f"x{a}") for a, b in pairs)
    return Plan(steps, edges, (output, "y"))


@pytest.fixture
def diamond():
    return plan_of((INPUT, "b"), ("b", "d"), ("b", "a"), ("d", "c"), ("a", "c"), output="c")


def test_equal_plans_have_equal_digests(diamond):
    again = Plan(tuple(diamond.steps), tuple(diamond.edges), diamond.output)
    assert again is not diamond
    assert again.digest == diamond.digest
    assert int(diamond.digest, 16) < 2**256


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: {"output": ("c", "z")},
        lambda plan: {"steps": plan.steps[::-1]},
        lambda plan: {"edges": plan.edges[:-1]},
        lambda plan: {"steps": (replace(plan.steps[0], ref="b@1.0.1"), *plan.steps[1:])},
        lambda plan: {"steps": (replace(plan.steps[0], digest="other"), *plan.steps[1:])},
        lambda plan: {"edges": (replace(plan.edges[0], input="w"), *plan.edges[1:])},
    ],
)
def test_any_difference_changes_the_digest(diamond, change):
    assert replace(diamond, **change(diamond)).digest != diamond.digest


def test_order_follows_edges_and_breaks_ties_by_name(diamond):
    assert [step.id for step in diamond.order()] == ["b", "a", "d", "c"]


@given(st.data())
def test_order_puts_sources_first_however_the_steps_are_listed(data):
    count = data.draw(st.integers(2, 8))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    drawn = data.draw(st.sets(pairs.filter(lambda pair: pair[0] < pair[1])))
    steps = [Step(f"s{i}", f"s{i}@1", "d") for i in range(count)]
    random.Random(count).shuffle(steps)
    edges = tuple(Edge(f"s{a}", "y", f"s{b}", f"x{a}") for a, b in sorted(drawn))
    plan = Plan(tuple(steps), edges, ("s0", "y"))
    place = {step.id: i for i, step in enumerate(plan.order())}
    assert len(place) == count
    assert all(place[edge.source] < place[edge.sink] for edge in edges)


def test_cycle_is_named():
    plan = plan_of((INPUT, "a"), ("a", "b"), ("b", "c"), ("c", "a"), output="c")
    with pytest.raises(PlanError, match="the steps form a cycle") as caught:
        plan.order()
    *names, last = caught.value.message.rpartition(": ")[2].split(" -> ")
    assert (set(names), last) == ({"a", "b", "c"}, names[0])
    assert caught.value.at.component == "a > b > c"


def test_name_leaves_adapters_out():
    steps = (Step("cast", "cast{to=float32}"), Step("a", "a@2.1", "d"), Step("b", "b@1", "e"))
    assert [step.adapter for step in steps] == [True, False, False]
    assert Plan(steps, (), ("b", "y")).name == "a > b"


def test_graph_holds_the_input_and_edges_read_well(diamond):
    assert set(diamond.graph()) == {INPUT, "a", "b", "c", "d"}
    assert diamond.graph().has_edge(INPUT, "b")
    assert str(diamond.edges[1]) == "b.y -> d.xb"
