"""Files are read without their large weights, and these are what they were."""

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from google.protobuf.message import DecodeError
from onnx import helper

from suture.compiler.mapped import SMALLEST, read_without_weights
from suture.compiler.model import load_model, model_bytes, save_model
from suture.compiler.verify import run_reference
from suture.errors import ModelError

SIZE = SMALLEST // 4


@pytest.fixture
def write(tmp_path):
    """Write a model that adds up constants of given arrays, and hands on the rest."""

    def write(**arrays):
        rng = np.random.default_rng(0)
        tensors = [onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()]
        big = rng.standard_normal(SIZE).astype(np.float32)
        tensors.append(onnx.numpy_helper.from_array(big, "w"))
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", "w"], ["y"], name="add")],
            "net",
            [helper.make_tensor_value_info("x", 1, [SIZE])],
            [helper.make_tensor_value_info("y", 1, [SIZE])],
            tensors,
            doc_string="about",
        )
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
        )
        proto.metadata_props.add(key="k", value="v")
        path = tmp_path / "net.onnx"
        onnx.save(proto, path)
        return path, big

    return write


def lazy(model):
    values = model.graph.initializers.items()
    return {name for name, value in values if isinstance(value.const_value, ir.LazyTensor)}


def test_a_model_is_what_onnx_ir_reads(write):
    path, big = write(small=np.arange(3), text=np.array(["a", "b"]))
    model, theirs = load_model(path), ir.load(path)
    assert lazy(model) == {"w"}
    assert model_bytes(model) == model_bytes(theirs)
    np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), big)
    assert model.metadata_props == {"k": "v"}


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float64, np.int8, np.uint64, np.bool_, ml_dtypes.bfloat16]
)
def test_numbers_of_every_type_that_has_whole_bytes_are_mapped(write, dtype):
    array = np.random.default_rng(1).integers(0, 2, (3, SMALLEST)).astype(dtype)
    path, _ = write(other=array)
    model = load_model(path)
    assert lazy(model) == {"w", "other"}
    found = model.graph.initializers["other"].const_value
    assert (found.dtype.numpy(), found.shape) == (np.dtype(dtype), ir.Shape(array.shape))
    np.testing.assert_array_equal(found.numpy(), array)
    assert found.tobytes() == array.tobytes()


def test_four_bits_a_number_are_read_as_before(write):
    array = np.random.default_rng(1).integers(-8, 8, 4 * SMALLEST).astype(ml_dtypes.int4)
    path, _ = write(other=array)
    model = load_model(path)
    assert lazy(model) == {"w"}
    found = model.graph.initializers["other"].const_value.numpy()
    np.testing.assert_array_equal(found.astype(np.int8), array.astype(np.int8))


def test_a_file_that_takes_its_place_changes_nothing(write, tmp_path):
    path, big = write()
    model = load_model(path)
    other = load_model(path)
    other.graph.initializers["w"].const_value = ir.tensor(np.zeros(SIZE, np.float32), name="w")
    save_model(other, tmp_path / "other.onnx")
    (tmp_path / "other.onnx").replace(path)
    x = {"x": np.zeros(SIZE, np.float32)}
    np.testing.assert_array_equal(run_reference(model, x)["y"], big)
    np.testing.assert_array_equal(run_reference(load_model(path), x)["y"], 0)


def test_a_model_may_be_saved_over_the_file_it_came_from(write):
    path, big = write()
    model = load_model(path)
    save_model(model, path)
    np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), big)
    assert model_bytes(load_model(path)) == model_bytes(model)


def test_a_file_that_ends_too_early_is_told(write):
    path, _ = write()
    whole = path.read_bytes()
    for size in (3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DecodeError, match="Error parsing message"):
            read_without_weights(path)
        with pytest.raises(ModelError, match="not a readable ONNX file"):
            load_model(path)


@pytest.mark.parametrize("content", [b"\x0b\x0c", b"\xff" * 20, b"\x08"])
def test_what_is_no_protobuf_is_told(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        load_model(path)


def test_an_empty_file_holds_no_graph(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="holds no graph"):
        load_model(path)
