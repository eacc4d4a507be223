import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.compiler.verify import assert_equal, run_reference
from suture.errors import PassError, VerifyError
from suture.passes.base import GraphPass, PassContext, PassResult
from suture.passes.bisect import bisect

INPUTS = {"x": np.float32([1, 1, 1, 1])}


@dataclass(frozen=True)
class Scale(GraphPass):
    """Multiplies a weight; by 1 it is harmless."""

    name: ClassVar[str] = "scale"
    by: float = 1.0

    def apply(self, model, ctx):
        value = model.graph.initializers["k"]
        numbers = value.const_value.numpy() * np.float32(self.by)
        value.const_value = ir.tensor(numbers, name="k")
        return PassResult(model)


@dataclass(frozen=True)
class Raise(GraphPass):
    name: ClassVar[str] = "raise"

    def apply(self, model, ctx):
        raise RuntimeError("oh")


@pytest.fixture
def model(parse):
    return parse("g (float[4] x) => (float[4] y) { y = Mul(x, k) }", k=np.ones(4, np.float32))


@pytest.fixture
def check(model):
    expected = run_reference(model, INPUTS)

    def check(model, passes):
        assert_equal(expected, run_reference(model, INPUTS), what="model")

    return check


def test_the_first_pass_that_breaks_it_is_found_in_few_checks(model, check):
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.integers(1, 12), st.data())
    def finds(length, data):
        wrong = data.draw(st.integers(0, length - 1))
        passes = [Scale(2.0 if place == wrong else 1.0) for place in range(length)]
        found = bisect(model, passes, check, PassContext())
        assert found.culprit.position == wrong
        assert found.culprit.graph_pass == Scale(2.0)
        assert isinstance(found.culprit.error, VerifyError)
        check(found.culprit.before, ())
        assert found.checks <= 2 + math.ceil(math.log2(length))

    finds()
    np.testing.assert_array_equal(model.graph.initializers["k"].const_value.numpy(), 1)


def test_where_two_break_it_the_first_is_found(model, check):
    passes = [Scale(), Scale(2.0), Scale(3.0), Scale()]
    assert bisect(model, passes, check, PassContext()).culprit.position == 1


def test_a_pass_that_raises_is_one_that_breaks(model, check):
    found = bisect(model, [Scale(), Scale(), Raise(), Scale(2.0)], check, PassContext())
    assert found.culprit.position == 2
    assert isinstance(found.culprit.error, PassError)


def test_no_culprit_where_nothing_is_broken(model, check):
    assert bisect(model, [Scale(), Scale()], check, PassContext()).culprit is None
    assert bisect(model, [], check, PassContext()).culprit is None


def test_a_model_that_is_broken_before_any_pass_is_told(model, check):
    model.graph.initializers["k"].const_value = ir.tensor(np.float32([2] * 4), name="k")
    with pytest.raises(VerifyError):
        bisect(model, [Scale()], check, PassContext())


def test_the_check_is_told_which_passes_ran(model):
    told = []
    bisect(model, [Scale(), Scale()], lambda _, ran: told.append(len(ran)), PassContext())
    assert told == [0, 2]
