"""Schedule rules of other packages: asked first, and weighed beside ours."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest

from suture.codegen.choose.measuring import ByMeasuring
from suture.codegen.emit import rule
from suture.codegen.emit.rule import GROUP, Rules, ScheduleRule
from suture.codegen.emit.rules import SOFTMAX
from suture.codegen.lower import lower
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.compiler.discovery import discover, load
from suture.errors import PluginError

TEXT = (
    "g (float[4, 64] x, float[64, 64] w) => (float[4, 64] y)"
    " { m = MatMul(x, w) y = Softmax(m) }"
)
ASKED = []


def emit_reluctantly(emitter, operator):
    """Look at an operator, and leave it to the next rule."""
    ASKED.append(operator.name)


RELUCTANT = ScheduleRule(operators=("Softmax",), emit=emit_reluctantly)


@dataclass(frozen=True)
class WideGemm(Gemm):
    """A product of another name."""

    name: ClassVar[str] = "wide-gemm"


def wide(shape, processor):
    return [WideGemm(**vars(each)) for each in Gemm.space(shape, processor)[:2]]


FURTHER = ScheduleRule(further={GemmShape: wide})


@pytest.fixture
def register(monkeypatch):
    """Install a rule besides those that are there."""

    def register(value):
        installed = discover(GROUP)
        point = EntryPoint("another", "another:RULE", GROUP)
        monkeypatch.setattr(rule, "discover", lambda group: {**installed, "another": point})
        monkeypatch.setattr(rule, "load", lambda each: value if each == point else load(each))

    return register


@pytest.fixture
def model(parse, with_weights):
    return with_weights(parse(TEXT), ["w"])


def test_ours_are_asked_in_the_order_of_their_places():
    rules = Rules.installed()
    places = [each.place for each in rules.rules]
    assert places == sorted(places)
    assert rules.emits("Softmax")
    assert not rules.emits("Det")
    assert [match.__name__ for match in rules.matchers] == [
        "match_quantized",
        "match_affine",
        "match_conv",
        "match_conv_transpose",
        "match_gemm",
        "match_attention",
        "match_resize",
    ]


def test_every_operator_has_one_rule_of_ours():
    listed = [name for each in Rules.installed().rules for name in each.operators]
    assert len(listed) == len(set(listed))


def test_another_s_rule_is_asked_first_and_may_leave_it_to_ours(register, model, target):
    register(RELUCTANT)
    ASKED.clear()
    lowered = lower(model, target)
    assert ASKED == ["Softmax"]
    assert any(name.startswith("softmax") for name in lowered.schedules)
    order = [each for each in Rules.installed().rules if "Softmax" in each.operators]
    assert order == [RELUCTANT, SOFTMAX]


def test_another_s_schedules_are_weighed_beside_ours(register, model, target):
    register(FURTHER)
    by_formula = lower(model, target)
    (choice,) = [c for c in by_formula.choices.values() if "GemmShape" in c.subject]
    assert choice.schedule.name == "gemm"
    chooser = ByMeasuring(tvm_target(target))
    measured = lower(model, target, chooser=chooser)
    (choice,) = [c for c in measured.choices.values() if "GemmShape" in c.subject]
    assert {trial.schedule.partition("{")[0] for trial in choice.trials} == {
        "gemm",
        "wide-gemm",
    }


def test_what_is_no_rule_is_told(register):
    register(emit_reluctantly)
    with pytest.raises(PluginError, match=r"'another' \(another:RULE\) is no ScheduleRule"):
        Rules.installed()
