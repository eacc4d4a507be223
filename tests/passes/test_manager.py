import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.target import lambda_x86_64
from suture.errors import Location, ModelError, PassError, VerifyError
from suture.passes.base import GraphPass, Note, PassContext, PassResult
from suture.passes.contract import first_broken_use
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

MADE = (Note(Location("g", "mul"), "scaled"),)


@dataclass(frozen=True)
class Custom(GraphPass):
    """A pass whose deed is given."""

    name: ClassVar[str] = "custom"
    strength: int = 3
    deed: ClassVar[Callable[[ir.Model], Any]] = PassResult

    def apply(self, model, ctx):
        return type(self).deed(model)


SPEC = "custom{strength=3}"


def does(deed):
    return type("Custom", (Custom,), {"deed": staticmethod(deed)})()


@pytest.fixture
def model(parse):
    return parse(
        "g (float[4] x) => (float[4] y) { [relu] t = Relu(x) [mul] y = Mul(t, k) }",
        k=np.float32([1, 2, 3, 4]),
    )


def without(index):
    def deed(model):
        model.graph.remove(model.graph[index])
        return PassResult(model)

    return deed


def out_of_order(model):
    node = model.graph[0]
    model.graph.remove(node)
    model.graph.append(node)
    return PassResult(model)


def unregistered(model):
    del model.graph.initializers["k"]
    return PassResult(model)


def retyped(model):
    model.graph[0].outputs[0].dtype = ir.DataType.INT32
    return PassResult(model)


def recast(model):
    out = model.graph.outputs[0]
    out.dtype = ir.DataType.DOUBLE
    return PassResult(model)


def reshaped(model):
    model.graph.outputs[0].shape = ir.Shape([2, 2])
    return PassResult(model)


def renamed(model):
    model.graph.outputs[0].name = "other"
    return PassResult(model)


def shrunk(model):
    value = model.graph.initializers["k"]
    value.const_value = ir.tensor(np.ones(3, np.float32), name="k")
    value.shape = ir.Shape([3])
    return PassResult(model)


def fails_at_a_node(model):
    for node in model.graph:
        if node.op_type == "Mul":
            raise KeyError("scale")


@pytest.mark.parametrize(
    ("deed", "message", "node", "value"),
    [
        (lambda model: 1 / 0, "the pass failed: ZeroDivisionError: division", None, None),
        (fails_at_a_node, "the pass failed: KeyError: 'scale'", "mul", None),
        (
            lambda model: PassResult(model.clone()),
            "the pass returned a different model",
            None,
            None,
        ),
        (lambda model: None, "the pass returned NoneType instead of PassResult", None, None),
        (lambda model: model, "the pass returned Model instead of PassResult", None, None),
        (without(0), "the pass left a broken graph: node 'mul' reads 't'", "mul", "t"),
        (without(1), "the pass left a broken graph: graph output 'y' is made", None, "y"),
        (out_of_order, "node 'mul' reads 't', which nothing before it makes", "mul", "t"),
        (unregistered, "node 'mul' reads 'k', which nothing before it makes", "mul", "k"),
        (retyped, "the pass breaks types: (op_type:Mul, node name: mul)", "mul", None),
        (shrunk, "the pass breaks types: (op_type:Mul, node name: mul)", "mul", None),
        (recast, "made the output 'y' double[4], it was float[4]", None, "y"),
        (reshaped, "made the output 'y' float[2, 2], it was float[4]", None, "y"),
        (renamed, "changed the outputs: other instead of y", None, "other"),
    ],
    ids=[
        "raises",
        "raises at a node",
        "other model",
        "None",
        "no result",
        "no maker",
        "no output",
        "order",
        "no initializer",
        "type of a value",
        "size of a constant",
        "type of an output",
        "shape of an output",
        "name of an output",
    ],
)
def test_a_pass_that_breaks_its_contract_is_named_by_its_spec(
    model, deed, message, node, value
):
    with pytest.raises(PassError) as caught:
        PassManager([does(deed)]).run(model)
    assert message in caught.value.message
    assert (caught.value.at.component, caught.value.at.node) == (SPEC, node)
    assert caught.value.at.value in (value, "y" if value == "other" else value)
    assert str(caught.value).startswith(SPEC)


def test_a_fault_inside_a_branch_is_found(parse):
    model = parse(
        "g (bool c, float[4] x) => (float[4] y) { [e] t = Exp(x) [if] y = If(c) <then_branch ="
        " a () => (float[4] p) { [in] p = Neg(t) }, else_branch ="
        " b () => (float[4] q) { q = Abs(x) }> }"
    )

    def cut(model):
        model.graph.remove(model.graph[0])
        return PassResult(model)

    assert first_broken_use(model) is None
    with pytest.raises(PassError, match="node 'in' reads 't'"):
        PassManager([does(cut)]).run(model)


def test_a_model_with_faults_of_its_own_is_not_held_against_a_pass(parse, model):
    model.graph[0].outputs[0].dtype = ir.DataType.INT32
    (record,) = PassManager([does(PassResult)]).run(model)
    assert record.made == ()


