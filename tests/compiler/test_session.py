import json

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from suture.compiler.model import load_model, model_bytes
from suture.compiler.session import LENT, lend_weights, open_session
from suture.compiler.verify import run_reference
from suture.errors import BackendError

TEXT = """named (float[N,4] x) => (float[N,3] y) <float[4,3] w>
    { i = Identity(x) a = MatMul(i, w) y = Relu(a) }"""


def traced_operators(session, x):
    session.run(None, {"x": x})
    with open(session.end_profiling()) as stream:
        events = json.load(stream)
    return {e["args"]["op_name"] for e in events if "op_name" in e.get("args", {})}


@pytest.fixture
def x():
    return np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32)


def test_a_model_and_its_file_compute_the_same(write, x):
    path = write(TEXT)
    model = load_model(path)
    weights = model.graph.initializers["w"].const_value.numpy()
    expected = np.maximum(x @ weights, 0)
    for source in (path, model):
        session = open_session(source)
        assert [value.name for value in session.get_inputs()] == ["x"]
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5)


def test_a_file_may_have_data_beside_it(write_external, tmp_path):
    (tmp_path / "w.bin").write_bytes(np.array([3, 4], np.float32).tobytes())
    session = open_session(write_external("w.bin"))
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(2, np.float32)})[0], [4, 5])


def test_the_graph_is_left_alone_on_demand(write, x, tmp_path):
    path = write(TEXT)
    plain = open_session(path, optimize=False, trace=tmp_path / "plain")
    assert traced_operators(plain, x) == {"Identity", "MatMul", "Relu"}
    better = open_session(path, trace=tmp_path / "better")
    assert "Identity" not in traced_operators(better, x)


def test_a_trace_is_written_only_where_asked_for(write, x, tmp_path):
    path = write(TEXT)
    open_session(path).run(None, {"x": x})
    assert list(tmp_path.iterdir()) == [path]
    traced_operators(open_session(path, trace=tmp_path / "trace"), x)
    (trace,) = set(tmp_path.iterdir()) - {path}
    assert trace.name.startswith("trace")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(write, threads):
    options = open_session(write(TEXT), threads=threads).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)


def test_what_onnx_runtime_refuses_names_the_model(write, parse):
    text = "named (float[3,4] x) => (float[3,3] y) { y = MatMul(x, x) }"
    path = write(text)
    for source, place in ((path, str(path)), (parse(text), "named")):
        with pytest.raises(
            BackendError, match=r"ONNX Runtime [\d.]+ cannot load it"
        ) as caught:
            open_session(source)
        assert caught.value.at.component == place


LENT_SIZE = LENT // 4
VECTOR = f"float[{LENT_SIZE}]"
BRANCHES = (
    '<ir_version: 10, opset_import: ["": 18]>'
    f" g ({VECTOR} x, bool c) => ({VECTOR} y)"
    " { a = Add(x, w) m = Mul(a, small) y = If(c) <then_branch ="
    f" t () => ({VECTOR} p) {{ p = Sub(m, w) }}, else_branch ="
    f" e () => ({VECTOR} q) {{ q = Neg(m) }}> }}"
)


@pytest.fixture
def large():
    model = ir.from_proto(onnx.parser.parse_model(BRANCHES))
    rng = np.random.default_rng(0)
    for name, size in (("w", LENT_SIZE), ("small", 1)):
        array = rng.standard_normal(size).astype(np.float32)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        model.graph.register_initializer(value)
    proto = ir.to_proto(model)
    return ir.from_proto(proto)


@pytest.mark.parametrize("branch", [True, False])
def test_with_weights_lent_the_answer_is_the_same(large, branch):
    inputs = {"x": np.random.default_rng(1).standard_normal(LENT_SIZE, np.float32)}
    inputs["c"] = np.array(branch)
    (wanted,) = open_session(large, optimize=False).run(None, inputs)
    np.testing.assert_array_equal(run_reference(large, inputs)["y"], wanted)


def test_only_large_ones_are_lent_and_the_model_stays(large):
    before = model_bytes(large)
    bare, lent = lend_weights(large)
    assert set(lent) == {"w"}
    assert set(bare.graph.initializers) == {"small"}
    assert [value.name for value in bare.graph.inputs] == ["x", "c", "w"]
    assert model_bytes(large) == before
    assert len(model_bytes(bare)) < LENT


def test_what_is_an_output_is_not_lent(large):
    large.graph.outputs.append(large.graph.initializers["w"])
    bare, lent = lend_weights(large)
    assert lent == {}
    assert set(bare.graph.initializers) == {"w", "small"}
