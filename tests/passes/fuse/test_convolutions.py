import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.compiler.discovery import discover, load
from suture.compiler.verify import assert_equivalent, seeded_inputs
from suture.errors import VerifyError
from suture.passes.fuse import convolutions
from suture.passes.fuse.convolutions import JoinConvolutions
from suture.passes.pipeline import parse_pipeline

W = {"w": (3, 4, 1, 1), "v": (5, 4, 1, 1), "u": (2, 4, 3, 3), "b": (3,), "c": (5,)}
TWO = "[one] m = Conv(x, w, b) [two] n = Conv(x, v, c)"
OUT = "y = Concat<axis=1>(m, n)"


def model_of(parse, nodes, inputs="float[2,4,6,6] x", more="", opset=18):
    read = nodes.replace("(", " ").replace(")", " ").replace(",", " ").split()
    weights = {name: shape for name, shape in W.items() if name in read}
    return parse(f"g ({inputs}) => (float[N,C,H,W] y{more}) {{ {nodes} }}", opset, **weights)


@pytest.mark.parametrize("opset", [11, 18], ids=["attribute", "input"])
def test_joins_and_takes_apart(parse, check, opset):
    model = model_of(parse, f"{TWO} {OUT}", opset=opset)
    done = check(JoinConvolutions(), model)
    assert done.made == [("one", "2 convolutions side by side")]
    assert done.ops == ["Conv", "Split", "Concat"]
    assert [list(value.shape) for value in model.graph[1].outputs] == [
        [2, 3, 6, 6],
        [2, 5, 6, 6],
    ]


def test_zeros_are_the_bias_of_one_that_has_none(parse, check):
    nodes = f"{TWO.replace(', c)', ')')} {OUT}"
    assert check(JoinConvolutions(), model_of(parse, nodes)).ops == ["Conv", "Split", "Concat"]


def test_outputs_of_the_graph_keep_their_names(parse, check):
    nodes = TWO.replace(" m =", " y =").replace(" n =", " z =")
    model = model_of(parse, nodes, more=", float[N,D,H,W] z")
    assert check(JoinConvolutions(), model).ops == ["Conv", "Split"]


def test_an_equal_activation_comes_before_the_split(parse, check):
    nodes = f"{TWO} r = LeakyRelu<alpha=0.3>(m) s = LeakyRelu<alpha=0.3>(n)"
    model = model_of(parse, f"{nodes} {OUT.replace('m, n', 'r, s')}")
    assert check(JoinConvolutions(), model).ops == ["Conv", "LeakyRelu", "Split", "Concat"]


@pytest.mark.parametrize(
    "nodes",
    [
        "r = LeakyRelu<alpha=0.3>(m) s = LeakyRelu<alpha=0.2>(n)",
        "r = Relu(m) s = Sigmoid(n)",
        "r = Relu(m) s = Exp(n) t = Neg(m)",
        "h = Constant<value = float {1}>() r = Clip(m, , h) s = Clip(n, , h)",
    ],
    ids=["alpha", "operator", "read", "bound made later"],
)
def test_other_activations_stay_behind_it(parse, check, nodes):
    model = model_of(parse, f"{TWO} {nodes} {OUT.replace('m, n', 'r, s')}")
    before = [node.op_type for node in model.graph][2:]
    assert check(JoinConvolutions(), model).ops == ["Conv", "Split", *before]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("[one] m = Conv(x, w) [two] n = Conv(x, u)", "goes over what it reads in its way"),
        ("[one] m = Conv(x, w) [two] n = Conv<strides=[2,2]>(x, v)",
         "goes over what it reads in its way"),
        ("[one] m = Conv(x, w) [two] n = Conv(x, k)", "the weights are not constant"),
        ("[one] m = Conv(x, w) [two] n = Conv(x, v) k2 = Neg(v)",
         "the weights are shared with another node"),
        ("[one] m = Conv(x, w) [two] n = Conv<group=2>(x, f)", "it is grouped"),
    ],
    ids=["kernel", "strides", "variable", "shared", "grouped"],
)  # fmt: skip
def test_declines(parse, nodes, reason):
    inputs = "float[2,4,6,6] x, float[5,4,1,1] k, float[2,2,1,1] f"
    text = f"g ({inputs}) => (float[N,C,H,W] m, float[N,D,I,J] n) {{ {nodes} }}"
    weights = {name: shape for name, shape in W.items() if f" {name})" in nodes}
    result = JoinConvolutions().apply(parse(text, **weights), None)
    assert result.made == ()
    told = {note.at.node: note.reason for note in result.declined}
    assert told["two"].endswith(reason)
    assert told["one"] == "no other convolution goes over what it reads in its way"


def test_one_alone_is_nothing_to_tell_of(parse, check):
    done = check(JoinConvolutions(), model_of(parse, "m = Conv(x, w) y = Relu(m)"))
    assert (done.made, done.declined) == ([], [])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.sampled_from([(1, 1), (3, 3), (1, 3), (2, 2)]),
    st.sampled_from([(1, 1), (2, 2), (2, 1)]),
    st.sampled_from([(1, 1), (2, 1)]),
    st.sampled_from([0, 1]),
    st.lists(st.sampled_from(["", "Relu", "Elu"]), min_size=4, max_size=4),
    st.integers(1, 3),
)
def test_any_number_of_any_shape(
    parse, filters, kernel, strides, dilations, pad, behind, channels
):
    ways = f"strides=[{strides[0]},{strides[1]}], pads=[{pad},{pad},{pad},{pad}]"
    ways += f", dilations=[{dilations[0]},{dilations[1]}]"
    nodes, weights, outputs = [], {}, []
    for place, count in enumerate(filters):
        weights |= {f"w{place}": (count, channels, *kernel), f"b{place}": (count,)}
        bias = f", b{place}" if count % 2 else ""
        if not bias:
            del weights[f"b{place}"]
        nodes.append(f"c{place} = Conv<{ways}>(x, w{place}{bias})")
        outputs.append(f"c{place}")
        if behind[place]:
            nodes.append(f"r{place} = {behind[place]}(c{place})")
            outputs[-1] = f"r{place}"
    results = ", ".join(f"float[N,C{name},H,W] {name}" for name in outputs)
    text = f"g (float[2,{channels},7,9] x) => ({results}) {{ {' '.join(nodes)} }}"
    model = parse(text, **weights)
    reference = model.clone()
    result = JoinConvolutions().apply(model, None)
    inputs = seeded_inputs(reference, np.random.default_rng(0))
    assert_equivalent(reference, model, inputs, rtol=1e-5)
    assert [each.reason for each in result.made] == [
        f"{len(filters)} convolutions side by side"
    ]
    assert [node.op_type for node in model.graph].count("Conv") == 1


def test_the_check_fails_weights_in_another_order(parse, check, monkeypatch):
    right = convolutions._weight
    monkeypatch.setattr(convolutions, "_weight", lambda conv: right(conv)[::-1])
    with pytest.raises(VerifyError):
        check(JoinConvolutions(), model_of(parse, f"{TWO} {OUT}"))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["join-convolutions"]) is JoinConvolutions
    assert parse_pipeline("join-convolutions") == (JoinConvolutions(),)
    assert JoinConvolutions() not in parse_pipeline("exact")
