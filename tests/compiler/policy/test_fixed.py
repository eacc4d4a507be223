import json

from suture.compiler.discovery import discover, load
from suture.compiler.policy.base import Tally
from suture.compiler.policy.fixed import Fixed

PLANS = ("a", "b", "c")


def test_the_planner_decides_before_anything_is_learnt():
    assert Fixed().distribution("any", PLANS).tolist() == [1, 0, 0]


def test_the_best_mean_reward_wins_whatever_the_bucket(episode):
    seen = [episode("a", 0.4), episode("b", 0.9, bucket="noisy"), episode("b", 0.3)]
    policy = Fixed().learn([*seen, episode("c", 0.5), episode("c", 0.55)])
    for bucket in ("plain", "noisy", "never seen"):
        assert policy.distribution(bucket, PLANS).tolist() == [0, 1, 0]
    assert policy.distribution("plain", ("c", "a")).tolist() == [1, 0]


def test_learning_leaves_the_policy_as_it_was(episode):
    policy = Fixed({"a": Tally(1, 0.5)})
    learnt = policy.learn([episode("a", 0.1), episode("b", 0.2)])
    assert policy == Fixed({"a": Tally(1, 0.5)})
    assert learnt.tallies == {"a": Tally(2, 0.6), "b": Tally(1, 0.2)}


def test_learning_in_two_goes_is_learning_in_one(episode):
    seen = [episode("a", 0.5), episode("b", 0.25), episode("a", 1.0)]
    assert Fixed().learn(seen) == Fixed().learn(seen[:1]).learn(iter(seen[1:]))


def test_state_is_json(episode):
    state = Fixed().learn([episode("a", 0.5), episode("a", 1.0)]).state()
    assert json.loads(json.dumps(state)) == {"a": {"mean": 0.75, "count": 2}}


def test_found_by_its_entry_point():
    assert load(discover("suture.policies")["fixed"]) is Fixed
    assert Fixed.name == "fixed"
