"""What makes a model another one, as far as types are concerned."""

import numpy as np
import onnx_ir as ir
import pytest

from suture.passes.signature import Signature

NET = """g (float[2,6] x, bool k) => (float[3,4] y) { a = Relu(x) r = Reshape(a, s)
    y = If (k) <then_branch = t () => (float[3,4] u) { u = Neg(r) },
                else_branch = e () => (float[3,4] v) { v = Softmax<axis=1>(r) }> }"""


def node(model, op):
    return next(node for node in model.graph.all_nodes() if node.op_type == op)


def replace_output(model):
    relu = node(model, "Relu")
    made = ir.node("Relu", relu.inputs)
    model.graph.insert_after(relu, made)
    relu.outputs[0].replace_all_uses_with(made.outputs[0])
    model.graph.remove(relu, safe=True)


def set_axis(model):
    node(model, "Softmax").attributes["axis"] = ir.AttrInt64("axis", 0)


def write_over_sizes(model):
    model.graph.initializers["s"].const_value.numpy()[:] = [4, 3]


CHANGES = {
    "an attribute in a branch": set_axis,
    "an operator": lambda m: setattr(node(m, "Neg"), "op_type", "Abs"),
    "a name": lambda m: setattr(node(m, "Relu").outputs[0], "name", "other"),
    "a type": lambda m: setattr(node(m, "Neg").outputs[0], "dtype", ir.DataType.DOUBLE),
    "a size": lambda m: setattr(m.graph.inputs[0], "shape", ir.Shape([2, 7])),
    "another node of the same kind": replace_output,
    "another constant": lambda m: setattr(
        m.graph.initializers["s"], "const_value", ir.tensor(np.array([3, 4]))
    ),
    "numbers of a small constant, in place": write_over_sizes,
    "an operator set": lambda m: m.opset_imports.__setitem__("", 21),
    "an input fewer": lambda m: node(m, "If").replace_input_with(0, None),
}


@pytest.fixture
def model(parse):
    model = parse(NET, s=np.array([3, 4], np.int64))
    sizes = model.graph.initializers["s"]
    sizes.const_value = ir.tensor(sizes.const_value.numpy().copy())
    return model


def test_nothing_changed(model):
    assert Signature.of(model).same(Signature.of(model))


@pytest.mark.parametrize("change", CHANGES)
def test_something_changed(model, change):
    before = Signature.of(model)
    CHANGES[change](model)
    assert not Signature.of(model).same(before)


def test_a_copy_is_another_model(model):
    assert not Signature.of(model.clone()).same(Signature.of(model))
