from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from suture.compiler.component import Port
from suture.compiler.library import Library, describe
from suture.compiler.link import link
from suture.compiler.model import load_model, model_bytes, opset_of
from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.compiler.plan.execute import Executor
from suture.compiler.plan.search import search
from suture.compiler.task import read_task
from suture.errors import LinkError

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
RAW = Port(name=INPUT, kind="tensor", dtype="float32", shape=(2, 4))
NUMBERS = np.random.default_rng(3).standard_normal((2, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def library():
    task = read_task(DIGITS / "task.toml")
    return task, {component.ref: component for component in Library(Path(task.library))}


@pytest.fixture
def made(write):
    """A component of a graph in a given operator set."""

    def made(name, text, opset=18):
        return describe(write(text, f"{name}.onnx", opset), name=name)

    return made


def chain(*components, ids=None):
    """The plan that runs components one after the other, first port to first port."""
    steps, edges, source = [], [], (INPUT, INPUT)
    for component, key in zip(components, ids or [c.name for c in components], strict=True):
        steps.append(Step(key, component.ref, component.digest))
        edges.append(Edge(*source, key, component.inputs[0].name))
        source = (key, component.outputs[0].name)
    return Plan(tuple(steps), tuple(edges), source)


def run(model, value):
    content = model_bytes(model)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    (result,) = session.run(["output"], {INPUT: value})
    return result


def linked(*components, entry=RAW, ids=None):
    plan = chain(*components, ids=ids)
    return link(plan, {component.ref: component for component in components}, entry)


def all_names(model):
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    values += [value for node in model.graph.all_nodes() for value in node.outputs]
    return Counter(value.name for value in values), Counter(
        node.name for node in model.graph.all_nodes()
    )


@pytest.mark.parametrize(
    ("kind", "shape", "layout", "name"),
    [
        ("image/gray", (32, 32), "HW", "digit-linear"),
        ("image/gray", (32, 32), "HW", "digit-denoise > digit-deskew > digit-cnn-small"),
        ("image/gray", (57, 41), "HW", "digit-contrast > digit-cnn-large"),
        ("image/rgb", (40, 48, 3), "HWC", "digit-deskew > digit-monolith"),
    ],
)
def test_one_model_computes_what_the_components_compute(library, kind, shape, layout, name):
    task, components = library
    entry = replace(task.input, kind=kind, shape=shape, layout=layout)
    plans = search(replace(task, input=entry), tuple(components.values())).plans
    (plan,) = [plan for plan in plans if plan.name == name]
    samples = list(np.random.default_rng(5).integers(0, 256, (3, *shape)).astype(np.uint8))
    expected = Executor(components, entry, samples).run(plan)
    model = link(plan, components, entry)
    assert [value.name for value in model.graph.outputs] == ["output"]
    for sample, want in zip(samples, expected, strict=True):
        got = run(model, sample)
        assert (got.shape, got.dtype) == ((1, 10), np.float32)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_values_and_nodes_have_unique_names_under_their_step(made):
    text = "g (float[N,4] x) => (float[N,4] y) <float[4] w> { m = Mul(x, w) y = Relu(m) }"
    one, two = made("one", text), made("two", text)
    model = linked(one, one, two, ids=["one", "one_2", "two"])
    values, nodes = all_names(model)
    assert {*values.values(), *nodes.values()} == {1}
    assert {"one/m", "one/y", "one_2/m", "one_2/y", "two/m", "output"} <= set(values)
    assert [name.partition("/")[0] for name in nodes] == ["one"] * 2 + ["one_2"] * 2 + [
        "two",
        "two",
    ]


def test_branches_of_an_if_are_renamed_too(made):
    text = """g (float[N,4] x) => (float[N,4] y) {
        s = ReduceSum<keepdims=0>(x) zero = Constant<value=float {0.0}>()
        c = Greater(s, zero)
        y = If(c) <then_branch = t () => (float[N,4] a) {
                one = Constant<value=float {1.0}>() a = Add(x, one) },
            else_branch = e () => (float[N,4] b) { b = Neg(x) }> }"""
    model = linked(*[made("branch", text)] * 2, ids=["first", "second"])
    values, _ = all_names(model)
    assert set(values.values()) == {1}
    assert {"first/a", "second/a", "first/b", "second/b"} <= set(values)
    for value in (NUMBERS, -NUMBERS):
        want = value
        for _ in range(2):
            want = want + 1 if want.sum() > 0 else -want
        np.testing.assert_allclose(run(model, value), want, rtol=1e-5)


def test_operator_sets_are_raised_to_the_highest(made):
    """From 17 to 18 the axes of ReduceMean turn from an attribute into an input."""
    old = "g (float[N,4] x) => (float[N,1] y) { y = ReduceMean<axes=[1]>(x) }"
    new = """g (float[N,1] x) => (float[N,1] y) {
        a = Constant<value=int64[1] {1}>() y = ReduceMean(x, a) }"""
    model = linked(made("old", old, opset=17), made("new", new, opset=18))
    assert model.opset_imports[""] == 18
    np.testing.assert_allclose(run(model, NUMBERS), NUMBERS.mean(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(("opset", "expected"), [(13, 18), (17, 18), (18, 18), (21, 21)])
def test_the_operator_set_is_at_least_that_of_adapters(made, opset, expected):
    text = "g (float[N,4] x) => (float[N,4] y) { y = Softmax<axis=1>(x) }"
    model = linked(made("only", text, opset), made("last", text, 18))
    assert opset_of(model) == expected
    once = np.exp(NUMBERS) / np.exp(NUMBERS).sum(1, keepdims=True)
    twice = np.exp(once) / np.exp(once).sum(1, keepdims=True)
    np.testing.assert_allclose(run(model, NUMBERS), twice, rtol=1e-5)


def test_equal_initializers_are_stored_once(made):
    text = "g (float[N,4] x) => (float[N,4] y) <float[4] %s> { y = Mul(x, %s) }"
    one, two = made("one", text % ("w", "w")), made("two", text % ("v", "v"))
    other = made("other", "g (float[N,4] x) => (float[N,4] y) <float[1] w> { y = Add(x, w) }")
    model = linked(one, two, other)
    assert len(model.graph.initializers) == 2
    weight = load_model(one.path).graph.initializers["w"].const_value.numpy()
    term = load_model(other.path).graph.initializers["w"].const_value.numpy()
    np.testing.assert_allclose(run(model, NUMBERS), NUMBERS * weight**2 + term, rtol=1e-5)


def test_great_initializers_are_stored_once_too(made):
    text = "g (float[N,40] x) => (float[N,40] y) <float[40,40] %s> { y = MatMul(x, %s) }"
    one, two = made("one", text % ("w", "w")), made("two", text % ("v", "v"))
    model = linked(one, two, entry=replace(RAW, shape=(2, 40)))
    assert len(model.graph.initializers) == 1


def test_nodes_without_a_name_get_one_each(made):
    text = "g (float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Neg(a) y = Relu(b) }"
    _, nodes = all_names(linked(made("net", text)))
    assert nodes == {"net/a": 1, "net/b": 1, "net/y": 1}


def test_outputs_left_out_stay_left_out(tmp_path):
    weights = {"w": np.full((1, 12, 4), 0.1), "r": np.full((1, 12, 3), 0.1)}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("LSTM", ["x", *weights], ["", "h"], hidden_size=3)],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [5, 1, 4])],
        [onnx.helper.make_tensor_value_info("h", 1, [1, 1, 3])],
        [onnx.numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    path, opsets = tmp_path / "l.onnx", [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    model = linked(describe(path, name="l"), entry=replace(RAW, shape=(5, 1, 4)))
    (node,) = model.graph
    assert [value.name for value in node.outputs] == ["", "output"]


def test_two_versions_of_another_domain(made):
    def scaler(name, version):
        component = made(name, "g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
        model = onnx.load(component.path)
        model.graph.node[0].CopyFrom(
            onnx.helper.make_node(
                "Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0]
            )
        )
        model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", version))
        onnx.save(model, component.path)
        return describe(component.path, name=name)

    two, three = scaler("two", 2), scaler("three", 3)
    same = linked(three, three, ids=["a", "b"])
    np.testing.assert_allclose(run(same, NUMBERS), 4 * NUMBERS, rtol=1e-5)
    with pytest.raises(
        LinkError, match=r"version 3 of .*'ai\.onnx\.ml', another step 2"
    ) as caught:
        linked(two, three)
    assert caught.value.at.component == "three@1.0.0"
    assert "same version" in caught.value.hint


def test_shapes_of_the_request_are_bound_throughout(made):
    text = "g (float[B,T] x) => (float[B,T] y) { m = Relu(x) y = Neg(m) }"
    model = linked(made("free", text))
    shapes = [value.shape for node in model.graph for value in node.outputs]
    assert [list(shape) for shape in shapes] == [[2, 4], [2, 4]]
    assert list(model.graph.inputs[0].shape) == [2, 4]


def test_symbols_of_the_task_stay_free(made):
    text = "g (float[B,4] x) => (float[B,4] y) { y = Relu(x) }"
    model = linked(made("free", text), entry=replace(RAW, shape=("rows", 4)))
    assert [str(dim) for dim in model.graph.outputs[0].shape] == ["rows", "4"]
    five = np.concatenate([NUMBERS, -NUMBERS])
    np.testing.assert_array_equal(run(model, five), np.maximum(five, 0))


@pytest.mark.parametrize(
    "text",
    [
        "g (float[N,4] x) => (float[N,4] x) { }",
        "g (float[N,4] x) => (float[N,4] y) { y = Identity(x) }",
    ],
)
def test_a_component_that_passes_its_input_on(made, text):
    same = made("same", text)
    np.testing.assert_array_equal(run(linked(same, same, ids=["a", "b"]), NUMBERS), NUMBERS)


def test_local_functions_are_inlined(tmp_path):
    text = """<ir_version: 10, opset_import: ["": 18, "mine": 1]>
        g (float[N,4] x) => (float[N,4] y) { y = mine.twice(x) }
        <domain: "mine", opset_import: ["": 18]> twice (v) => (w) { w = Add(v, v) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "f.onnx")
    model = linked(describe(tmp_path / "f.onnx", name="f"))
    assert [node.op_type for node in model.graph] == ["Add"]
    np.testing.assert_allclose(run(model, NUMBERS), 2 * NUMBERS, rtol=1e-5)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (replace(RAW, kind="logits/x"), "kind logits/x is not tensor"),
        (replace(RAW, dtype="float64"), "float64 is not float32"),
        (replace(RAW, shape=(1, 2, 4)), "3 axes are not 2"),
        (replace(RAW, shape=(2, 5)), "axis 1 is 5, not 4"),
    ],
)
def test_a_port_that_does_not_fit(made, entry, message):
    component = made("net", "g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    with pytest.raises(LinkError, match=message) as caught:
        linked(component, entry=entry)
    assert (caught.value.at.component, caught.value.at.value) == ("net@1.0.0", "x")
    assert str(entry) in caught.value.message


def test_an_input_that_nothing_feeds(made):
    component = made(
        "net", "g (float[N,4] p, float[N,4] q) => (float[N,4] y) { y = Add(p, q) }"
    )
    with pytest.raises(LinkError, match="nothing feeds this input") as caught:
        linked(component)
    assert caught.value.at.value == "q"


def test_one_symbol_with_two_sizes(made):
    net = made("net", "g (float[N,1] p, float[N,4] q) => (float[N,4] y) { y = Mul(p, q) }")
    mean = made("mean", "g (float[2,4] x) => (float[1,1] m) { m = ReduceMean(x) }")
    steps = (Step("mean", mean.ref, mean.digest), Step("net", net.ref, net.digest))
    edges = (
        Edge(INPUT, INPUT, "mean", "x"),
        Edge("mean", "m", "net", "p"),
        Edge(INPUT, INPUT, "net", "q"),
    )
    plan = Plan(steps, edges, ("net", "y"))
    with pytest.raises(LinkError, match="symbol 'N' is 1 at one input and 2 here") as caught:
        link(plan, {mean.ref: mean, net.ref: net}, RAW)
    assert caught.value.at.value == "q"


def test_outputs_that_nobody_reads_vanish_with_what_they_need(made):
    """The first component's second output, and the second one's, reach nothing."""
    text = """g (float[N,4] x) => (float[N,4] y, float[N,4] z) <float[4] w> {{
        s = Exp(x) y = {}(s) t = Mul(x, w) z = Sqrt(t) }}"""
    one, two = made("one", text.format("Relu")), made("two", text.format("Neg"))
    model = linked(one, two)
    assert [node.name for node in model.graph] == ["one/s", "one/y", "two/s", "two/y"]
    assert not model.graph.initializers
    np.testing.assert_allclose(run(model, NUMBERS), -np.exp(np.exp(NUMBERS)), rtol=1e-5)
