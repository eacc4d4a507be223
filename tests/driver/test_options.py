"""What a build's options tell passes about time."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from suture.codegen.choose.model import MODEL
from suture.codegen.choose.nodes import KernelTimes
from suture.compiler.cost.nodes import NodeRoofline, as_it_is
from suture.compiler.cost.records import Records
from suture.compiler.target import find_target
from suture.driver.compiling import compile_model
from suture.driver.options import Options
from suture.driver.rewriting import Rewriting
from suture.errors import SutureError
from suture.passes.pipeline import parse_pipeline

TEXT = """<ir_version: 10, opset_import: ["": 18]>
    g (float[1,3,64,48] x) => (float[1,8,32,24] y) { a = Conv<pads=[1,1,1,1]>(x, w) b = Relu(a)
    y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b) }"""


@dataclass(frozen=True)
class Slow:
    """A cost model by which every kernel takes a second; knows from where it was opened."""

    name: ClassVar[str] = "slow"

    def __post_init__(self):
        object.__setattr__(self, "opened", [])
        object.__setattr__(self, "asked", [])

    def open(self, learned):
        self.opened.append(learned)
        return self

    def knows(self, kernel):
        return True

    def predict(self, kernels):
        self.asked.extend(kernels)
        return np.full(len(kernels), 1e6)


@pytest.fixture
def proto():
    made = onnx.parser.parse_model(TEXT)
    weights = np.random.default_rng(0).normal(0, 1, (8, 3, 3, 3)).astype(np.float32)
    made.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return onnx.shape_inference.infer_shapes(made)


@pytest.mark.parametrize(("effort", "learned"), [(0, None), (1, "cache")])
def test_passes_are_told_by_the_cost_model_of_the_build(proto, effort, learned):
    slow, model = Slow(), ir.from_proto(proto)
    options = Options(cache=Path("cache"), effort=effort, cost=slow)
    cost_of = options.cost_of(find_target("lambda-x86_64"))
    assert slow.opened == []  # before somebody asks
    conv = next(iter(model.graph))
    assert cost_of(model).microseconds([as_it_is(conv)]) == [1e6]
    assert slow.opened == [Path(learned) / MODEL if learned else None]


def test_what_was_learned_here_does_not_count_at_effort_0(proto, tmp_path):
    (tmp_path / MODEL).write_bytes(b"no model")
    target, model = find_target("lambda-x86_64"), ir.from_proto(proto)
    assert isinstance(Options(cache=tmp_path).cost_of(target)(model), KernelTimes)
    with pytest.raises(SutureError, match="not a cost model of this version"):
        Options(cache=tmp_path, effort=1).cost_of(target)(model)


def test_of_onnx_runtime_nothing_better_than_the_roofline_is_known(proto):
    options = Options(cache=Path("cache"), backend="ort")
    cost = options.cost_of(find_target("lambda-x86_64"))(ir.from_proto(proto))
    assert isinstance(cost, NodeRoofline)


def test_a_build_hands_it_to_its_passes(proto, cache, tmp_path):
    slow, path = Slow(), tmp_path / "net.onnx"
    onnx.save(proto, path)
    passes = parse_pipeline("tile-spatial{memory-mb=0.05}")
    made = compile_model(
        path,
        [find_target("lambda-x86_64")],
        tmp_path / "out",
        bind={},
        inputs=None,
        options=Options(
            cache=cache,
            backend="tvm",
            rounds=1,
            cost=slow,
            rewriting=Rewriting(passes=passes),
        ),
        records=Records(tmp_path / "records.sqlite"),
        say=lambda _: None,
    )
    (record,) = made.built[0].rewritten.records
    assert slow.asked
    assert record.made == ()
    assert "would be expected to take" in record.declined[0].reason