@pytest.mark.parametrize("swallows", [False, True])
def test_a_pass_that_loops_is_stopped_and_named(model, swallows):
    def loops(model):
        node = model.graph[1]
        while node is not None:
            try:
                sum(range(100))
            except Exception:
                assert swallows
            if not swallows:
                model.graph.name = "spinning"

    with pytest.raises(PassError, match=r"did not end within 0\.2 s") as caught:
        PassManager([does(loops)], seconds=0.2).run(model)
    assert caught.value.at == Location(SPEC, "mul")


def test_the_alarm_is_off_when_a_pass_has_ended(model):
    PassManager([does(PassResult)], seconds=0.05).run(model)
    time.sleep(0.1)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_error_of_ours_without_a_place_gets_the_pass_s_name(model):
    def fails(model):
        raise ModelError("bad", hint="mend it")

    with pytest.raises(PassError, match="bad") as caught:
        PassManager([does(fails)]).run(model)
    assert (caught.value.at, caught.value.hint) == (Location(SPEC), "mend it")
    assert isinstance(caught.value.__cause__, ModelError)


def test_the_cause_of_a_failed_pass_is_kept(model):
    with pytest.raises(PassError) as caught:
        PassManager([does(lambda model: 1 / 0)]).run(model)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_pass_that_breaks_the_answer_is_named_by_its_spec(model):
    def wrong(model):
        value = model.graph.initializers["k"]
        value.const_value = ir.tensor(np.float32([1, 2, 3, 4.001]), name="k")
        return PassResult(model, made=MADE)

    inputs = {"x": np.float32([1, 1, 1, 1])}
    with pytest.raises(VerifyError) as caught:
        PassManager([does(wrong)], [VerifyingObserver(inputs, rtol=1e-5)]).run(model)
    assert caught.value.at == Location(SPEC, "mul", "y")
    assert "the pass changes the answer" in caught.value.message
    assert "--passes" in caught.value.hint


def test_requirements_and_promises_are_asked_for_around_the_rewrite(model):
    asked = []

    @dataclass(frozen=True)
    class Careful(GraphPass):
        name: ClassVar[str] = "careful"

        def requires(self, model, ctx):
            asked.append("requires")

        def apply(self, model, ctx):
            asked.append("apply")
            return PassResult(model)

        def ensures(self, result, ctx):
            asked.append("ensures")

    PassManager([Careful()]).run(model)
    assert asked == ["requires", "apply", "ensures"]


@pytest.mark.parametrize("stage", ["requires", "ensures"])
def test_an_unmet_requirement_or_promise_stops_the_pipeline(model, stage):
    def refuse(self, *_):
        raise PassError("no", at=Location("strict"))

    strict = type("Strict", (Custom,), {stage: refuse, "name": "strict"})()
    later = []
    with pytest.raises(PassError, match=r"strict\{strength=3\}: no"):
        PassManager([strict, does(later.append)]).run(model)
    assert later == []


def test_records_what_each_pass_did_in_order(model):
    def rename(model):
        model.graph.remove(model.graph[1])
        model.graph.outputs[0] = model.graph[0].outputs[0]
        model.graph.outputs[0].name = "y"
        return PassResult(model, made=MADE, declined=(Note(Location("g", "relu"), "kept"),))

    first, second = PassManager([does(rename), does(PassResult)]).run(model)
    assert (first.name, first.nodes_before, first.nodes_after) == (SPEC, 2, 1)
    assert (first.made, [note.reason for note in first.declined]) == (MADE, ["kept"])
    assert (second.nodes_before, second.made) == (1, ())


def test_every_decision_leaves_a_line_in_the_log(model, caplog):
    declined = (Note(Location("g", "relu"), "kept"),)
    with caplog.at_level(logging.INFO, logger="suture.passes"):
        PassManager([does(lambda m: PassResult(m, made=MADE, declined=declined))]).run(model)
    assert caplog.messages == [
        f"{SPEC}: made at g/mul: scaled",
        f"{SPEC}: declined at g/relu: kept",
    ]


def test_the_context_reaches_the_pass(model):
    seen = []

    @dataclass(frozen=True)
    class Looks(GraphPass):
        name: ClassVar[str] = "looks"

        def apply(self, model, ctx):
            seen.append(ctx.target)
            return PassResult(model)

    target = lambda_x86_64()
    PassManager([Looks()]).run(model)
    PassManager([Looks()]).run(model, PassContext(target=target))
    assert seen == [None, target]


def test_observers_stand_around_each_pass_in_order(model):
    events = []

    @dataclass(frozen=True)
    class Watch:
        title: str

        def before(self, graph_pass, model):
            events.append((self.title, "before", str(graph_pass)))

        def after(self, graph_pass, model, record):
            events.append((self.title, "after", record.name))

    passes = (does(PassResult), *parse_pipeline("prune-dead-nodes"))
    PassManager(passes, [Watch("a"), Watch("b")]).run(model)
    assert events == [
        (title, when, name)
        for name in (SPEC, "prune-dead-nodes")
        for when in ("before", "after")
        for title in ("a", "b")
    ]


def test_no_passes_do_nothing(model):
    assert PassManager(()).run(model) == ()


def test_a_sound_graph_has_no_broken_use(parse, model):
    assert first_broken_use(model) is None
    optional = "g (float[4,4,4] x) => (float[4,4,4] y) { y = Clip(x, , k) }"
    assert first_broken_use(parse(optional, k=np.array(1, np.float32))) is None
