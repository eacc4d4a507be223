from pathlib import Path

import numpy as np
import pytest

from suture.codegen.choose.effort import chooser_of
from suture.codegen.choose.model import BoostedTrees, ByModel
from suture.codegen.processor import tvm_target
from suture.compiler.cost.plugin import DEFAULT, find_cost_model
from suture.compiler.target import lambda_x86_64
from suture.errors import Location, PluginError


class Backwards:
    """Expects of the last what others expect of the first."""

    name = "backwards"

    def open(self, learned):
        return self

    def knows(self, kernel):
        return True

    def predict(self, kernels):
        return np.arange(len(kernels), 0, -1.0)


def test_ours_is_found_and_opens_what_ships():
    found = find_cost_model(DEFAULT)
    assert found == BoostedTrees()
    assert "gemm" in found.open(None).rules
    assert found.open(Path("none.npz")).rules == found.open(None).rules


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("boosted-tree", "no cost model 'boosted-tree' is installed; did you mean"),
        ("boosted-trees{depth=3}", "has no option 'depth'"),
        ("boosted trees", "is not of the form name{key=value}"),
    ],
)
def test_one_that_is_not_there_is_told(spec, message):
    with pytest.raises(PluginError) as caught:
        find_cost_model(spec)
    assert message in caught.value.message
    assert caught.value.at == Location("--cost-model", spec)
    assert caught.value.hint == "suture plugins lists what is installed"


@pytest.mark.parametrize("effort", [1, 2, 3])
def test_a_chooser_asks_the_one_it_is_given(effort):
    chooser = chooser_of(effort, tvm_target(lambda_x86_64()), None, Backwards())
    ranking = chooser if effort == 1 else chooser.ranking
    assert isinstance(ranking, ByModel)
    assert isinstance(ranking.model, Backwards)
