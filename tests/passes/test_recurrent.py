"""Recurrent layers stay in one piece, and what exporters write around them goes."""

import numpy as np
import pytest

from suture.compiler.verify import assert_equivalent
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

RTOL = 1e-5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SIZE, HIDDEN = 5, 6
LENGTHS = {"lengths": np.int32([7, 3])}


def weights(op, directions):
    """Weights of each direction by itself, as exporters have them."""
    gates, rng = GATES[op], np.random.default_rng(3)
    rows = gates * HIDDEN
    shapes = {"w": (rows, SIZE), "r": (rows, HIDDEN), "b": (2 * rows,)}
    return {
        f"{name}{each}": np.float32(rng.normal(0, 0.4, shape))
        for each in range(directions)
        for name, shape in shapes.items()
    }


def prepared(directions):
    """The nodes of constants that stack the weights of the directions."""
    text = ""
    for name in "wrb":
        rows = [f"{name}u{each}" for each in range(directions)]
        for each, row in enumerate(rows):
            text += f"{row} = Unsqueeze({name}{each}, zero) "
        text += f"{name.upper()} = Concat<axis=0>({', '.join(rows)}) "
    return text


def run(parse, nodes, op, directions, outputs, inputs="float[7,2,5] x", opset=18, **numbers):
    text = f"g ({inputs}) => ({outputs}) {{ {prepared(directions)} {nodes} }}"
    constants = {"zero": np.array([0]), **weights(op, directions), **numbers}
    read = text.replace("(", " ").replace(")", " ").replace(",", " ").split()
    given = {name: array for name, array in constants.items() if name in read}
    model = parse(text, opset, **given)
    reference = model.clone()
    shape = (7, 2, 5) if "N" in inputs else model.graph.inputs[0].shape.numpy()
    request = {"x": np.random.default_rng(1).standard_normal(shape, np.float32)}
    verifier = VerifyingObserver(request, rtol=RTOL)
    PassManager(parse_pipeline("exact"), [verifier]).run(model)
    assert_equivalent(reference, model, request, rtol=RTOL)
    return model, [node.op_type for node in model.graph]


@pytest.mark.parametrize("lengths", ["", ", lengths"], ids=["full", "lengths"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("op", GATES)
def test_a_layer_stays_one_node_and_its_weights_fold(parse, op, directions, lengths):
    way = f'direction="{"bidirectional" if directions == 2 else "forward"}"'
    nodes = f"y, h = {op}<hidden_size=6, {way}>(x, W, R, B{lengths}) z = Relu(y)"
    outputs = f"float[7,{directions},2,6] z, float[{directions},2,6] h"
    given = LENGTHS if lengths else {}
    model, ops = run(parse, nodes, op, directions, outputs, **given)
    assert ops == [op, "Relu"]
    assert all(
        value.is_initializer() for value in model.graph[0].inputs[1:] if value is not None
    )


def test_normalised_and_turned_before_a_layer(parse):
    """Arithmetic before an LSTM is left where it is: no pass knows its weights."""
    nodes = (
        "a = Sub(x, mean) t = Transpose<perm=[1,0,2]>(a)"
        " y = LSTM<hidden_size=6>(t, W, R, B) z = Exp(y)"
    )
    mean = np.float32([1, 2, 3, 4, 5])
    _, ops = run(parse, nodes, "LSTM", 1, "float[7,1,2,6] z", "float[2,7,5] x", mean=mean)
    assert ops == ["Sub", "Transpose", "LSTM", "Exp"]


@pytest.mark.parametrize("op", GATES)
def test_states_of_zero_go_with_what_makes_them(parse, op):
    """As PyTorch exports a layer that is given no state, for any number of sequences."""
    states = "h0, h0" if op == "LSTM" else "h0"
    nodes = (
        "s = Shape(x) n = Gather(s, one) size = Concat<axis=0>(zero_, n, six)"
        " h0 = ConstantOfShape(size)"
        f" y = {op}<hidden_size=6>(x, W, R, B, , {states}) z = Exp(y)"
    )
    numbers = {"one": np.array([1]), "zero_": np.array([1]), "six": np.array([6])}
    _, ops = run(parse, nodes, op, 1, "float[7,1,N,6] z", "float[7,N,5] x", **numbers)
    assert ops == [op, "Exp"]


def test_both_directions_side_by_side(parse):
    """As PyTorch exports it, the batch first."""
    nodes = (
        'y = LSTM<hidden_size=6, direction="bidirectional">(x, W, R, B)'
        " t = Transpose<perm=[0,2,1,3]>(y) r = Reshape(t, joined)"
        " u = Transpose<perm=[1,0,2]>(r) z = Exp(u)"
    )
    _, ops = run(parse, nodes, "LSTM", 2, "float[2,7,12] z", joined=np.array([0, 0, -1]))
    assert ops == ["LSTM", "Transpose", "Reshape", "Exp"]


def test_one_direction_and_one_sequence(parse):
    nodes = (
        "t = Transpose<perm=[1,0,2]>(x) y = GRU<hidden_size=6>(t, W, R, B)"
        " s = Squeeze(y, one) u = Transpose<perm=[1,0,2]>(s) z = Exp(u)"
    )
    _, ops = run(parse, nodes, "GRU", 1, "float[1,7,6] z", "float[1,7,5] x", one=np.array([1]))
    assert ops == ["Transpose", "GRU", "Reshape", "Exp"]
