from dataclasses import replace

import numpy as np
import pytest

from suture.compiler.cost.boosting import Boosting
from suture.compiler.cost.evaluate import evaluate, quality
from suture.compiler.cost.model import KernelModel


def test_held_out_kernels_are_ordered_better_than_by_chance(samples):
    found = evaluate(samples, KernelModel(boosting=Boosting(rounds=60)), folds=5)
    assert found.model.kernels == 30
    assert found.model.samples == 300
    assert found.model.pairwise_accuracy > 0.95
    assert found.model.top1_regret < 0.02
    assert found.model.mape < 0.05
    # The rules' order of these samples is drawn by chance.
    assert 0.4 < found.formula.pairwise_accuracy < 0.6
    assert found.formula.top1_regret > 0.2
    assert found.formula.mape is None
    assert found.fit_seconds > 0
    assert found.rows_per_second > 0


def test_perfect_and_reversed_predictions(samples):
    times = np.array([s.microseconds for s in samples])
    perfect, reversed_ = quality(samples, times, predicted=times), quality(samples, -times)
    assert perfect.pairwise_accuracy == 1
    assert perfect.top1_regret == perfect.top3_regret == perfect.mape == 0
    assert reversed_.pairwise_accuracy == 0
    assert reversed_.top1_worst >= reversed_.top1_regret > 1


def test_times_within_the_noise_are_no_pair(samples):
    one = [replace(s, microseconds=100 + 0.1 * s.rank) for s in samples[:10]]
    found = quality(one, np.arange(10.0)[::-1])
    assert found.pairwise_accuracy == 1
    assert found.top1_regret < 0.02


def test_one_kernel_cannot_be_held_out(samples):
    with pytest.raises(ValueError, match="at least two"):
        evaluate(samples[:10], KernelModel())
