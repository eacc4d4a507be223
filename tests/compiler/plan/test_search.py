import itertools
from dataclasses import replace

import pytest

from suture.compiler.component import Dependency
from suture.compiler.plan.base import INPUT
from suture.compiler.plan.search import newest, search
from suture.errors import Location, PlanError


@pytest.fixture
def task(digits, numbers):
    """Raw numbers in, kind ``done`` out."""
    return replace(digits.task, input=numbers(), output_kind="done")


def names(found):
    return [plan.name for plan in found.plans]


def test_every_order_of_filters_before_every_classifier(digits):
    filters = ("digit-contrast", "digit-denoise", "digit-deskew")
    last = ("digit-cnn-large", "digit-cnn-small", "digit-linear", "digit-monolith")
    expected = {
        " > ".join((*chosen, classifier))
        for count in range(4)
        for chosen in itertools.permutations(filters, count)
        for classifier in last
    }
    assert set(digits.plans) == expected
    lengths = [len(plan.steps) for plan in digits.plans.values()]
    assert lengths == sorted(lengths)
    assert len({plan.digest for plan in digits.plans.values()}) == len(expected) == 64


def test_adapters_stand_where_ports_differ(digits):
    plan = digits.plans["digit-denoise > digit-linear"]
    assert [step.ref for step in plan.steps] == [
        "layout{source=HW,target=NCHW}",
        "cast{to=float32}",
        "rescale{low=0.0,high=255.0,to-low=0.0,to-high=1.0}",
        "digit-denoise@1.0.0",
        "digit-linear@1.0.0",
        "softmax",
    ]
    assert [str(edge) for edge in plan.edges] == [
        "input.input -> layout.input",
        "layout.output -> cast.input",
        "cast.output -> rescale.input",
        "rescale.output -> digit-denoise.image",
        "digit-denoise.denoised -> digit-linear.image",
        "digit-linear.logits -> softmax.input",
    ]
    assert plan.output == ("softmax", "output")


def test_colour_of_another_size_is_made_grey_and_resized(digits):
    port = replace(digits.entry, kind="image/rgb", shape=(48, 40, 3), layout="HWC")
    found = search(replace(digits.task, input=port), tuple(digits.components.values()))
    shortest = [step.ref.partition("{")[0] for step in found.plans[0].steps]
    assert shortest[:5] == ["layout", "cast", "to-gray", "resize", "rescale"]
    assert len(found.plans) == len(digits.plans)


def test_depth_bounds_the_components_on_a_path(digits):
    found = search(digits.task, tuple(digits.components.values()), depth=2)
    assert {name.count(">") for name in names(found)} == {0, 1}
    assert len(found.plans) == 4 * 4


@pytest.mark.parametrize(("most", "count", "truncated"), [(10, 10, True), (64, 64, False)])
def test_truncation_is_told(digits, most, count, truncated):
    found = search(digits.task, tuple(digits.components.values()), most=most)
    assert (len(found.plans), found.truncated) == (count, truncated)


def test_what_two_branches_share_is_one_step(task, unary, component):
    first = unary("first", "raw", "mid")
    left, right = unary("left", "mid", "a"), unary("right", "mid", "b", op="Abs")
    text = "g (float[N,4] p, float[N,4] q) => (float[N,4] y) { y = Add(p, q) }"
    both = component("both", text, ports={"p": "a", "q": "b", "y": "done"})
    (plan,) = search(task, [first, left, right, both]).plans
    assert [step.id for step in plan.steps] == ["first", "left", "right", "both"]
    assert [str(edge) for edge in plan.edges if edge.source == "first"] == [
        "first.y -> left.x",
        "first.y -> right.x",
    ]


def test_an_ensemble_takes_two_sources(task, unary, component):
    voters = [unary("one", "raw", "vote", provides="v1"), unary("two", "raw", "vote")]
    text = "g (float[N,4] p, float[N,4] q) => (float[N,4] y) { y = Max(p, q) }"
    most = component("most", text, ports={"p": "vote", "q": "vote", "y": "done"})
    found = search(task, [*voters, most], depth=2)
    fed = [[e.source for e in plan.edges if e.sink == "most"] for plan in found.plans]
    assert sorted(fed) == [["one", "two"], ["two", "one"]]


def test_two_outputs_of_one_component_come_from_one_step(task, component):
    text = "g (float[N,4] x) => (float[N,4] u, float[N,4] v) { u = Abs(x) v = Neg(x) }"
    split = component("split", text, ports={"x": "raw", "u": "a", "v": "b"})
    text = "g (float[N,4] p, float[N,4] q) => (float[N,4] y) { y = Add(p, q) }"
    both = component("both", text, ports={"p": "a", "q": "b", "y": "done"})
    (plan,) = search(task, [split, both]).plans
    assert [step.id for step in plan.steps] == ["split", "both"]
    assert plan.edges[0].source == INPUT
    assert [(e.source, e.output, e.input) for e in plan.edges[1:]] == [
        ("split", "u", "p"),
        ("split", "v", "q"),
    ]


