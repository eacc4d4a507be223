"""What ``exact`` leaves of the way from an image's bytes to the first layer."""

from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import pytest

from suture.compiler.adapters import join
from suture.compiler.component import Port
from suture.compiler.library import describe
from suture.compiler.link import link
from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.compiler.verify import assert_equivalent
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

RTOL = 1e-5
BYTES = np.random.default_rng(2).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
CAST = "f = Cast<to=1>(x)"
STEPS = "a = Mul({}, scale) b = Sub(a, mean) c = Div(b, std)"
LAST = {"mean": np.float32([0.485, 0.456, 0.406]), "std": np.float32([0.229, 0.224, 0.225])}
FIRST = {name: array.reshape(3, 1, 1) for name, array in LAST.items()}
TURN = "Transpose<perm=[0,3,1,2]>"
PLAIN, PADDED = "y = Conv({}, w)", "y = Conv<pads=[1,1,1,1]>({}, w)"


@pytest.fixture
def exact(parse):
    """The operators left of a network from bytes; the answers are compared."""

    def exact(nodes, x=BYTES, **numbers):
        shape = ",".join(map(str, x.shape))
        text = f"g (uint8[{shape}] x) => (float[N,C,H,W] y) {{ {nodes} }}"
        weights = {"w": (4, 3, 3, 3), "scale": np.float32(1 / 255)}
        read = {name: each for name, each in weights.items() if f"{name})" in nodes}
        model = parse(text, **read, **numbers)
        reference = model.clone()
        PassManager(parse_pipeline("exact")).run(model)
        assert_equivalent(reference, model, {"x": x}, rtol=RTOL)
        return [node.op_type for node in model.graph]

    return exact


@pytest.mark.parametrize(
    ("nodes", "numbers"),
    [
        (f"{CAST} {STEPS.format('f')} t = {TURN}(c)", LAST),
        (f"{CAST} t1 = {TURN}(f) {STEPS.format('t1')} t = Identity(c)", FIRST),
        (f"{CAST} a = Mul(f, scale) t1 = {TURN}(a) b = Sub(t1, mean) t = Div(b, std)", FIRST),
    ],
    ids=["before", "behind", "between"],
)
@pytest.mark.parametrize(
    ("conv", "left"), [(PLAIN, []), (PADDED, ["Add"])], ids=["plain", "padded"]
)
def test_a_normalisation_is_folded_wherever_the_layout_changes(
    exact, nodes, numbers, conv, left
):
    """Before padding the offset stays, as one sum; everything else is in the weights."""
    done = exact(f"{nodes} {conv.format('t')}", **numbers)
    assert sorted(done) == sorted(["Cast", "Transpose", *left, "Conv"])


def test_one_image_of_rows_and_columns(exact):
    nodes = (
        f"{CAST} {STEPS.format('f')} t = Transpose<perm=[2,0,1]>(c) u = Unsqueeze(t, zero)"
        f" {PLAIN.format('u')}"
    )
    ops = exact(nodes, BYTES[0], zero=np.array([0]), **LAST)
    assert ops == ["Cast", "Transpose", "Unsqueeze", "Conv"]


def test_colours_the_other_way_round(exact):
    nodes = (
        "bgr = Slice(x, last, none, three, last)"
        f" f = Cast<to=1>(bgr) {STEPS.format('f')} t = {TURN}(c) {PLAIN.format('t')}"
    )
    slicing = {"last": np.array([-1]), "none": np.array([-100]), "three": np.array([3])}
    assert exact(nodes, **slicing, **LAST) == ["Cast", "Transpose", "Conv"]


def test_a_grey_image_for_a_network_of_colours(exact):
    nodes = (
        f"{CAST} t = {TURN}(f) rgb = Concat<axis=1>(t, t, t) {STEPS.format('rgb')}"
        f" {PLAIN.format('c')}"
    )
    ops = exact(nodes, BYTES[..., :1], **FIRST)
    assert [op for op in ops if op not in ("Transpose", "Reshape")] == ["Cast", "Conv"]


