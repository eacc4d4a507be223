"""Several images at once, against ONNX Runtime: the kernels of one image, once for each."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suture.codegen.lower import lower
from suture.codegen.walk import plan_program
from suture.compiler.model import bind_symbols
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

BODIES = {
    "convolution": "y = Conv<pads=[1,1,1,1]>(x, k)",
    "strided": "y = Conv<pads=[0,1,1,0], strides=[2,2]>(x, k)",
    "bias, residual, activation": """
        a = Conv<pads=[1,1,1,1]>(x, k, b) c = Conv<pads=[1,1,1,1]>(x, k)
        s = Add(c, a) y = LeakyRelu<alpha=0.2>(s)""",
    "depthwise": "a = Conv(x, p) y = Conv<pads=[1,1,1,1], group=12>(a, d)",
    "ragged groups": "a = Conv(x, p) y = Conv<pads=[1,1,1,1], group=3>(a, g)",
    "gathered groups": "a = Conv(x, p) y = Conv<group=3>(a, h)",
    "transposed": "y = ConvTranspose<strides=[2,2]>(x, t)",
    "normalised in front": """
        n = BatchNormalization(x, m, m, m, m) r = Relu(n) y = Conv(r, p)""",
    "largest": """
        a = Conv(x, p) y = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(a)""",
    "mean": "a = Conv(x, p) y = AveragePool<kernel_shape=[2,2]>(a)",
    "mean of all": "a = Conv(x, p) y = GlobalAveragePool(a)",
    "local response": "a = Conv(x, p) y = LRN<size=3>(a)",
    "resized": 'a = Conv(x, p) y = Resize<mode="linear">(a, none, twice)',
    "element by element": "a = Conv(x, p) s = Sigmoid(a) y = Mul(a, s)",
    "joined in blocks": """
        a = Conv(x, p8) c = Conv(x, p16) j = Concat<axis=1>(a, c) y = Relu(j)""",
    "joined elsewhere": """
        a = Conv(x, p) j = Concat<axis=3>(x2, a) y = Relu(j)""",
    "rows": "a = Conv(x, p) s = Slice(a, one, three, two) y = Relu(s)",
    "one image added to each": "a = Conv(x, p) c = Conv(q, p) y = Add(a, c)",
    "read as one piece": "a = Conv(x, p) e = Exp(a) y = Conv(e, d1)",
}
CONSTANTS = {
    "k": (9, "C", 3, 3),
    "b": (9,),
    "p": (12, "C", 1, 1),
    "p8": (8, "C", 1, 1),
    "p16": (16, "C", 1, 1),
    "d": (12, 1, 3, 3),
    "d1": (5, 12, 1, 1),
    "g": (15, 4, 3, 3),
    "h": (9, 4, 1, 1),
    "t": ("C", 6, 2, 2),
    "m": ("C",),
    "u": ("N", 12, 1, 1),
    "v": ("N", 1, 1, 1),
}
APART = {"a number for each image": "a = Conv(x, p) s = Mul(a, v) y = Add(u, s)"}
"""Images that are not treated alike."""
NUMBERS = """float[0] none = {}, float[4] twice = {1, 1, 2, 2}, int64[1] one = {1},
    int64[1] two = {2}, int64[1] three = {3}"""
INPUTS = {"q": (1, "C", "H", "W"), "x2": ("N", 12, "H", "W")}


@pytest.fixture(scope="module")
def network(parse, with_weights):
    """Make a network of some images from the body of its graph."""

    def network(body, sizes):
        words = body.replace("(", " ").replace(",", " ").replace(")", " ").split()
        used = {
            name: [sizes.get(size, size) for size in shape]
            for name, shape in {**INPUTS, **CONSTANTS}.items()
            if name in words
        }
        used["x"] = [sizes[size] for size in "NCHW"]
        declared = ", ".join(
            f"float[{','.join(map(str, shape))}] {name}" for name, shape in used.items()
        )
        text = f"g ({declared}) => (float[n,c,h,w] y) <{NUMBERS}> {{ {body} }}"
        model = with_weights(parse(text), used.keys() & CONSTANTS.keys())
        if "m" in used:  # a variance is positive
            value = model.graph.initializers["m"]
            value.const_value = type(value.const_value)(
                np.abs(value.const_value.numpy()), name="m"
            )
        model.graph.outputs[0].shape = None
        return model

    return network


@pytest.mark.parametrize("name", [*BODIES, *APART])
@given(
    images=st.integers(2, 3),
    channels=st.integers(1, 20),
    rows=st.integers(4, 9),
    columns=st.integers(4, 9),
)
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_answers_are_those_of_onnx_runtime(
    name, network, tvm_backend, target, tmp_path_factory, images, channels, rows, columns
):
    body = {**BODIES, **APART}[name]
    model = network(body, {"N": images, "C": channels, "H": rows, "W": columns})
    inputs = seeded_inputs(model, np.random.default_rng(1))
    compiled = tvm_backend.compile(model.clone(), target, tmp_path_factory.mktemp("images"))
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what=name, rtol=1e-5)


@pytest.mark.parametrize("name", BODIES)
def test_kernels_are_those_of_one_image_called_for_each(name, network, target):
    calls, weights = [], []
    for images in (1, 3):
        model = network(BODIES[name], {"N": images, "C": 11, "H": 6, "W": 5})
        lowered = lower(model, target)
        plan = plan_program(lowered)
        calls.append(
            Counter(
                lowered.schedules[call.kernel]
                for call in plan.calls
                if call.kernel in lowered.schedules
            )
        )
        weights.append(len(plan.weights))
    one, three = calls
    alone = int(name == "one image added to each")
    assert one
    assert three.total() == 3 * (one.total() - alone) + alone
    assert set(three) == set(one)
    assert weights[0] == weights[1]


def test_equal_weights_of_several_batches_are_there_once(
    network, parse, tvm_backend, target, tmp_path
):
    body = BODIES["bias, residual, activation"]
    sizes = {"N": "batch", "C": 5, "H": 6, "W": 7}
    model = network(body, sizes)
    alone = model.clone()
    bind_symbols(alone, {"batch": 1})
    small = tvm_backend.compile(alone, target, tmp_path / "alone")
    several = [{"batch": 1}, {"batch": 4}]
    both = tvm_backend.compile(model.clone(), target, tmp_path / "both", sizes=several)
    assert both.weight_bytes == small.weight_bytes
    run = tvm_backend.load(both, model, threads=1)
    for count in (4, 1, 4):
        rng = np.random.default_rng(count)
        inputs = {"x": rng.standard_normal((count, 5, 6, 7)).astype(np.float32)}
        assert_equal(
            run_reference(model, inputs), run(inputs), what=f"batch {count}", rtol=1e-5
        )


def test_images_joined_to_more_images_stay_apart_from_channels(
    network, tvm_backend, target, tmp_path
):
    body = "a = Conv(x, p) c = Conv(q, p) j = Concat<axis=0>(a, c, a) y = Relu(j)"
    model = network(body, {"N": 2, "C": 7, "H": 5, "W": 4})
    inputs = seeded_inputs(model, np.random.default_rng(1))
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert answers["y"].shape == (5, 12, 5, 4)
    assert_equal(run_reference(model, inputs), answers, what="images", rtol=1e-5)


def test_not_a_number_stays_in_its_image(network, tvm_backend, target, tmp_path):
    model = network("y = Conv<pads=[1,1,1,1]>(x, k)", {"N": 3, "C": 9, "H": 6, "W": 5})
    inputs = seeded_inputs(model, np.random.default_rng(1))
    inputs["x"][1, 2, 3, 3] = np.nan
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)["y"]
    assert np.isnan(answers[1]).any()
    assert np.isfinite(answers[[0, 2]]).all()