def test_missing_dependency(task, unary):
    needy = unary("needy", "raw", "done", depends=(Dependency("gone", ">=1"),))
    with pytest.raises(PlanError, match="depends on gone>=1, but it is missing") as caught:
        search(task, [needy])
    assert caught.value.at == Location("needy@1.0.0", "depends")
    assert "suture library add MODEL.onnx --name gone" in caught.value.hint


def test_dependency_of_the_wrong_version(task, unary):
    needy = unary("needy", "raw", "done", depends=(Dependency("old", ">=2"),))
    olds = [unary("old", "raw", "mid", version=version) for version in ("1.0.0", "1.5.0")]
    with pytest.raises(PlanError, match=r"but the library has 1\.0\.0, 1\.5\.0") as caught:
        search(task, [needy, *olds])
    assert caught.value.at == Location("needy@1.0.0", "depends")


def test_dependencies_in_a_circle(task, unary):
    a = unary("a", "raw", "mid", depends=(Dependency("b"),))
    b = unary("b", "mid", "done", depends=(Dependency("a"),))
    with pytest.raises(PlanError, match=r"cycle: (a -> b -> a|b -> a -> b)") as caught:
        search(task, [a, b])
    assert caught.value.at.node == "depends"
    assert "take one of them out" in caught.value.hint


def test_a_component_runs_only_after_its_dependency(task, unary):
    clean = unary("clean", "raw", "raw")
    finish = unary("finish", "raw", "done", depends=(Dependency("clean", "<2"),))
    found = search(task, [clean, finish])
    assert names(found) == ["clean > finish"]
    (rejected,) = [item for item in found.rejected if item.what == "finish@1.0.0"]
    assert rejected.why == "its dependency clean<2 does not stand before it"


def test_only_the_newest_version_is_tried(task, unary):
    versions = ("1.9.0", "1.10.0", "1.2.0")
    found = search(task, [unary("f", "raw", "done", version=v) for v in versions])
    assert [plan.steps[0].ref for plan in found.plans] == ["f@1.10.0"]


def test_an_older_version_stays_where_a_dependency_asks_for_it(unary):
    versions = [unary("f", "raw", "raw", version=v) for v in ("1.0.0", "1.1.0", "2.0.0")]
    asks = unary("g", "raw", "done", depends=(Dependency("f", "<2"),))
    refs = [component.ref for component in newest([*versions, asks])]
    assert refs == ["f@1.1.0", "f@2.0.0", "g@1.0.0"]


def test_older_versions_that_older_versions_need(task, unary):
    c = [unary("c", "raw", "raw", version=version) for version in ("1.0.0", "2.0.0")]
    old = unary("b", "raw", "raw", depends=(Dependency("c", "<2"),))
    new = unary("b", "raw", "raw", version="2.0.0")
    a = unary("a", "raw", "done", depends=(Dependency("b", "<2"),))
    assert "c > b > a" in names(search(task, [a, old, new, *c]))


def test_a_component_called_input(task, unary):
    (plan,) = search(task, [unary("input", "raw", "done")]).plans
    assert [step.ref for step in plan.order()] == ["input@1.0.0"]


def test_ports_that_cannot_be_joined_name_both_and_the_nearest_adapters(digits, component):
    text = "g (float[N,1,H,W] s) => (float[N,1,H,W] y) { y = Relu(s) }"
    model = component("listen", text, ports={"s": "spectrum", "y": "class/digit"})
    (want,) = model.inputs
    model = replace(model, inputs=(replace(want, layout="NCHW"),))
    with pytest.raises(PlanError) as caught:
        search(digits.task, [model])
    message = caught.value.message
    assert "input:image/gray uint8[32,32] HW" in message
    assert "input -> s:spectrum float32[N,1,H,W] NCHW: kind image/gray is not" in message
    assert "nearest: layout{source=HW,target=NCHW} > cast{to=float32}, which gives" in message
    assert caught.value.at.node == "task.output.kind"
    assert "add a component that bridges the gap" in caught.value.hint


def test_a_joint_between_components_that_fails_is_listed(task, unary, component):
    text = "g (int64[N,4] x) => (int64[N,4] y) { y = Abs(x) }"
    whole = component("whole", text, ports={"x": "mid", "y": "done"})
    with pytest.raises(PlanError) as caught:
        search(task, [unary("half", "raw", "mid"), whole])
    wanted = "half@1.0.0.y -> x:mid int64[N,4]: float32 is not int64"
    assert wanted in caught.value.message


def test_a_kind_nobody_gives_suggests_the_nearest(digits):
    task = replace(digits.task, output_kind="logits/digits")
    with pytest.raises(PlanError, match="no component of the library gives") as caught:
        search(task, tuple(digits.components.values()))
    assert "did you mean 'logits/digit'?" in caught.value.message
    assert caught.value.at.value == "logits/digits"
