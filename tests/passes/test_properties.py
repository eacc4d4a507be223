"""The whole pipeline on random networks."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

from suture.compiler.verify import assert_equivalent
from suture.errors import VerifyError
from suture.passes.fuse import normalization
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

from .networks import JOINTS, LAYERS, networks

RTOL = 1e-5


def check(model):
    """Run the pipeline under verification; return the passes that rewrote something."""
    reference = model.clone()
    shape = [int(size) for size in model.graph.inputs[0].shape]
    inputs = {"x": np.random.default_rng(0).standard_normal(shape, np.float32)}
    verifier = VerifyingObserver(inputs, rtol=RTOL)
    records = PassManager(parse_pipeline("exact"), [verifier]).run(model)
    assert_equivalent(reference, model, inputs, rtol=RTOL)
    names = [value.name for value in reference.graph.outputs]
    assert [value.name for value in model.graph.outputs] == names
    assert records[-1].nodes_after <= records[0].nodes_before
    return {record.name for record in records if record.made}


def test_exact_keeps_the_answer_and_every_pass_has_work():
    fired = set()

    def keep(layers, examples):
        @settings(deadline=None, max_examples=examples, derandomize=True)
        @given(networks(layers))
        def keeps(model):
            fired.update(check(model))

        keeps()

    keep(LAYERS, 60)
    keep(JOINTS, 30)
    assert fired == {str(graph_pass) for graph_pass in parse_pipeline("exact")}


def test_a_wrong_pass_is_found(monkeypatch):
    """Offsets moved past zero padding: not every network has one, some generated one does."""
    monkeypatch.setattr(normalization, "pads", lambda conv: False)

    @settings(
        deadline=None,
        max_examples=200,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,  # the first is enough
    )
    @given(networks(layers=("block", "unary", "pool")))
    def fails(model):
        check(model)

    with pytest.raises(VerifyError) as caught:
        fails()
    assert caught.value.at.component == "fold-normalization"
