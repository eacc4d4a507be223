from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.compiler.model import load_model, model_bytes
from suture.compiler.verify import RTOL, run_reference
from suture.errors import Location, VerifyError
from suture.passes.base import GraphPass, Note, PassResult
from suture.passes.manager import PassManager
from suture.passes.observers import DumpingObserver, MeasuringObserver, VerifyingObserver
from suture.passes.pipeline import parse_pipeline

INPUTS = {"x": np.float32([[1, -2, 3, 4]])}


@dataclass(frozen=True)
class Scale(GraphPass):
    """A wrong pass: multiplies a weight."""

    name: ClassVar[str] = "scale"
    by: float = 2.0

    def apply(self, model, ctx):
        value = model.graph.initializers["k"]
        numbers = value.const_value.numpy() * self.by
        value.const_value = ir.tensor(numbers.astype(np.float32), name="k")
        return PassResult(model, made=(Note(Location("g", "mul"), "scaled"),))


@pytest.fixture
def model(parse):
    return parse(
        "g (float[1,4] x) => (float[1,4] y)"
        " { [i] t = Identity(x) [mul] u = Mul(t, k) [relu] y = Relu(u) dead = Exp(x) }",
        k=np.float32([1, 2, 3, 5]),
    )


def test_a_sound_pipeline_is_verified_to_a_small_difference(model):
    verifier = VerifyingObserver(INPUTS, rtol=1e-5)
    PassManager(parse_pipeline("exact"), [verifier]).run(model)
    assert verifier.worst <= 1e-5
    assert [node.op_type for node in model.graph] == ["Mul", "Relu"]


def test_the_pass_that_changes_the_answer_is_named_not_its_neighbours(model):
    passes = (*parse_pipeline("remove-identities"), Scale(1.01), *parse_pipeline("exact"))
    with pytest.raises(VerifyError) as caught:
        PassManager(passes, [VerifyingObserver(INPUTS)]).run(model)
    assert caught.value.at == Location("scale{by=1.01}", "mul", "y")
    assert "at [0, 3], 1.00e-02 of the output's magnitude" in caught.value.message
    assert (
        caught.value.hint == "leave the pass out with --passes, and report it with the model"
    )


@pytest.mark.parametrize(("rtol", "passes"), [(1e-5, False), (RTOL, True)])
def test_the_tolerance_decides(model, rtol, passes):
    verifier = VerifyingObserver(INPUTS, rtol=rtol)
    manager = PassManager([Scale(1 + 5e-5)], [verifier])
    if passes:
        manager.run(model)
        assert verifier.worst == pytest.approx(5e-5, rel=0.01)
    else:
        with pytest.raises(VerifyError, match="scale"):
            manager.run(model)


def test_the_worst_difference_over_all_passes_is_kept(model):
    verifier = VerifyingObserver(INPUTS)
    PassManager([Scale(1 + 6e-5), Scale(1 - 2e-5)], [verifier]).run(model)
    assert verifier.worst == pytest.approx(6e-5, rel=0.02)


def test_small_drifts_of_many_passes_are_each_within_tolerance(model):
    """Every pass is compared to the one before, so the error names one pass."""
    verifier = VerifyingObserver(INPUTS)
    PassManager([Scale(1 + 6e-5)] * 3, [verifier]).run(model)
    assert verifier.worst < RTOL


@pytest.mark.parametrize("neighbours", ["", "prune-dead-nodes"])
def test_a_wrong_pass_that_says_nothing_of_itself_is_named(model, neighbours):
    @dataclass(frozen=True)
    class Silent(Scale):
        name: ClassVar[str] = "silent"

        def apply(self, model, ctx):
            return PassResult(super().apply(model, ctx).model)

    passes = (Silent(), *parse_pipeline(neighbours))
    with pytest.raises(VerifyError) as caught:
        PassManager(passes, [VerifyingObserver(INPUTS)]).run(model)
    assert caught.value.at == Location("silent{by=2.0}", "mul", "y")


def test_a_pass_that_leaves_what_no_runtime_loads_is_named(model):
    @dataclass(frozen=True)
    class Cut(GraphPass):
        name: ClassVar[str] = "cut"

        def apply(self, model, ctx):
            model.graph[1].domain = "nobody"
            model.opset_imports["nobody"] = 1
            return PassResult(model, made=(Note(Location("g"), "cut"),))

    with pytest.raises(VerifyError, match="ONNX Runtime") as caught:
        PassManager([Cut()], [VerifyingObserver(INPUTS)]).run(model)
    assert caught.value.at == Location("cut")


@dataclass(frozen=True)
class Approximate(Scale):
    """A pass with a budget of accuracy, which it is trusted to keep."""

    name: ClassVar[str] = "approximate"
    exact: ClassVar[bool] = False


