from dataclasses import replace

import numpy as np
import pytest

from suture.compiler.policy.base import Tally
from suture.compiler.policy.epsilon_greedy import EpsilonGreedy
from suture.compiler.policy.evaluate import OffPolicy, cross_fitted, off_policy
from suture.compiler.policy.fixed import Fixed
from suture.compiler.profile.base import RequestProfile

PLANS = ("a", "b", "c")
MEANS = {
    ("plain", "a"): 0.9,
    ("plain", "b"): 0.6,
    ("plain", "c"): 0.5,
    ("noisy", "a"): 0.2,
    ("noisy", "b"): 0.7,
    ("noisy", "c"): 0.6,
}
"""Chance of a right answer by bucket and plan; two of three requests are plain."""

LOGGING = EpsilonGreedy(epsilon=0.6)
BETTER = EpsilonGreedy(
    0.1, {"plain": {"a": Tally(1, 1.0)}, "noisy": {"b": Tally(1, 1.0), "a": Tally(1, 0.0)}}
)


def worth(policy):
    """The true mean reward of a policy in the simulated world."""
    total = 0.0
    for bucket, share in (("plain", 2 / 3), ("noisy", 1 / 3)):
        chances = policy.distribution(bucket, PLANS)
        total += share * sum(
            chance * MEANS[bucket, plan] for chance, plan in zip(chances, PLANS, strict=True)
        )
    return total


@pytest.fixture
def simulate(episode):
    """Answer requests under a logging policy and note what it did."""

    def simulate(policy, count, rng):
        seen = []
        for number in range(count):
            steps = () if rng.random() < 2 / 3 else ("noisy",)
            profile = RequestProfile(kind="k", shape=(), dtype="x", steps=steps)
            choice = policy.choose(profile, PLANS, rng)
            reward = float(rng.random() < MEANS[profile.bucket, choice.plan])
            made = episode(choice.plan, reward, bucket=profile.bucket)
            seen.append(replace(made, propensity=choice.propensity, request_id=str(number)))
        return seen

    return simulate


@pytest.mark.parametrize("policy", [BETTER, Fixed({"c": Tally(1, 1.0)}), LOGGING])
def test_ips_is_unbiased(simulate, policy):
    """The mean over many logs lies within four standard errors of the truth."""
    rng = np.random.default_rng(11)
    logs = [simulate(LOGGING, 60, rng) for _ in range(60)]
    estimates = np.array([off_policy(policy, log, PLANS).ips for log in logs])
    error = estimates.std(ddof=1) / len(logs) ** 0.5
    assert 0 < error < 0.05
    assert abs(estimates.mean() - worth(policy)) < 4 * error


def test_mean_reward_of_the_log_would_be_biased(simulate):
    log = simulate(LOGGING, 3000, np.random.default_rng(12))
    plain = np.mean([episode.reward for episode in log])
    found = off_policy(BETTER, log, PLANS)
    assert worth(BETTER) - plain > 0.08
    assert found.ips == pytest.approx(worth(BETTER), abs=0.05)
    assert found.snips == pytest.approx(worth(BETTER), abs=0.05)


def test_snips_is_steadier_where_rewards_lie_far_from_zero(simulate):
    rng = np.random.default_rng(13)
    logs = [simulate(LOGGING, 60, rng) for _ in range(60)]
    far = [[replace(e, reward=e.reward + 10) for e in log] for log in logs]
    found = [off_policy(BETTER, log, PLANS) for log in far]
    assert np.std([f.snips for f in found]) < np.std([f.ips for f in found]) / 3


def test_the_logging_policy_gets_the_mean_of_its_log(simulate):
    log = simulate(LOGGING, 200, np.random.default_rng(14))
    mean = np.mean([episode.reward for episode in log])
    found = off_policy(LOGGING, log, PLANS)
    assert (found.ips, found.snips) == (pytest.approx(mean), pytest.approx(mean))
    assert (found.effective, found.episodes) == (pytest.approx(200), 200)


def test_weights_by_hand(episode):
    log = [
        episode("a", 1.0, propensity=0.5),
        episode("a", 0.5, propensity=0.25),
        episode("b", 9.0, propensity=0.25),
        episode("retired", 9.0, propensity=0.5),
    ]
    found = off_policy(Fixed(), log, PLANS)  # always plan a: weights 2, 4, 0, 0
    assert found.ips == pytest.approx((2 + 2) / 4)
    assert found.snips == pytest.approx((2 + 2) / 6)
    assert found.effective == pytest.approx(36 / 20)


def test_nothing_to_go_by(episode):
    assert off_policy(Fixed(), [], PLANS) == OffPolicy(0.0, None, 0.0, 0)
    assert off_policy(Fixed(), [episode("b", 1.0)], PLANS) == OffPolicy(0.0, None, 0.0, 1)
    assert cross_fitted(Fixed(), [], PLANS) == OffPolicy(0.0, None, 0.0, 0)


def test_cross_fitting_scores_each_half_on_the_other(episode):
    """Both halves teach plan b and c in turn; each is scored where it never ran."""
    log = [episode("b", 1.0), episode("c", 1.0)] * 10
    assert cross_fitted(Fixed(), log, PLANS) == OffPolicy(0.0, None, 0.0, 20)
    same = [episode("b", 0.75)] * 7
    assert cross_fitted(Fixed(), same, PLANS) == OffPolicy(0.75, 0.75, 7.0, 7)


def test_cross_fitting_is_not_taken_in_by_luck(episode):
    """Plans are all alike; scored on what it learnt from, greed looks good."""
    rng = np.random.default_rng(15)
    plans = tuple("abcdefgh")
    greedy, honest = [], []
    for _ in range(150):
        log = [
            episode(str(rng.choice(plans)), float(rng.random() < 0.5), propensity=1 / 8)
            for _ in range(48)
        ]
        greedy.append(off_policy(Fixed().learn(log), log, plans).snips)
        honest.append(cross_fitted(Fixed(), log, plans).ips)
    assert np.mean(greedy) > 0.65
    assert np.mean(honest) == pytest.approx(0.5, abs=0.08)


def test_what_is_learnt_from_a_log_is_worth_more(simulate):
    log = simulate(EpsilonGreedy(epsilon=1.0), 2000, np.random.default_rng(16))
    learner = EpsilonGreedy(epsilon=0.0)
    found = cross_fitted(learner, log, PLANS)
    truth = worth(learner.learn(log))
    assert truth == pytest.approx(2 / 3 * 0.9 + 1 / 3 * 0.7)
    assert found.ips == pytest.approx(truth, abs=0.06)
    assert found.episodes == 2000
    assert 400 < found.effective < 900
