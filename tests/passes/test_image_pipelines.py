"""What ``exact`` leaves of the way from an image's bytes to the first layer."""

import numpy as np
import pytest

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
