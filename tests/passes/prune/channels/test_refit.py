"""Weights and biases behind a cut are solved on one walk through each model."""

from collections import Counter

import numpy as np
import pytest

from suture.compiler.verify import run_reference
from suture.passes import walk
from suture.passes.prune.channels import refit as module
from suture.passes.prune.channels.groups import find_groups
from suture.passes.prune.channels.readers import find_readers
from suture.passes.prune.channels.refit import refit
from suture.passes.prune.channels.slicing import cut

LAYERS = 5


@pytest.fixture
def cut_down(network):
    """A chain of convolutions, the same without half of its channels, and what is known."""
    net = network()
    value = "x"
    for before, after in zip((4, 8, 8, 8, 8), (8, 8, 8, 8, 3), strict=True):
        bias, weight = net.weight(after), net.weight(after, before, 3, 3)
        value = net.node("Conv", value, weight, bias, pads=[1] * 4)
        value = net.node("Sigmoid", value)
    whole = net.model(value)
    groups = find_groups(whole)
    gone = groups.free & (np.arange(len(groups.free)) % 2 == 0)
    smaller = whole.clone()
    cut(smaller, groups, gone)
    rng = np.random.default_rng(1)
    requests = [{"x": rng.standard_normal((1, 4, 6, 6), np.float32)} for _ in range(6)]
    return whole, smaller, groups, gone, requests


def gap(whole, smaller, requests):
    """The mean square of what answers differ by."""
    pairs = [
        [next(iter(run_reference(model, each).values())) for model in (whole, smaller)]
        for each in requests
    ]
    return np.mean([np.square(one - other).mean() for one, other in pairs])


def test_answers_come_nearer(cut_down):
    whole, smaller, groups, gone, requests = cut_down
    before = gap(whole, smaller, requests)
    refit(whole, smaller, find_readers(whole, groups), groups, gone, requests)
    assert gap(whole, smaller, requests) < 0.2 * before


def test_nodes_run_once_for_the_whole_model_and_twice_for_the_smaller_one(
    cut_down, monkeypatch
):
    ran = Counter()

    def open_session(part, **options):
        ran.update(node.name for node in part.graph)
        return right(part, **options)

    right = walk.open_session
    monkeypatch.setattr(walk, "open_session", open_session)
    whole, smaller, groups, gone, requests = cut_down
    refit(whole, smaller, find_readers(whole, groups), groups, gone, requests)
    assert len([name for name in ran if name.startswith("conv")]) == LAYERS
    assert max(ran.values()) <= 3


def test_of_large_values_fewer_requests_are_kept(cut_down, monkeypatch):
    seen = []

    class Watched(walk.Walk):
        def __init__(self, model, requests):
            seen.append(len(requests))
            super().__init__(model, requests)

    whole, smaller, groups, gone, requests = cut_down
    monkeypatch.setattr(module, "Walk", Watched)
    kept = walk.kept_bytes(whole.graph)
    assert kept == 2 * 8 * 36 * 4
    monkeypatch.setattr(module, "MOST_BYTES", 2 * kept)
    refit(whole, smaller, find_readers(whole, groups), groups, gone, requests)
    assert seen == [2, 2]
