from dataclasses import replace

import numpy as np
import pytest

from suture.codegen.choose.base import BY_FORMULA, Question, spec_of
from suture.codegen.choose.model import ByModel, cost_model
from suture.codegen.schedule.base import WIDTHS, Epilogue
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.compiler.cost.boosting import Boosting
from suture.compiler.cost.model import KernelModel

VECTORS = WIDTHS["x86-64-v3"]


def gemm(rows, columns=256, processor=VECTORS):
    shape = GemmShape(rows=rows, depth=64, columns=columns)
    return Question(
        schedules=Gemm.space(shape, processor),
        shape=shape,
        epilogue=Epilogue(),
        processor=processor,
    )


@pytest.fixture(scope="module")
def by_model():
    """A model that has learned that tiles of three rows are the best by far."""
    questions = [
        gemm(rows, columns) for rows in (12, 24, 60, 96) for columns in (64, 128, 256)
    ]
    facts = [q.facts(each) for q in questions for each in q.schedules]
    times = [each.done / 1e4 * (0.5 if each.rows == 3 else 1.0) for each in facts]
    return ByModel(KernelModel(boosting=Boosting(rounds=60)).fit(facts, times))


def test_the_model_chooses(by_model):
    question = gemm(48)
    choice = by_model.choose(question)
    assert choice.schedule.rows == 3
    assert choice.by == "model"
    assert choice.trials[0].schedule == spec_of(choice.schedule)
    assert all(trial.predicted_us > 0 for trial in choice.trials)
    assert BY_FORMULA.choose(question).schedule.rows != 3
    assert set(by_model.rank(question)) == set(question.schedules)
    assert by_model.choose(question) == choice


def test_what_is_as_fast_does_not_go_before_the_formula(by_model):
    """Of columns, the model has learned only what they waste."""
    question = gemm(48)
    same = [each for each in question.schedules if each.rows == 3]
    assert by_model.choose(replace(question, schedules=tuple(same))).schedule == same[0]


def test_a_schedule_that_cannot_be_built_is_discarded(by_model, monkeypatch):
    def kernel(self, shape, epilogue, processor):
        if self.rows == 3:
            raise ValueError("no such tile")
        return "a kernel"

    monkeypatch.setattr(Gemm, "kernel", kernel)
    choice = by_model.choose(gemm(48))
    assert choice.schedule.rows != 3
    assert choice.kernel == "a kernel"
    assert choice.notes
    assert all("rows=3" in note and "no such tile" in note for note in choice.notes)


def test_rules_and_vectors_that_were_not_learned_go_by_formula(by_model, sums, ask):
    Sum, _ = sums  # noqa: N806
    shape = ConvShape(channels=8, height=4, width=4, filters=32, kernel=(1, 1))
    conv = replace(gemm(48), schedules=DirectConv.space(shape, VECTORS), shape=shape)
    for question, name in (
        (conv, "direct-conv"),
        (gemm(48, processor=WIDTHS["x86-64-v4"]), "gemm"),
        (ask(Sum(times=1), Sum(times=2)), "sum"),
    ):
        choice = by_model.choose(question)
        assert choice.by == "formula"
        assert choice.schedule == question.schedules[0]
        assert choice.notes == (f"the cost model has not learned {name} for this processor",)


def test_between_rules_that_it_cannot_compare_the_formula_decides(by_model, sums):
    Sum, _ = sums  # noqa: N806
    known = gemm(48)
    mixed = replace(known, schedules=(*known.schedules[:5], Sum(), *known.schedules[5:]))
    choice = by_model.choose(mixed)
    assert choice.schedule == by_model.choose(known).schedule
    assert choice.notes == ("the cost model has not learned sum for this processor",)
    assert by_model.rank(mixed)[-1] == Sum()
    ahead = replace(known, schedules=(Sum(), *known.schedules))
    assert by_model.rank(ahead) == ahead.schedules


def test_the_model_that_ships_knows_the_rules_and_is_no_worse_than_a_guess():
    shipped = cost_model(None)
    assert {"direct-conv", "depthwise-conv", "gemm"} <= set(shipped.rules)
    assert shipped.lanes == (8,)
    assert "measured on" in shipped.about
    question = gemm(96, 768)
    predicted = shipped.predict([question.facts(each) for each in question.schedules])
    by_tile = dict(zip(question.schedules, predicted, strict=True))
    # A tile of one sum cannot hide the latency of a multiply-add.
    alone = next(t for t in by_tile if isinstance(t, Gemm) and (t.rows, t.columns) == (1, 8))
    assert min(predicted) < by_tile[alone] / 2
    assert np.isfinite(predicted).all()


def test_a_learned_model_goes_before_the_one_that_ships(by_model, tmp_path):
    path = tmp_path / "model.npz"
    by_model.model.save(path)
    assert cost_model(path).rules == ("gemm",)
    assert cost_model(tmp_path / "none.npz").rules == cost_model(None).rules
