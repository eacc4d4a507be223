from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.plan.base import Plan, Step
from suture.compiler.plan.choose import breaches, choose, dominates, reward
from suture.compiler.plan.estimate import Estimate
from suture.compiler.task import Limits, Objective
from suture.errors import PlanError

MB = 2**20
OBJECTIVE = Objective(latency_weight=0.01, cost_weight=0.1)


def made(name, accuracy=0.9, latency_ms=2.0, peak_mb=50, usd=1.0, **changes):
    plan = Plan((Step(name, f"{name}@1.0.0", name),), (), (name, "y"))
    estimate = Estimate(
        plan=plan,
        accuracy=accuracy,
        measured=True,
        latency_ms=latency_ms,
        latency_p95_ms=2 * latency_ms,
        peak_bytes=peak_mb * MB,
        weight_bytes=10 * MB,
        cold_start_ms=50.0,
        usd_per_million=usd,
        by_condition={},
    )
    return replace(estimate, **changes)


def weigh(*estimates, objective=OBJECTIVE, **limits):
    return choose(estimates, objective, Limits(**limits), task="task.toml")


# Few distinct numbers, so that ties and domination are common.
ESTIMATES = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.5, 0.9]),
        st.sampled_from([1.0, 2.0, 4.0]),
        st.sampled_from([40, 80]),
        st.sampled_from([0.5, 1.0]),
    ),
    min_size=1,
    max_size=8,
).map(lambda rows: [made(f"p{i}", *row) for i, row in enumerate(rows)])


def beaten(one, others):
    """Some other plan is nowhere worse and somewhere better: by the book, criterion by one."""
    for other in others:
        no_worse = (
            other.accuracy >= one.accuracy
            and other.latency_ms <= one.latency_ms
            and other.peak_bytes <= one.peak_bytes
            and other.usd_per_million <= one.usd_per_million
        )
        better = (
            other.accuracy > one.accuracy
            or other.latency_ms < one.latency_ms
            or other.peak_bytes < one.peak_bytes
            or other.usd_per_million < one.usd_per_million
        )
        if no_worse and better:
            return True
    return False


@given(ESTIMATES)
def test_pareto_front_equals_brute_force(estimates):
    weighed = weigh(*estimates)
    assert {w.estimate.plan.name: w.pareto for w in weighed} == {
        e.plan.name: not beaten(e, estimates) for e in estimates
    }


@given(ESTIMATES)
def test_the_chosen_plan_has_the_greatest_reward_and_is_on_the_front(estimates):
    weighed = weigh(*estimates)
    assert [w.chosen for w in weighed] == [True] + [False] * (len(estimates) - 1)
    assert weighed[0].reward == max(reward(e, OBJECTIVE) for e in estimates)
    assert weighed[0].pareto
    rest = [w.reward for w in weighed[1:]]
    assert rest == sorted(rest, reverse=True)
    assert all(w.reason for w in weighed)


@given(ESTIMATES, st.sampled_from([1.0, 2.0, 4.0]), st.sampled_from([0.5, 0.9]))
def test_no_chosen_plan_breaks_a_limit(estimates, slowest, least):
    limits = Limits(latency_p95_ms=2 * slowest, min_accuracy=least)
    fitting = [e for e in estimates if e.latency_ms <= slowest and e.accuracy >= least]
    if fitting:
        chosen = choose(estimates, OBJECTIVE, limits, task="t")[0]
        assert chosen.estimate in fitting
        assert chosen.reward == max(reward(e, OBJECTIVE) for e in fitting)
    else:
        with pytest.raises(PlanError, match="no plan keeps every limit"):
            choose(estimates, OBJECTIVE, limits, task="t")


def test_reward_weighs_accuracy_time_and_price():
    value = reward(made("a", 0.9, latency_ms=3.0, usd=2.0), OBJECTIVE)
    assert value == pytest.approx(0.9 - 0.03 - 0.2)


def test_a_plan_does_not_dominate_its_equal():
    assert not dominates(made("a"), made("b"))
    assert dominates(made("a", usd=0.5), made("b"))
    assert not dominates(made("a", usd=0.5, peak_mb=60), made("b"))


def test_ties_go_by_name():
    assert weigh(made("b"), made("a"))[0].estimate.plan.name == "a"


@pytest.mark.parametrize(
    ("limit", "bound", "text"),
    [
        ("latency_p95_ms", 3.0, "latency_p95_ms = 3 is missed: 4"),
        ("memory_mb", 40, "memory_mb = 40 is missed: 50"),
        ("package_mb", 8, "package_mb = 8 is missed: 10"),
        ("min_accuracy", 0.95, "min_accuracy = 0.95 is missed: 0.9"),
    ],
)
def test_each_limit(limit, bound, text):
    assert breaches(made("a"), Limits()) == ()
    (breach,) = breaches(made("a"), Limits(**{limit: bound}))
    assert (breach.limit, str(breach)) == (limit, text)
    with pytest.raises(PlanError) as caught:
        weigh(made("a"), **{limit: bound})
    assert caught.value.at.node == f"limits.{limit}"
    assert caught.value.at.component == "task.toml"
    assert text in caught.value.message
    assert caught.value.hint.startswith(f"relax {limit},")


def test_a_bound_that_is_just_met_is_kept():
    met = Limits(latency_p95_ms=4.0, memory_mb=50, package_mb=10, min_accuracy=0.9)
    assert breaches(made("a"), met) == ()


def test_breaches_are_told_worst_first():
    found = breaches(made("a"), Limits(latency_p95_ms=2.0, memory_mb=40, min_accuracy=0.95))
    assert [breach.limit for breach in found] == [
        "latency_p95_ms",
        "memory_mb",
        "min_accuracy",
    ]
    assert found[0].excess == pytest.approx(1.0)


def test_unsatisfiable_limits_name_the_closest_plan():
    far, near = made("far", latency_ms=9.0), made("near", 0.7, latency_ms=3.0)
    with pytest.raises(PlanError, match="the closest is 'near'") as caught:
        weigh(far, near, latency_p95_ms=5.0, min_accuracy=0.8)
    assert "latency_p95_ms = 5 is missed: 6 and min_accuracy = 0.8" in caught.value.message
    assert caught.value.at.node == "limits.latency_p95_ms"


def test_reasons():
    best = made("best")
    slow = made("slow", 0.95, latency_ms=40.0)
    poor = made("poor", 0.7, latency_ms=1.0)
    worse = made("worse", 0.8, usd=2.0)
    broken = made("broken", 0.99, peak_mb=900)
    weighed = weigh(slow, poor, worse, broken, best, memory_mb=512)
    reasons = {w.estimate.plan.name: w.reason for w in weighed}
    assert reasons == {
        "best": "the greatest reward within the limits",
        "broken": "memory_mb = 512 is missed: 900",
        "worse": "best is as good or better in everything",
        "poor": "20.0 points less accurate; reward 0.1900 below",
        "slow": "20.00x the time; reward 0.3300 below",
    }
    assert [w.pareto for w in weighed if w.estimate.plan.name == "broken"] == [True]
