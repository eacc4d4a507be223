from collections import Counter

import numpy as np
import pytest

from suture.compiler.policy.base import Choice, Tally, greedy
from suture.compiler.policy.epsilon_greedy import EpsilonGreedy
from suture.compiler.policy.fixed import Fixed
from suture.compiler.profile.base import RequestProfile

PLANS = ("a", "b", "c")
PROFILE = RequestProfile(kind="image/gray", shape=(1,), dtype="uint8", steps=("denoise",))


def test_tallies_add_up():
    tally = Tally().plus(0.5).plus(-1.5)
    assert (tally.count, tally.total, tally.mean) == (2, -1.0, -0.5)
    assert Tally().mean == 0


def test_greedy_takes_the_best_of_those_seen():
    tallies = {"b": Tally(1, -2.0), "c": Tally(10, -5.0), "gone": Tally(1, 9.0)}
    assert PLANS[greedy(tallies, PLANS)] == "c"
    assert PLANS[greedy({"b": Tally(1, -2.0)}, PLANS)] == "b"
    assert PLANS[greedy({}, PLANS)] == "a"


def test_a_choice_tells_how_likely_it_was(episode):
    policy = EpsilonGreedy(epsilon=0.3).learn([episode("b", 0.9, bucket="denoise")])
    rng = np.random.default_rng(0)
    choices = Counter(policy.choose(PROFILE, PLANS, rng) for _ in range(4000))
    assert {choice.plan: choice.propensity for choice in choices} == pytest.approx(
        {"a": 0.1, "b": 0.8, "c": 0.1}
    )
    for choice, count in choices.items():
        spread = (4000 * choice.propensity * (1 - choice.propensity)) ** 0.5
        assert abs(count - 4000 * choice.propensity) < 4 * spread


def test_a_choice_follows_the_bucket_of_the_request(episode):
    policy = EpsilonGreedy(epsilon=0.0).learn(
        [episode("b", 0.9, bucket="denoise"), episode("c", 0.9, bucket="plain")]
    )
    plain = RequestProfile(kind="image/gray", shape=(1,), dtype="uint8")
    rng = np.random.default_rng(0)
    assert policy.choose(PROFILE, PLANS, rng) == Choice("b", 1.0)
    assert policy.choose(plain, PLANS, rng) == Choice("c", 1.0)


@pytest.mark.parametrize("policy", [Fixed(), EpsilonGreedy(epsilon=0.5)])
def test_equal_seeds_give_equal_choices(policy):
    first, second = (
        [policy.choose(PROFILE, PLANS, rng) for _ in range(20)]
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert first == second
