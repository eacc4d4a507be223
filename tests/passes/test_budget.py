"""The halves of an evaluation set."""

import numpy as np

from suture.compiler.evaluation import Evaluation
from suture.passes import budget
from suture.passes.budget import SEED, halves


def numbered(count):
    return Evaluation(
        requests=[{"x": np.array(n)} for n in range(count)], labels=np.arange(count)
    )


def test_a_small_set_is_halved_as_it_is():
    everyone = numbered(9)
    want = everyone.halves(np.random.default_rng(SEED))
    assert [each.labels.tolist() for each in halves(everyone)] == [
        each.labels.tolist() for each in want
    ]


def test_of_a_large_set_some_are_drawn(monkeypatch):
    monkeypatch.setattr(budget, "MOST_SAMPLES", 10)
    first, second = halves(numbered(40))
    drawn = [*first.labels, *second.labels]
    assert (len(first), len(second)) == (5, 5)
    assert len(set(drawn)) == 10
    assert max(drawn) > 20
    assert all(
        each["x"] == label for each, label in zip(first.requests, first.labels, strict=True)
    )
    again, _ = halves(numbered(40))
    assert again.labels.tolist() == first.labels.tolist()
