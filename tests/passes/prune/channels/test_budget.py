"""The pass as a whole, on the example's small classifier and on made-up networks."""

import numpy as np
import pytest

from suture.compiler.evaluation import Evaluation
from suture.compiler.verify import run_reference
from suture.errors import PassError
from suture.passes.base import PassContext
from suture.passes.budget import NOTHING, SEED, TOO_FEW
from suture.passes.intermediate import observe
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.channels import PruneChannels
from suture.passes.prune.channels.compensation import compensate
from suture.passes.prune.channels.pruning import Pruning, flops_of
from suture.passes.prune.channels.refit import refit
from suture.passes.prune.channels.slicing import cut

BUDGET = 0.005


def run(model, evaluation, budget=BUDGET):
    (record,) = PassManager([PruneChannels(budget=budget)]).run(
        model, PassContext(evaluation=evaluation)
    )
    return record


def test_it_makes_the_graph_smaller_within_the_budget(classifier):
    original, evaluation = classifier
    model = original.clone()
    (made,) = run(model, evaluation).made
    assert flops_of(model) < 0.9 * flops_of(original)
    weights = sum(value.const_value.size for value in model.graph.initializers.values())
    before = sum(value.const_value.size for value in original.graph.initializers.values())
    assert weights < 0.9 * before
    for half in evaluation.halves(np.random.default_rng(SEED)):
        drop = half.hits(original).mean() - half.hits(model).mean()
        assert drop <= BUDGET + 1e-9
    told = f"{flops_of(original):,} FLOPs to {flops_of(model):,}, "
    assert made.reason.startswith(told)
    held_out = evaluation.halves(np.random.default_rng(SEED))[1]
    assert f"to {held_out.hits(model).mean():.4f} on {len(held_out)} held-out" in made.reason


def test_equal_models_give_equal_ones(classifier):
    original, evaluation = classifier
    first, second = original.clone(), original.clone()
    assert run(first, evaluation).made == run(second, evaluation).made
    for value in first.graph.initializers.values():
        other = second.graph.initializers[value.name]
        np.testing.assert_array_equal(value.const_value.numpy(), other.const_value.numpy())


def test_a_greater_budget_lets_more_go(classifier):
    original, evaluation = classifier
    small, large = original.clone(), original.clone()
    run(small, evaluation)
    run(large, evaluation, budget=0.1)
    assert flops_of(large) < flops_of(small)


def test_correction_is_what_keeps_accuracy(classifier):
    original, evaluation = classifier
    choosing, held_out = evaluation.halves(np.random.default_rng(SEED))
    pruning = Pruning.of(original, choosing)
    gone = pruning.gone(0.6)
    bare, carried = original.clone(), original.clone()
    cut(bare, pruning.groups, gone)
    compensate(carried, pruning.readers, pruning.seen, gone)
    cut(carried, pruning.groups, gone)
    solved = pruning.prune(original.clone(), 0.6)
    requests = held_out.requests
    want = logits(original, requests)
    errors = [
        np.square(logits(each, requests) - want).mean() for each in (bare, carried, solved)
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]


def test_means_of_what_readers_compute_are_kept(classifier):
    original, evaluation = classifier
    choosing, _ = evaluation.halves(np.random.default_rng(SEED))
    pruning = Pruning.of(original, choosing)
    gone = pruning.gone(0.5)
    model = original.clone()
    cut(model, pruning.groups, gone)
    requests = pruning.calibration.requests
    refit(original, model, pruning.readers, pruning.groups, gone, requests)
    before, after = (logits(each, requests) for each in (original, model))
    np.testing.assert_allclose(before.mean(0), after.mean(0), atol=1e-4)


def logits(model, requests):
    name = next(node for node in model.graph if node.op_type == "Gemm").outputs[0].name
    return np.array([found[0][0] for found in observe(model, [name], requests)])


def test_without_labels_it_says_what_is_missing(classifier):
    model, evaluation = classifier
    for given, reason in ((None, NOTHING), (evaluation.of(np.array([0])), TOO_FEW)):
        with pytest.raises(PassError, match=reason) as caught:
            run(model.clone(), given)
        assert "compile a task with an evaluation set" in caught.value.hint


@pytest.mark.parametrize("name", ["fast", "small"])
def test_named_pipelines_take_a_model_without_labels(name, classifier):
    model, _ = classifier
    records = PassManager(parse_pipeline(name)).run(model.clone())
    (record,) = (each for each in records if each.name.startswith("prune-channels"))
    assert record.made == ()
    assert [note.reason for note in record.declined] == [NOTHING]


def test_a_cut_that_costs_too_much_is_declined(network):
    """Right is only what the whole model answers, to the fourth digit."""
    net = network()
    model = net.model(net.conv(net.node("Relu", net.conv("x", 4, 6)), 6, 3))
    rng = np.random.default_rng(0)
    requests = [{"x": rng.standard_normal((1, 4, 6, 6), np.float32)} for _ in range(8)]
    known = [next(iter(run_reference(model, each).values())) for each in requests]

    def equal(answers, labels):
        return np.array(
            [
                np.allclose(known[i], one, rtol=1e-4)
                for i, one in zip(labels, answers, strict=True)
            ]
        )

    evaluation = Evaluation(requests=requests, labels=np.arange(8), metric=equal)
    before = flops_of(model)
    record = run(model, evaluation)
    assert record.made == ()
    assert [note.reason for note in record.declined] == [
        "any that go cost more than 0.005 of accuracy"
    ]
    assert flops_of(model) == before


def test_where_nothing_is_free_it_says_so(network):
    net = network()
    model = net.model(net.conv("x", 4, 3))
    requests = [{"x": np.ones((1, 4, 6, 6), np.float32)}] * 2
    evaluation = Evaluation(requests=requests, labels=np.zeros(2, np.int64))
    record = run(model, evaluation)
    assert record.made == ()
    assert record.declined[0].reason.startswith("no channel is free")


def test_its_options_are_text():
    (found,) = parse_pipeline("prune-channels{budget=0.01}")
    assert found == PruneChannels(budget=0.01)
    with pytest.raises(PassError, match="budget is a fraction"):
        parse_pipeline("prune-channels{budget=2}")
