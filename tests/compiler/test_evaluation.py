import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.evaluation import Evaluation, greatest_entry


@pytest.fixture
def evaluation():
    rng = np.random.default_rng(0)
    requests = [{"x": rng.standard_normal((1, 3), np.float32)} for _ in range(9)]
    labels = np.array([int(each["x"].argmax()) for each in requests])
    labels[4] += 1
    return Evaluation(requests=requests, labels=labels)


def test_the_greatest_entry_is_the_answer(evaluation):
    x = ir.Value(name="x", shape=ir.Shape([1, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    double = ir.node("Add", [x, x])
    double.outputs[0].name = "y"
    double.outputs[0].type, double.outputs[0].shape = x.type, x.shape
    graph = ir.Graph([x], double.outputs, nodes=[double], opset_imports={"": 18}, name="g")
    hits = evaluation.hits(ir.Model(graph, ir_version=10))
    assert hits.tolist() == [True] * 4 + [False] + [True] * 4


def test_halves_have_no_sample_in_common(evaluation):
    first, second = evaluation.halves(np.random.default_rng(1))
    assert (len(first), len(second)) == (5, 4)
    seen = [id(each) for half in (first, second) for each in half.requests]
    assert sorted(seen) == sorted(map(id, evaluation.requests))
    assert greatest_entry([np.array([[0, 2]])], np.array([1])).all()
