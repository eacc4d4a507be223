"""The whole pipeline on plans of the example's library, linked."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.compiler.library import Library
from suture.compiler.link import link
from suture.compiler.model import model_bytes
from suture.compiler.plan.search import search
from suture.compiler.task import read_task
from suture.compiler.verify import RTOL, assert_equivalent
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

STRICT = 1e-5
SHORT = "digit-contrast > digit-cnn-small"


@pytest.fixture(scope="module")
def example(digits):
    task = read_task(digits / "task.toml")
    components = list(Library(Path(task.library)))
    plans = search(task, components).plans
    by_ref = {component.ref: component for component in components}

    def linked(plan, height, width):
        return link(plan, by_ref, replace(task.input, shape=(height, width)))

    return SimpleNamespace(plans={plan.name: plan for plan in plans}, link=linked)


def image(height, width, seed):
    rng = np.random.default_rng(seed)
    return {"input": rng.integers(0, 256, (height, width)).astype(np.uint8)}


def test_exact_keeps_the_answer_of_any_plan_and_size(example):
    """Deskewing samples between pixels, where rounding alone comes near 1e-5 at times."""
    shortened = set()

    @settings(deadline=None, max_examples=25, derandomize=True)
    @given(
        st.sampled_from(sorted(example.plans)),
        st.integers(8, 64),
        st.integers(8, 64),
        st.integers(0, 2**16),
    )
    def keeps(name, height, width, seed):
        model = example.link(example.plans[name], height, width)
        reference, inputs = model.clone(), image(height, width, seed)
        rtol = RTOL if "deskew" in name else STRICT
        verifier = VerifyingObserver(inputs, rtol=rtol)
        records = PassManager(parse_pipeline("exact"), [verifier]).run(model)
        assert_equivalent(reference, model, inputs, rtol=rtol)
        shortened.add(records[-1].nodes_after < records[0].nodes_before)

    keeps()
    assert shortened == {True}


@pytest.mark.parametrize("name", ["digit-cnn-small", SHORT])
def test_one_component_s_batch_normalisations_all_fold(example, name):
    model = example.link(example.plans[name], 32, 32)
    assert "BatchNormalization" in {node.op_type for node in model.graph}
    PassManager(parse_pipeline("exact")).run(model)
    assert "BatchNormalization" not in {node.op_type for node in model.graph}


def test_notes_name_the_step_of_the_plan(example):
    model = example.link(example.plans[SHORT], 32, 32)
    (record,) = PassManager(parse_pipeline("fold-batch-norm")).run(model)
    assert record.made
    steps = {note.at.node.partition("/")[0] for note in record.made}
    assert steps <= {step.id for step in example.plans[SHORT].steps}


def test_equal_runs_give_equal_bytes(example):
    def optimised():
        model = example.link(example.plans[SHORT], 48, 40)
        PassManager(parse_pipeline("exact")).run(model)
        return model_bytes(model)

    assert optimised() == optimised()


def test_a_free_size_stays_free(example):
    model = example.link(example.plans[SHORT], "height", "width")
    reference = model.clone()
    PassManager(parse_pipeline("exact")).run(model)
    for height, width in ((20, 30), (33, 17)):
        inputs = image(height, width, seed=2)
        assert_equivalent(reference, model, inputs, rtol=STRICT)
