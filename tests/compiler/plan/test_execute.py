from collections import Counter
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from suture.compiler.plan import execute
from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.compiler.plan.execute import BATCH, Executor
from suture.errors import LinkError


@pytest.fixture
def opened(monkeypatch):
    """Count the sessions that the executor opens, by the name of the graph."""
    count = Counter()
    real = execute.open_session

    def counting(model, **options):
        count[model.graph.name] += 1
        return real(model, **options)

    monkeypatch.setattr(execute, "open_session", counting)
    return count


@pytest.fixture
def scans():
    return list(np.random.default_rng(1).integers(0, 256, (70, 32, 32)).astype(np.uint8))


def by_hand(components, scan):
    """Run components one after the other, and the adapters of the example as NumPy."""
    value = (scan.astype(np.float32) / 255)[None, None]
    for component in components:
        session = ort.InferenceSession(component.path, providers=["CPUExecutionProvider"])
        (value,) = session.run(None, {component.inputs[0].name: value})
    scores = np.exp(value - value.max())
    return scores / scores.sum()


@pytest.mark.parametrize(
    "name",
    [
        "digit-linear",
        "digit-denoise > digit-cnn-small",
        "digit-contrast > digit-deskew > digit-linear",
    ],
)
def test_equals_running_the_components_by_hand(digits, scans, name):
    assert len(scans) > BATCH  # more than one batch, the last one short
    plan = digits.plans[name]
    executor = Executor(digits.components, digits.entry, scans)
    for other in ("digit-denoise > digit-linear", "digit-deskew > digit-linear"):
        executor.run(digits.plans[other])
    outputs = executor.run(plan)
    used = [digits.components[step.ref] for step in plan.steps if not step.adapter]
    assert len(outputs) == len(scans)
    for place in (0, 1, BATCH - 1, BATCH, -1):
        expected = by_hand(used, scans[place])
        np.testing.assert_allclose(outputs[place], expected, rtol=1e-5, atol=1e-6)


def test_what_plans_share_runs_once(digits, scans, opened):
    executor = Executor(digits.components, digits.entry, scans[:2])
    first = executor.run(digits.plans["digit-contrast > digit-linear"])
    once = opened.copy()
    executor.run(digits.plans["digit-contrast > digit-cnn-small"])
    assert (opened - once).total() == 2  # the other classifier and its softmax
    again = executor.run(digits.plans["digit-contrast > digit-linear"])
    assert opened.total() == once.total() + 2
    assert again is first


def test_the_same_component_after_another_one_runs_again(digits, scans):
    executor = Executor(digits.components, digits.entry, scans[:3])
    plain = executor.run(digits.plans["digit-linear"])
    filtered = executor.run(digits.plans["digit-contrast > digit-linear"])
    assert not np.allclose(plain[0], filtered[0])


def test_a_fixed_first_axis_runs_sample_by_sample(component, numbers, chain):
    text = "g (float[1,4] x) => (float[1,4] y) { y = Softmax<axis=0>(x) }"
    fixed = component("fixed", text)
    samples = [np.full((1, 4), number, np.float32) for number in range(BATCH + 2)]
    outputs = Executor({fixed.ref: fixed}, numbers("tensor"), samples).run(chain(fixed))
    np.testing.assert_array_equal(outputs, np.ones((BATCH + 2, 1, 4), np.float32))


def test_a_first_axis_that_is_a_sequence_is_no_batch(component, numbers, chain):
    text = "g (float[T,4] x) => (float[T,4] y) { y = Softmax<axis=0>(x) }"
    along = component("along", text)
    samples = [np.full((5, 4), number, np.float32) for number in range(3)]
    outputs = Executor({along.ref: along}, numbers("tensor", (5, 4)), samples).run(
        chain(along)
    )
    np.testing.assert_allclose(outputs, np.full((3, 5, 4), 0.2), rtol=1e-5)


def test_two_outputs_and_two_inputs(component, numbers):
    text = "g (float[N,4] x) => (float[N,4] u, float[N,4] v) { u = Abs(x) v = Neg(x) }"
    split = component("split", text)
    sub = "g (float[N,4] p, float[N,4] q) => (float[N,4] y) { y = Sub(p, q) }"
    minus = component("minus", sub)
    plan = Plan(
        (Step("s", split.ref, split.digest), Step("m", minus.ref, minus.digest)),
        (
            Edge(INPUT, INPUT, "s", "x"),
            Edge("s", "v", "m", "p"),
            Edge("s", "u", "m", "q"),
        ),
        ("m", "y"),
    )
    samples = list(np.random.default_rng(2).standard_normal((5, 1, 4)).astype(np.float32))
    components = {split.ref: split, minus.ref: minus}
    outputs = Executor(components, numbers("tensor"), samples).run(plan)
    for sample, output in zip(samples, outputs, strict=True):
        np.testing.assert_allclose(output, -sample - abs(sample), rtol=1e-5)


def test_a_port_that_does_not_fit_is_named(digits, scans, chain):
    plan = chain(digits.components["digit-linear@1.0.0"])
    with pytest.raises(LinkError, match="uint8 is not float32") as caught:
        Executor(digits.components, digits.entry, scans[:1]).run(plan)
    assert (caught.value.at.component, caught.value.at.value) == (
        "digit-linear@1.0.0",
        "image",
    )


def test_an_input_that_nothing_feeds_is_named(digits, scans, chain):
    plan = chain(digits.components["digit-linear@1.0.0"])
    with pytest.raises(LinkError, match="nothing feeds this input"):
        Executor(digits.components, digits.entry, scans[:1]).run(replace(plan, edges=()))