ENHANCE = """enhance (float[1,3,16,16] image) => (float[1,32,32,3] better)
    <float[3,3,3,3] w, float scale = {255}, float low = {0}, float high = {255},
     float[4] twice = {1, 1, 2, 2}>
    { [conv] a = Conv<pads=[1,1,1,1]>(image, w) [act] b = Sigmoid(a)
      [up] c = Resize(b, , twice) [bytes] d = Mul(c, scale) [clip] e = Clip(d, low, high)
      [last] better = Transpose<perm=[0,2,3,1]>(e) }"""
CLASSIFY = """classify (float[1,3,16,16] image) => (float[1,4,14,14] map)
    <float[4,3,3,3] w, float[3,1,1] mean = {0.485, 0.456, 0.406},
     float[3,1,1] std = {0.229, 0.224, 0.225}>
    { [sub] a = Sub(image, mean) [div] b = Div(a, std)
      [conv] c = Conv(b, w) [act] map = Relu(c) }"""
PORT = {"kind": "image/rgb", "dtype": "float32"}


@pytest.fixture
def component(tmp_path):
    """A component of a graph with ports of images; weights without numbers are seeded."""

    def component(text, entry, leaves):
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> {text}')
        made = {name for node in proto.graph.node for name in node.output}
        rng = np.random.default_rng(4)
        for info in [info for info in proto.graph.value_info if info.name not in made]:
            shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
            weight = np.float32(rng.normal(0, 0.2, shape))
            proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, info.name))
            proto.graph.value_info.remove(info)
        path = tmp_path / f"{proto.graph.name}.onnx"
        onnx.save(proto, path)
        found = describe(path, name=proto.graph.name)
        (read,), (given,) = found.inputs, found.outputs
        return replace(
            found, inputs=(replace(read, **entry),), outputs=(replace(given, **leaves),)
        )

    return component


def linked(entry, *components):
    """The components one after the other, with the adapters that the planner puts between."""
    steps, edges, port, source = [], [], entry, (INPUT, INPUT)
    for each in components:
        for adapter in join(port, each.inputs[0]).chain:
            key = f"{adapter.name}_{len(steps)}"
            steps.append(Step(key, str(adapter)))
            edges.append(Edge(*source, key, "input"))
            port, source = adapter.output(port), (key, "output")
        steps.append(Step(each.name, each.ref, each.digest))
        edges.append(Edge(*source, each.name, each.inputs[0].name))
        port, source = each.outputs[0], (each.name, each.outputs[0].name)
    plan = Plan(tuple(steps), tuple(edges), source)
    return link(plan, {each.ref: each for each in components}, entry)


def test_one_component_s_end_meets_the_next_one_s_beginning(component):
    """To bytes and back, to the last axis and back, a size up and down: a resize is left."""
    ranged = {**PORT, "range": (0.0, 1.0), "layout": "NCHW"}
    enhance = component(ENHANCE, ranged, {**PORT, "range": (0.0, 255.0), "layout": "NHWC"})
    classify = component(CLASSIFY, ranged, {"kind": "map"})
    entry = Port(name=INPUT, kind="image/rgb", dtype="uint8", shape=(20, 18, 3), layout="HWC",
                 range=(0.0, 255.0))  # fmt: skip
    model = linked(entry, enhance, classify)
    between = [node.op_type for node in model.graph if node.op_type != "Constant"]
    assert between == [
        *("Transpose", "Unsqueeze", "Cast", "Resize", "Mul"),
        *("Conv", "Sigmoid", "Resize", "Mul", "Clip", "Transpose"),
        *("Transpose", "Resize", "Mul"),
        *("Sub", "Div", "Conv", "Relu"),
    ]
    reference = model.clone()
    PassManager(parse_pipeline("exact")).run(model)
    pixels = np.random.default_rng(6).integers(0, 256, entry.shape).astype(np.uint8)
    assert_equivalent(reference, model, {INPUT: pixels}, rtol=RTOL)
    assert [node.op_type for node in model.graph] == [
        *("Transpose", "Unsqueeze", "Cast", "Resize"),
        *("Conv", "Sigmoid", "Resize", "Resize"),
        *("Conv", "Relu"),
    ]
