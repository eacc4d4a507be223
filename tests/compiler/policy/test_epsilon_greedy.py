import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.discovery import discover, load
from suture.compiler.policy.base import Tally
from suture.compiler.policy.epsilon_greedy import EpsilonGreedy

PLANS = ("a", "b", "c", "d")


@given(
    st.floats(0, 1),
    st.lists(st.tuples(st.sampled_from("abxyz"), st.floats(-1, 1)), max_size=8),
    st.integers(1, 4),
)
def test_chances_add_up_to_one_and_leave_no_plan_out(epsilon, rewards, count):
    tallies = {}
    for plan, reward in rewards:
        tallies[plan] = tallies.get(plan, Tally()).plus(reward)
    policy = EpsilonGreedy(epsilon, {"plain": tallies})
    for bucket in ("plain", "never seen"):
        chances = policy.distribution(bucket, PLANS[:count])
        assert chances.sum() == pytest.approx(1)
        assert chances.min() >= epsilon / count - 1e-12
        assert chances.max() == pytest.approx(1 - epsilon + epsilon / count)


def test_each_bucket_has_its_own_best_plan(episode):
    policy = EpsilonGreedy(epsilon=0.2).learn(
        [
            episode("b", 0.9, bucket="noisy"),
            episode("c", 0.2, bucket="noisy"),
            episode("c", 0.8, bucket="plain"),
        ]
    )
    assert policy.distribution("noisy", PLANS) == pytest.approx([0.05, 0.85, 0.05, 0.05])
    assert policy.distribution("plain", PLANS) == pytest.approx([0.05, 0.05, 0.85, 0.05])
    assert policy.distribution("new", PLANS) == pytest.approx([0.85, 0.05, 0.05, 0.05])


def test_learning_leaves_the_policy_as_it_was(episode):
    policy = EpsilonGreedy().learn([episode("a", 0.5)])
    learnt = policy.learn([episode("a", 0.25), episode("b", 1.0)])
    assert policy.tallies == {"plain": {"a": Tally(1, 0.5)}}
    assert learnt.tallies == {"plain": {"a": Tally(2, 0.75), "b": Tally(1, 1.0)}}
    assert learnt.epsilon == policy.epsilon


def test_learning_in_two_goes_is_learning_in_one(episode):
    seen = [episode("a", 0.5), episode("b", 0.25, bucket="noisy"), episode("a", 1.0)]
    whole = EpsilonGreedy(0.2).learn(seen)
    assert EpsilonGreedy(0.2).learn(seen[:2]).learn(iter(seen[2:])) == whole


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_epsilon_is_a_share(epsilon):
    with pytest.raises(ValueError, match=r"epsilon is a share, 0\.\.1, not"):
        EpsilonGreedy(epsilon)


def test_state_is_json(episode):
    state = EpsilonGreedy(0.25).learn([episode("a", 0.5, bucket="noisy")]).state()
    assert json.loads(json.dumps(state)) == {
        "epsilon": 0.25,
        "buckets": {"noisy": {"a": {"mean": 0.5, "count": 1}}},
    }


def test_found_by_its_entry_point():
    assert load(discover("suture.policies")["epsilon-greedy"]) is EpsilonGreedy
    assert EpsilonGreedy.name == "epsilon-greedy"
