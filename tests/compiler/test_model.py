import os
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.compiler.model import (
    bind_symbols,
    free_symbols,
    infer_shapes,
    load_model,
    model_bytes,
    opset_of,
    save_model,
    shape_of,
)
from suture.compiler.session import open_session
from suture.errors import BackendError, ModelError

CHAIN = """net (float[N,4] x) => (float[N,3] y) <float[4,3] w>
    { a = Relu(x) [fc] b = MatMul(a, w) y = Softmax(b) }"""
DUMP = """
import hashlib, sys
from pathlib import Path
from suture.compiler.model import load_model, model_bytes
print(hashlib.sha256(model_bytes(load_model(Path(sys.argv[1])))).hexdigest())
"""


def shapes(model):
    return {v.name: list(shape_of(v)) for node in model.graph for v in node.outputs}


def test_loads(write):
    model = load_model(write(CHAIN, opset=17))
    assert [node.op_type for node in model.graph] == ["Relu", "MatMul", "Softmax"]
    assert opset_of(model) == 17
    assert free_symbols(model) == ("N",)


def test_weights_leave_the_inputs(write, proto):
    path = write(CHAIN)
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [4, 3]))
    path.write_bytes(model.SerializeToString())
    loaded = load_model(path)
    assert [value.name for value in loaded.graph.inputs] == ["x"]
    assert list(loaded.graph.initializers) == ["w"]


@pytest.mark.parametrize("name", ["gone.onnx", "."])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(ModelError, match="no such file") as caught:
        load_model(tmp_path / name)
    assert caught.value.at.component == str(tmp_path / name)


@pytest.mark.parametrize("content", [b"not a model at all", bytes(range(256))])
def test_a_corrupt_file(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a readable ONNX file") as caught:
        load_model(path)
    assert caught.value.at.component == str(path)
    assert "download" in caught.value.hint


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_file(write, part):
    path = write(CHAIN)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        load_model(path)


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match="the file holds no graph"):
        load_model(tmp_path / "empty.onnx")


def test_external_data_beside_the_model(write_external, tmp_path):
    path = write_external("data/w.bin")
    (tmp_path / "data").mkdir()
    weights = np.array([1.5, -2], np.float32)
    (tmp_path / "data" / "w.bin").write_bytes(weights.tobytes())
    weight = load_model(path).graph.initializers["w"].const_value
    np.testing.assert_array_equal(weight.numpy(), weights)


@pytest.mark.parametrize("location", ["../w.bin", "data/../../w.bin", "{absolute}"])
def test_external_data_that_leaves_its_folder(write_external, tmp_path, location):
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (tmp_path / "in" / "data").mkdir(parents=True)
    location = location.format(absolute=tmp_path / "w.bin")
    with pytest.raises(ModelError, match="outside the model's folder") as caught:
        load_model(write_external(location, "in/model.onnx"))
    assert location in caught.value.message
    assert str(caught.value.at) == "model.onnx/w"
    assert "beside it" in caught.value.hint


