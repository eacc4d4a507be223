import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.model import load_model, model_bytes
from suture.compiler.verify import run_reference
from suture.errors import PassError, SutureError, VerifyError
from suture.passes.base import GraphPass, PassResult
from suture.passes.failure import ACCOUNT, INPUTS, MODEL, FailureFolder
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

REQUEST = {"x": np.float32([1, -2, 3, 4])}


@dataclass(frozen=True)
class Wrong(GraphPass):
    """Changes a weight, in the graph and not in the numbers it shares with the copy."""

    name: ClassVar[str] = "wrong"
    by: float = 2.0

    def apply(self, model, ctx):
        value = model.graph.initializers["k"]
        value.const_value = ir.tensor(
            value.const_value.numpy() * np.float32(self.by), name="k"
        )
        return PassResult(model)


@dataclass(frozen=True)
class Halfway(GraphPass):
    """Fails after it has taken the graph apart."""

    name: ClassVar[str] = "halfway"

    def apply(self, model, ctx):
        for node in reversed(model.graph):
            model.graph.remove(node)
            if node.op_type == "Mul":
                raise RuntimeError("oh")


@pytest.fixture
def model(parse):
    return parse(
        "g (float[4] x) => (float[4] y) { i = Identity(x) [mul] t = Mul(i, k) y = Relu(t) }",
        k=np.float32([1, 2, 3, 4]),
    )


@pytest.mark.parametrize(
    ("wrong", "kind"), [(Wrong(), VerifyError), (Halfway(), PassError)], ids=str
)
def test_the_model_before_it_is_kept_with_what_it_takes_to_try_again(
    model, tmp_path, wrong, kind
):
    folder = FailureFolder(tmp_path / "out" / "failed", REQUEST)
    answer = run_reference(model, REQUEST)["y"]
    passes = (*parse_pipeline("remove-identities"), wrong, *parse_pipeline("prune-dead-nodes"))
    with pytest.raises(kind) as caught:
        PassManager(passes, [VerifyingObserver(REQUEST)], folder).run(model)
    assert str(folder.path / MODEL) in caught.value.hint
    assert f"--passes '{wrong}'" in caught.value.hint
    assert sorted(path.name for path in folder.path.iterdir()) == [MODEL, ACCOUNT, INPUTS]
    kept = load_model(folder.path / MODEL)
    assert [node.op_type for node in kept.graph] == ["Mul", "Relu"]
    np.testing.assert_array_equal(run_reference(kept, REQUEST)["y"], answer)
    with np.load(folder.path / INPUTS) as inputs:
        np.testing.assert_array_equal(inputs["x"], REQUEST["x"])
    account = json.loads((folder.path / ACCOUNT).read_text("utf-8"))
    assert account["pass"] == str(wrong)
    assert account["pipeline"] == list(map(str, passes))
    assert account["node"] == "mul"
    assert account["error"] == caught.value.message
    assert [path.name for path in folder.path.parent.iterdir()] == ["failed"]


def test_a_later_failure_takes_the_place_of_an_earlier_one(model, tmp_path):
    folder = FailureFolder(tmp_path / "failed")
    folder.path.mkdir()
    (folder.path / "old").write_text("old")
    before = model_bytes(model)
    with pytest.raises(SutureError):
        PassManager([Halfway()], failed=folder).run(model)
    assert sorted(path.name for path in folder.path.iterdir()) == [MODEL, ACCOUNT]
    assert (folder.path / MODEL).read_bytes() == before


def test_nothing_is_kept_where_nothing_fails(model, tmp_path):
    folder = FailureFolder(tmp_path / "failed")
    PassManager(parse_pipeline("exact"), failed=folder).run(model)
    assert not folder.path.exists()


def test_a_folder_that_cannot_be_written_is_told_with_what_failed(model, tmp_path):
    (tmp_path / "file").write_text("")
    folder = FailureFolder(tmp_path / "file" / "failed")
    with pytest.raises(PassError, match=r"oh; and the model before it cannot be kept"):
        PassManager([Halfway()], failed=folder).run(model)
