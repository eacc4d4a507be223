"""The whole pipeline on random networks inside of If and Loop."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, compose, helper

from suture.compiler.verify import assert_equivalent
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

from .networks import CHANNELS, JOINTS, LAYERS, networks

RTOL = 1e-5
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
info = helper.make_tensor_value_info


def exact(model, *inputs):
    """Run the pipeline, and compare answers on some inputs."""
    reference = model.clone()
    records = PassManager(parse_pipeline("exact")).run(model)
    for each in inputs:
        assert_equivalent(reference, model, each, rtol=RTOL)
    return {record.name for record in records if record.made}


def body(model, prefix, lifted):
    """A network as the graph of a node that reads x outside, and its constants if lifted."""
    proto = compose.add_prefix(ir.to_proto(model), prefix, rename_inputs=False)
    graph = proto.graph
    del graph.input[:]
    constants = list(graph.initializer) if lifted else []
    if lifted:
        del graph.initializer[:]
    return graph, constants


def whole(nodes, inputs, outputs, constants):
    graph = helper.make_graph(nodes, "outer", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 18)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return ir.from_proto(proto)


def image(model):
    shape = [int(size) for size in model.graph.inputs[0].shape]
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def alone(model):
    """How many nodes the pipeline leaves of a network by itself."""
    PassManager(parse_pipeline("exact")).run(model)
    return model.graph.num_nodes()


@st.composite
def pairs(draw, layers):
    """Two networks that read the same, and answer as many values."""
    start = draw(st.sampled_from(CHANNELS))
    both = [draw(networks(layers, start)) for _ in range(2)]
    count = min(len(model.graph.outputs) for model in both)
    for model in both:
        while len(model.graph.outputs) > count:
            model.graph.outputs.pop()
    return both


def branching(both, lifted):
    graphs, constants = zip(
        *(body(model, f"{n}.", lifted) for n, model in enumerate(both)), strict=True
    )
    names = [f"y{n}" for n in range(len(both[0].graph.outputs))]
    node = helper.make_node(
        "If", ["c"], names, "if", then_branch=graphs[0], else_branch=graphs[1]
    )
    inputs = [info("x", FLOAT, image(both[0]).shape), info("c", BOOL, [])]
    outputs = [info(name, FLOAT, None) for name in names]
    return whole([node], inputs, outputs, [*constants[0], *constants[1]])


def looping(model, lifted):
    """Three turns over a state that becomes half each time; the network's answers are kept."""
    graph, constants = body(model, "in.", lifted)
    shape = image(model).shape
    graph.input.extend([info("i", INT64, []), info("go", BOOL, []), info("x", FLOAT, shape)])
    graph.node.append(helper.make_node("Identity", ["go"], ["on"], "on"))
    graph.output.insert(0, info("on", BOOL, []))
    scanned = [f"all{n}" for n in range(len(graph.output) - 2)]
    given = ["count", "", "start"]
    node = helper.make_node("Loop", given, ["y", *scanned], "loop", body=graph)
    constants.append(onnx.numpy_helper.from_array(np.array(3), "count"))
    outputs = [info("y", FLOAT, shape), *(info(name, FLOAT, None) for name in scanned)]
    return whole([node], [info("start", FLOAT, shape)], outputs, constants)


def halved(model):
    """A network whose first output is half of what it reads."""
    graph = model.graph
    half = ir.Value(name="half", const_value=ir.tensor(np.float32(0.5), name="half"))
    half.type, half.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(())
    graph.register_initializer(half)
    node = ir.node("Mul", [graph.inputs[0], half], name="halving")
    value = node.outputs[0]
    value.name, value.type, value.shape = "halved", half.type, graph.inputs[0].shape
    graph.append(node)
    graph.outputs.insert(0, value)
    return model


def test_branches_become_what_their_networks_become():
    fired = set()

    def hold(layers, examples):
        @settings(deadline=None, max_examples=examples, derandomize=True)
        @given(pairs(layers), st.booleans())
        def become(both, lifted):
            model = branching(both, lifted)
            x = image(both[0])
            inputs = [{"x": x, "c": np.array(taken)} for taken in (True, False)]
            fired.update(exact(model, *inputs))
            (node,) = model.graph
            for name, network in zip(("then_branch", "else_branch"), both, strict=True):
                assert node.attributes[name].as_graph().num_nodes() <= alone(network)

        become()

    hold(LAYERS, 20)
    hold(JOINTS, 12)
    assert {"remove-identities", "fold-affine", "fold-batch-norm"} <= fired


@pytest.mark.parametrize(("layers", "examples"), [(LAYERS, 12), (JOINTS, 8)])
def test_a_loop_s_body_becomes_what_its_network_becomes(layers, examples):
    @settings(deadline=None, max_examples=examples, derandomize=True)
    @given(networks(layers), st.booleans())
    def become(network, lifted):
        network = halved(network)
        model = looping(network, lifted)
        exact(model, {"start": image(network)})
        (node,) = model.graph
        going_on = 1  # the node that says so
        assert node.attributes["body"].as_graph().num_nodes() <= alone(network) + going_on

    become()
