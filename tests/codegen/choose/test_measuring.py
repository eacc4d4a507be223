from dataclasses import replace

import numpy as np
import pytest
import tvm

from suture.codegen.choose.base import BY_FORMULA
from suture.codegen.choose.bench import Bench, runs_here, same
from suture.codegen.choose.measuring import ByMeasuring, BySearch, differs_in_one
from suture.codegen.schedule.base import WIDTHS, Epilogue
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.errors import BackendError


def names(choice):
    return [trial.schedule for trial in choice.trials]


def test_measuring_catches_what_a_formula_wrongly_prefers(sums, ask, tvm_x86):
    Sum, _ = sums  # noqa: N806
    question = ask(Sum(times=64), Sum(times=1))
    assert BY_FORMULA.choose(question).schedule == Sum(times=64)
    choice = ByMeasuring(tvm_x86).choose(question)
    assert choice.schedule == Sum(times=1)
    assert choice.by == "measured"
    first, second = choice.trials
    assert first.schedule.startswith("sum{times=1,")
    assert 0 < first.microseconds < second.microseconds


def test_only_the_top_are_measured_and_the_first_of_each_rule(sums, ask, tvm_x86):
    Sum, OtherSum = sums  # noqa: N806
    question = ask(
        *(Sum(times=64 - n) for n in range(6)), OtherSum(times=1), OtherSum(times=2)
    )
    choice = ByMeasuring(tvm_x86, top=2).choose(question)
    assert choice.schedule == OtherSum(times=1)
    assert {name.partition(",")[0] for name in names(choice)} == {
        "other-sum{times=1",
        "sum{times=64",
        "sum{times=63",
    }


@pytest.mark.parametrize("fault", ["raises", "wrong"])
def test_a_schedule_that_fails_is_discarded_with_a_note(fault, sums, ask, tvm_x86):
    Sum, _ = sums  # noqa: N806
    question = ask(Sum(fault=fault), Sum(times=8), Sum(times=9), Sum(times=10))
    choice = ByMeasuring(tvm_x86, top=3).choose(question)
    assert choice.schedule == Sum(times=8)
    assert len(choice.trials) == 3  # the fourth takes the place of the one that failed
    (note,) = choice.notes
    assert note.startswith(f"sum{{times=1,fault={fault}}} discarded: ")
    assert ("ValueError no such tile" if fault == "raises" else "another one") in note


def test_searching_finds_the_fastest_of_a_large_space(sums, ask, tvm_x86):
    Sum, _ = sums  # noqa: N806
    space = [Sum(times=200 - n) for n in range(20)] + [Sum(times=2)]
    choice = BySearch(tvm_x86, trials=21).choose(ask(*space))
    assert choice.schedule == Sum(times=2)
    assert len(choice.trials) == 21


def test_a_search_keeps_to_its_budget(sums, ask, tvm_x86):
    Sum, OtherSum = sums  # noqa: N806
    space = [Sum(times=30 - n) for n in range(20)] + [Sum(fault="raises"), OtherSum()]
    choice = BySearch(tvm_x86, trials=9).choose(ask(*space))
    assert len(choice.trials) + len(choice.notes) == 9


def test_nothing_is_measured_for_a_processor_that_is_not_here(sums, ask, tvm_x86):
    Sum, _ = sums  # noqa: N806
    arm = tvm.target.Target(
        {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "neoverse-n1"}
    )
    unknown = tvm.target.Target(
        {"kind": "llvm", "mtriple": tvm_x86.attrs["mtriple"], "mcpu": "pentium-pro-max"}
    )
    assert runs_here(tvm_x86)
    for target in (arm, unknown):
        assert not runs_here(target)
        for chooser in (ByMeasuring(target), BySearch(target)):
            choice = chooser.choose(ask(Sum(times=3), Sum(times=1)))
            assert choice.schedule == Sum(times=3)
            assert choice.by == "formula"
            assert "does not run code for" in choice.notes[-1]


def test_all_failing_is_an_error_that_says_why(sums, ask, tvm_x86):
    Sum, _ = sums  # noqa: N806
    question = ask(Sum(fault="raises"), Sum(times=2, fault="raises"))
    for chooser in (BY_FORMULA, ByMeasuring(tvm_x86), BySearch(tvm_x86)):
        with pytest.raises(BackendError, match=r"no schedule.*no such tile.*no such tile"):
            chooser.choose(question)


def test_packed_weights_are_measured_and_every_tile_agrees(ask, tvm_x86):
    shape = ConvShape(channels=16, height=9, width=9, filters=32, kernel=(3, 3), pads=(1,) * 4)
    vectors = WIDTHS["x86-64-v3"]
    weights = np.random.default_rng(3).standard_normal((32, 16, 3, 3)).astype(np.float32)
    question = replace(
        ask(*DirectConv.space(shape, vectors)),
        shape=shape,
        epilogue=Epilogue(bias=True, activation="relu"),
        constants=lambda each: [each.pack(weights, shape, vectors)],
    )
    bench = Bench(question, tvm_x86)
    candidates = bench.build(question.schedules)
    assert [each.schedule for each in candidates] == list(question.schedules)
    assert bench.notes == []
    # Without the weights, tiles get other numbers each, and the odd ones out are told.
    bench = Bench(replace(question, constants=lambda _: ()), tvm_x86)
    assert len(bench.build(question.schedules)) < len(question.schedules)
    assert "another one" in bench.notes[0]


def test_weights_are_packed_for_each_schedule(ask, tvm_x86):
    shape, vectors = GemmShape(rows=1, depth=64, columns=1000), WIDTHS["x86-64-v3"]
    weights = np.random.default_rng(3).standard_normal((64, 1000)).astype(np.float32)
    space = Gemm.space(shape, vectors)
    assert len({each.pack(weights, shape, vectors).tobytes() for each in space}) > 1
    question = replace(
        ask(*space),
        shape=shape,
        epilogue=Epilogue(bias=True),
        constants=lambda each: [each.pack(weights, shape, vectors)],
    )
    bench = Bench(question, tvm_x86)
    assert len(bench.build(space)) == len(space)


def test_what_counts_as_the_same_answer():
    a = np.array([1.0, -2.0, np.nan, np.inf], np.float32)
    assert same(a, a.copy())
    assert same(a + np.float32(1e-5), a)
    assert not same(a + np.float32(1e-2), a)
    assert not same(np.nan_to_num(a), a)
    assert not same(a[:3], a)
    assert same(a[:0], a[:0])


def test_neighbours(sums):
    Sum, OtherSum = sums  # noqa: N806
    assert differs_in_one(Sum(times=1), Sum(times=2))
    assert not differs_in_one(Sum(times=1), Sum(times=1))
    assert not differs_in_one(Sum(times=1), Sum(times=2, fault="wrong"))
    assert not differs_in_one(Sum(times=1), OtherSum(times=2))
