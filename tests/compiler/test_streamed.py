"""Files are written a weight at a time, and hold what the serialiser would write."""

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.compiler.mapped import SMALLEST
from suture.compiler.model import load_model, model_bytes, save_model
from suture.compiler.streamed import stream_model
from suture.errors import ModelError

ROWS = SMALLEST // 4


def model_of(*tensors):
    """Return a model that adds its input to a constant, and hands on the others."""
    values = [ir.Value(name=each.name, const_value=each) for each in tensors]
    for value in values:
        tensor = value.const_value
        value.shape, value.type = ir.Shape(tensor.shape), ir.TensorType(tensor.dtype)
        value.metadata_props["of"] = value.name
    x = ir.Value(name="x", shape=values[0].shape, type=values[0].type)
    node = ir.node("Add", [x, values[0]], name="add")
    y = node.outputs[0]
    y.name, y.shape, y.type = "y", x.shape, x.type
    graph = ir.Graph(
        [x],
        [*node.outputs, *values[1:]],
        nodes=[node],
        initializers=values,
        opset_imports={"": 20},
        doc_string="about",
        name="net",
    )
    return ir.Model(graph, ir_version=10, producer_name="tests", metadata_props={"k": "v"})


def tensor(name, dtype=np.float32, rows=ROWS, **given):
    rng = np.random.default_rng(len(name))
    array = rng.integers(-5, 5, (rows, 2)).astype(dtype)
    return ir.Tensor(array, name=name, **given)


@pytest.fixture
def serialised():
    def serialised(model):
        return ir.to_proto(model).SerializeToString(deterministic=True)

    return serialised


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, np.int64, np.int8, np.bool_, ml_dtypes.bfloat16]
)
def test_the_bytes_are_the_serialisers(serialised, dtype):
    large = tensor("large", dtype, SMALLEST, doc_string="a weight", metadata_props={"a": "b"})
    text = ir.StringTensor(np.array([b"t" * SMALLEST]), name="text")
    fourbit = ir.Tensor(
        np.ones((4 * ROWS, 2), ml_dtypes.int4), ir.DataType.INT4, name="fourbit"
    )
    model = model_of(large, tensor("small", rows=3), text, tensor("other"), fourbit)
    pieces = list(stream_model(model))
    assert sum(isinstance(each, memoryview) for each in pieces) == 2
    assert b"".join(pieces) == serialised(model)


def test_a_transposed_array_is_written_in_order(serialised):
    array = np.arange(2 * ROWS, dtype=np.float32).reshape(2, ROWS).T
    model = model_of(ir.Tensor(array, name="w"))
    assert b"".join(stream_model(model)) == serialised(model)


def test_weights_are_not_in_memory_until_they_are_written(tmp_path):
    read = []

    def lazy(name):
        def numbers():
            read.append(name)
            return tensor(name)

        return ir.LazyTensor(numbers, ir.DataType.FLOAT, ir.Shape((ROWS, 2)), name=name)

    seen = []
    for piece in stream_model(model_of(lazy("a"), lazy("b"))):
        if isinstance(piece, memoryview):
            seen.append(tuple(read))
    assert seen == [("a",), ("a", "b")]


def test_what_lies_beside_becomes_part_of_the_file(tmp_path):
    model = model_of(tensor("w"), tensor("v", rows=2))
    ir.save(model.clone(), tmp_path / "beside.onnx", external_data="weights.bin")
    save_model(load_model(tmp_path / "beside.onnx"), tmp_path / "one.onnx")
    (tmp_path / "weights.bin").unlink()
    onnx.checker.check_model(tmp_path / "one.onnx")
    found = load_model(tmp_path / "one.onnx").graph.initializers
    for name, value in model.graph.initializers.items():
        np.testing.assert_array_equal(
            found[name].const_value.numpy(), value.const_value.numpy()
        )


def test_more_than_protobuf_takes_is_told():
    def never():
        raise AssertionError("read")

    huge = ir.LazyTensor(never, ir.DataType.FLOAT, ir.Shape((1 << 29,)), name="huge")
    with pytest.raises(ModelError, match="does not fit into one file"):
        model_bytes(model_of(huge))