def test_external_data_that_leaves_by_a_link(write_external, tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(8))
    path = write_external("w.bin", "in/model.onnx")
    (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(ModelError, match="outside the model's folder"):
        load_model(path)


def test_external_data_that_is_missing(write_external):
    with pytest.raises(ModelError, match=r"'w\.bin' is missing") as caught:
        load_model(write_external())
    assert str(caught.value.at) == "model.onnx/w"


@pytest.mark.parametrize(("name", "place"), [("[odd] ", "odd"), ("", "t")])
def test_an_unknown_operator_is_named_with_its_node(write, name, place):
    path = write(f"g (float[2] x) => (float[2] y) {{ {name}t = Bogus(x) y = Relu(t) }}")
    with pytest.raises(BackendError, match="'Bogus' is not in ONNX operator set 18") as caught:
        load_model(path)
    assert str(caught.value.at) == f"model.onnx/{place}"
    assert "export the model again" in caught.value.hint


def test_an_unknown_operator_in_a_branch(write):
    path = write("""g (bool c, float[2] x) => (float[2] y) { y = If (c) <
        then_branch = a () => (float[2] p) { [deep] p = Bogus(x) },
        else_branch = b () => (float[2] q) { q = Relu(x) }> }""")
    with pytest.raises(BackendError, match="'Bogus' is not in ONNX") as caught:
        load_model(path)
    assert caught.value.at.node == "deep"


def test_an_operator_newer_than_the_imported_set(write):
    path = write("g (float[2] x) => (float[2] y) { y = Gelu(x) }", opset=19)
    with pytest.raises(BackendError, match="'Gelu' is not in ONNX operator set 19"):
        load_model(path)


def test_operators_of_other_domains_are_left_to_the_backends(write, proto):
    path = write("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    model = onnx.load(path)
    model.graph.node[0].op_type, model.graph.node[0].domain = "Own", "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    path.write_bytes(model.SerializeToString())
    assert load_model(path).graph[0].op_type == "Own"
    with pytest.raises(BackendError, match=r"ONNX Runtime .* cannot load it"):
        open_session(path)


def test_symbols_are_bound_everywhere(parse):
    model = parse(CHAIN)
    bind_symbols(model, {"N": 5, "unused": 9})
    assert shapes(model) == {"a": [5, 4], "b": [5, 3], "y": [5, 3]}
    assert free_symbols(model) == ()


def test_symbols_without_a_size_stay_free(parse):
    model = parse("g (float[N,M] x, float[N,M] y) => (float[N,M] z) { z = Add(x, y) }")
    assert free_symbols(model) == ("N", "M")
    bind_symbols(model, {"M": 2})
    assert [shape_of(value) for value in model.graph.inputs] == [("N", 2)] * 2
    assert shape_of(model.graph.outputs[0]) == ("N", 2)


def test_unnamed_dimensions_get_names(parse):
    model = parse("g (float[?,4,?] x) => (float[?,4,?] y) { y = Relu(x) }")
    assert free_symbols(model) == ("x_0", "x_2")
    bind_symbols(model, {"x_0": 3, "x_2": 7})
    assert shapes(model) == {"y": [3, 4, 7]}


def test_a_value_without_a_rank(parse):
    with pytest.raises(ModelError, match="has no rank") as caught:
        shape_of(ir.Value(name="v"))
    assert caught.value.at.component == "v"


def test_stale_shapes_are_inferred_anew(parse):
    model = parse("g (float[2,3] x) => (float[3,2] y) { t = Transpose(x) y = Relu(t) }")
    model.graph[0].outputs[0].shape = ir.Shape([7, 7])
    infer_shapes(model)
    assert shapes(model) == {"t": [3, 2], "y": [3, 2]}


def test_a_stale_shape_that_cannot_be_inferred_is_forgotten(parse):
    model = parse("g (float[2] x) => (float[2] y) { t = com.example.Own(x) y = Relu(t) }")
    model.graph[0].outputs[0].shape = ir.Shape([7, 7])
    infer_shapes(model)
    assert model.graph[0].outputs[0].shape is None
    assert shape_of(model.graph.outputs[0]) == (2,)


def test_a_shape_that_is_computed_is_inferred(parse):
    model = parse("""g (float[2,3,4] x) => (float[A,B] y) <int64[1] first = {0}>
        { s = Shape(x) n = Gather(s, first) rest = Constant<value = int64[1] {-1}>()
          to = Concat<axis = 0>(n, rest) y = Reshape(x, to) }""")
    infer_shapes(model)
    assert shapes(model)["y"] == [2, 12]


def test_an_output_keeps_its_declared_shape_where_nothing_is_inferred(parse):
    model = parse("g (float[2] x) => (float[4,5] y) { y = com.example.Own(x) }")
    infer_shapes(model)
    assert shapes(model) == {"y": [4, 5]}


def test_an_output_keeps_the_declared_sizes_that_are_not_inferred(parse):
    model = parse("g (float[3,4] x, int64[2] s) => (float[4,3] y) { y = Reshape(x, s) }")
    infer_shapes(model)
    assert shapes(model) == {"y": [4, 3]}


def test_equal_models_give_equal_bytes_in_another_process(digits, tmp_path):
    path = digits / "library" / "digit-cnn-small" / "1.0.0" / "model.onnx"
    told = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", DUMP, path]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        told.add(done.stdout)
    assert len(told) == 1
    model = load_model(path)
    save_model(model, tmp_path / "copy.onnx")
    assert (tmp_path / "copy.onnx").read_bytes() == model_bytes(model)
    assert model_bytes(load_model(tmp_path / "copy.onnx")) == model_bytes(model)


def test_what_is_saved_computes_the_same(write, tmp_path):
    path = write(CHAIN)
    save_model(load_model(path), tmp_path / "copy.onnx")
    x = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    first, second = (
        open_session(p).run(None, {"x": x}) for p in (path, tmp_path / "copy.onnx")
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("made", ["SequenceConstruct(x, x)", "SplitToSequence(x)"])
def test_inference_leaves_sequences_alone(made):
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    g (float[2] x, int64 p) => (float[N] y) {{
        s = {made}
        e = SequenceErase(s, p)
        y = SequenceAt(e, p)
    }}"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    infer_shapes(model)
    onnx.shape_inference.infer_shapes(ir.to_proto(model), check_type=True, strict_mode=True)


def test_inference_leaves_sequences_alone_that_branches_make():
    """The If itself makes a sequence then; so does a Loop whose body's results are some."""
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[2] x, bool c, int64 p, int64 n) => (float[2] y) {
        s = If(c)<then_branch = a () => (seq(float[2]) t) { t = SequenceConstruct(x, x) },
            else_branch = b () => (seq(float[2]) e) { e = SequenceConstruct(x) }>
        l = Loop(n, c, s)<body = d (int64 i, bool k, seq(float[2]) v) =>
            (bool k2, seq(float[2]) w) { k2 = Identity(k) w = SequenceInsert(v, x) }>
        y = SequenceAt(l, p)
    }"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    infer_shapes(model)
    onnx.shape_inference.infer_shapes(ir.to_proto(model), check_type=True, strict_mode=True)