def test_a_pass_that_is_not_exact_may_change_answers(model):
    verifier = VerifyingObserver(INPUTS)
    passes = [Approximate(), *parse_pipeline("remove-identities")]
    PassManager(passes, [verifier]).run(model)
    assert verifier.worst == 0


def test_a_pass_that_is_not_exact_may_lose_no_number(model):
    with pytest.raises(VerifyError, match="no longer finite") as caught:
        PassManager([Approximate(float("inf"))], [VerifyingObserver(INPUTS)]).run(model)
    assert caught.value.at == Location("approximate{by=inf}", "mul", "y")


def test_half_precision_has_the_tolerance_of_its_type(parse):
    rng = np.random.default_rng(0)
    weights = {"w": (4, 3, 3, 3), **dict.fromkeys(("gamma", "beta", "mean", "var"), (4,))}
    model = parse(
        "g (float16[1,3,5,5] x) => (float16[1,4,3,3] y)"
        " { t = Conv(x, w) y = BatchNormalization(t, gamma, beta, mean, var) }",
        **{name: rng.uniform(0.5, 1, of).astype(np.float16) for name, of in weights.items()},
    )
    verifier = VerifyingObserver({"x": rng.standard_normal((1, 3, 5, 5)).astype(np.float16)})
    PassManager(parse_pipeline("fold-batch-norm"), [verifier]).run(model)
    assert [node.op_type for node in model.graph] == ["Conv"]
    assert RTOL < verifier.worst < 4 * np.finfo(np.float16).eps


def test_inputs_that_do_not_fit_are_told_before_any_pass(model):
    verifier = VerifyingObserver({"x": np.zeros((1, 5), np.float32)})
    with pytest.raises(VerifyError) as caught:
        PassManager(parse_pipeline("exact"), [verifier]).run(model)
    assert caught.value.hint == "give inputs that fit it with --input"
    assert len(model.graph) == 4


def test_dumps_the_model_as_each_pass_leaves_it(model, tmp_path):
    text = "remove-identities,fold-constants{limit=4},prune-dead-nodes"
    start = model_bytes(model)
    folder = tmp_path / "deep" / "dump"
    PassManager(parse_pipeline(text), [DumpingObserver(folder)]).run(model)
    assert sorted(path.name for path in folder.iterdir()) == [
        "00-input.onnx",
        "01-remove-identities.onnx",
        "02-fold-constants.onnx",
        "03-prune-dead-nodes.onnx",
    ]
    assert (folder / "00-input.onnx").read_bytes() == start
    assert (folder / "03-prune-dead-nodes.onnx").read_bytes() == model_bytes(model)
    counts = [len(onnx.load(path).graph.node) for path in sorted(folder.iterdir())]
    assert counts == [4, 3, 3, 2]


def test_dumped_models_run(model, tmp_path):
    PassManager(parse_pipeline("exact"), [DumpingObserver(tmp_path)]).run(model)
    want = run_reference(model, INPUTS)["y"]
    dumps = sorted(tmp_path.glob("*.onnx"))
    assert len(dumps) == len(parse_pipeline("exact")) + 1
    for path in dumps:
        np.testing.assert_array_equal(run_reference(load_model(path), INPUTS)["y"], want)


def test_what_a_broken_pass_left_is_not_dumped_but_what_it_got_is(model, tmp_path):
    @dataclass(frozen=True)
    class Break(GraphPass):
        name: ClassVar[str] = "break"

        def apply(self, model, ctx):
            raise RuntimeError("oh")

    passes = (*parse_pipeline("remove-identities"), Break())
    with pytest.raises(Exception, match="break: the pass failed: RuntimeError: oh"):
        PassManager(passes, [DumpingObserver(tmp_path)]).run(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00-input.onnx",
        "01-remove-identities.onnx",
    ]


def test_measures_what_came_and_went(parse):
    weights = {"w": (4, 3, 3, 3), **dict.fromkeys(("gamma", "beta", "mean", "var"), (4,))}
    model = parse(
        "g (float[1,3,5,5] x) => (float[1,4,3,3] y)"
        " { i = Identity(x) t = Conv(i, w)"
        " y = BatchNormalization(t, gamma, beta, mean, var) }",
        **weights,
    )
    watch = MeasuringObserver()
    passes = parse_pipeline("remove-identities,fold-batch-norm,prune-dead-nodes")
    records = PassManager(passes, [watch]).run(model)
    assert [each.name for each in watch.found] == [record.name for record in records]
    assert [each.seconds for each in watch.found] == [record.seconds for record in records]
    first, second, third = watch.found
    assert (first.operators, first.weight_bytes) == ({"Identity": -1}, 0)
    assert second.operators == {"BatchNormalization": -1}
    assert third.operators == {}
    assert second.weight_bytes + third.weight_bytes == 4 * (4 - 4 * 4)  # a bias for statistics
