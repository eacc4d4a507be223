import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import run_reference
from suture.errors import VerifyError
from suture.passes.base import PassContext
from suture.passes.fuse import normalization
from suture.passes.fuse.normalization import FoldNormalization
from suture.passes.pipeline import parse_pipeline

CHANNELS = {"mean": (3, 1, 1), "std": (3, 1, 1)}
NORMALIZE = "[sub] t = Sub(x, mean) [div] u = Div(t, std) "
PADDED = "an offset cannot move past zero padding"


def image(nodes, outputs="float[2,4,N,M] y", inputs="float[2,3,8,8] x"):
    return f"g ({inputs}) => ({outputs}) {{ {nodes} }}"


@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize("attributes", ["", "<strides=[2,2]>", '<auto_pad="VALID">'])
def test_folds_mean_and_deviation(parse, check, bias, attributes):
    weights = {"w": (4, 3, 3, 3), "b": (4,), **CHANNELS}
    model = parse(image(f"{NORMALIZE} [conv] y = Conv{attributes}(u, w{bias})"), **weights)
    done = check(FoldNormalization(), model)
    assert done.ops == ["Conv"]
    assert done.made == [("div", "folded into conv"), ("sub", "folded into conv")]
    assert done.declined == []


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (1, 3, 1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("node", ["Add(x, k)", "Add(k, x)", "Sub(x, k)", "Sub(k, x)"])
def test_folds_an_offset_of_any_fitting_shape(parse, check, node, shape):
    model = parse(image(f"[n] u = {node} [conv] y = Conv(u, w)"), k=shape, w=(4, 3, 3, 3))
    done = check(FoldNormalization(), model)
    assert done.ops == ["Conv"]


@pytest.mark.parametrize("node", ["Mul(x, std)", "Mul(std, x)", "Div(x, std)"])
@pytest.mark.parametrize("attributes", ["pads=[1,1,1,1]", 'auto_pad="SAME_UPPER"'])
def test_folds_a_scale_past_padding(parse, check, node, attributes):
    model = parse(
        image(f"[n] u = {node} [conv] y = Conv<{attributes}>(u, w, b)"),
        std=(3, 1, 1),
        w=(4, 3, 3, 3),
        b=(4,),
    )
    assert check(FoldNormalization(), model).made == [("n", "folded into conv")]


@pytest.mark.parametrize("group", [3, 6])
def test_folds_into_a_grouped_convolution(parse, check, group):
    nodes = f"{NORMALIZE} [conv] y = Conv<group={group}>(u, w, b)"
    model = parse(
        image(nodes, "float[2,12,6,6] y", "float[2,6,8,8] x"),
        w=(12, 6 // group, 3, 3),
        b=(12,),
        mean=(6, 1, 1),
        std=(6, 1, 1),
    )
    assert check(FoldNormalization(), model).ops == ["Conv"]


def test_folds_into_a_convolution_over_time(parse, check):
    model = parse(
        "g (float[2,3,9] x) => (float[2,4,7] y)"
        " { t = Sub(x, mean) u = Div(t, std) [conv] y = Conv(u, w) }",
        w=(4, 3, 3),
        mean=(3, 1),
        std=(3, 1),
    )
    assert check(FoldNormalization(), model).ops == ["Conv"]


@pytest.mark.parametrize("node", ["Add(x, mean)", "Sub(x, mean)", "Sub(mean, x)"])
@pytest.mark.parametrize(
    "attributes", ["pads=[0,0,0,1]", 'auto_pad="SAME_UPPER"', 'auto_pad="SAME_LOWER"']
)
def test_declines_an_offset_before_padding(parse, check, node, attributes):
    model = parse(
        image(f"[n] u = {node} [conv] y = Conv<{attributes}>(u, w)"),
        mean=(3, 1, 1),
        w=(4, 3, 3, 3),
    )
    done = check(FoldNormalization(), model)
    assert done.declined == [("n", PADDED)]
    assert done.made == []


def test_takes_in_what_stands_nearest_and_stops_at_the_padding(parse, check):
    nodes = f"{NORMALIZE} [conv] y = Conv<pads=[1,1,1,1]>(u, w)"
    model = parse(image(nodes), w=(4, 3, 3, 3), **CHANNELS)
    reference = model.clone()
    record = FoldNormalization().apply(model, PassContext())
    assert [note.reason for note in record.made] == ["folded into conv"]
    assert [note.reason for note in record.declined] == [PADDED]
    assert [node.op_type for node in model.graph] == ["Sub", "Conv"]
    inputs = {"x": np.random.default_rng(5).standard_normal((2, 3, 8, 8), np.float32)}
    want, got = run_reference(reference, inputs)["y"], run_reference(model, inputs)["y"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def test_an_offset_of_zero_moves_past_padding(parse, check):
    model = parse(
        image("[n] u = Sub(x, k) [conv] y = Conv<pads=[1,1,1,1]>(u, w)"),
        k=np.zeros(1, np.float32),
        w=(4, 3, 3, 3),
    )
    assert check(FoldNormalization(), model).ops == ["Conv"]


@pytest.mark.parametrize(
    ("node", "k", "reason"),
    [
        ("Div(k, x)", (3, 1, 1), "a constant divided by the image is not linear"),
        ("Div(x, k)", np.float32([[[1]], [[0]], [[2]]]), "it divides by zero"),
        ("Sub(x, k)", (8,), "the constant is not a scalar or one number a channel"),
        ("Mul(x, k)", (3, 8, 8), "the constant is not a scalar or one number a channel"),
        ("Mul(x, k)", (2, 1, 1, 1), "the constant is not a scalar or one number a channel"),
    ],
)
def test_declines_other_arithmetic(parse, check, node, k, reason):
    model = parse(image(f"[n] u = {node} [conv] y = Conv(u, w)"), k=k, w=(4, 3, 3, 3))
    assert check(FoldNormalization(), model).declined == [("n", reason)]


def test_declines_one_number_a_column_where_columns_are_as_many_as_channels(parse, check):
    model = parse(
        image("[n] u = Mul(x, k) [conv] y = Conv(u, w)", inputs="float[2,3,3,3] x"),
        k=(3,),
        w=(4, 3, 2, 2),
    )
    reason = "the constant is not a scalar or one number a channel"
    assert check(FoldNormalization(), model).declined == [("n", reason)]


@pytest.mark.parametrize(
    ("more", "outputs"),
    [
        ("z = Relu(u)", "float[2,4,6,6] y, float[2,3,8,8] z"),
        ("", "float[2,4,6,6] y, float[2,3,8,8] u"),
        ("z = Conv(u, w2)", "float[2,4,6,6] y, float[2,4,6,6] z"),
    ],
    ids=["read twice", "graph output", "two convolutions"],
)
def test_declines_a_normalised_value_that_others_want(parse, check, more, outputs):
    model = parse(
        image(f"[n] u = Sub(x, mean) [conv] y = Conv(u, w) {more}", outputs),
        mean=(3, 1, 1),
        w=(4, 3, 3, 3),
        **({"w2": (4, 3, 3, 3)} if "w2" in more else {}),
    )
    done = check(FoldNormalization(), model)
    assert done.made == []
    assert set(done.declined) == {("n", "the normalised value has other readers")}


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("float[4,3,3,3] w", "the weights are not constant"),
        ("float[4] b", "the bias is not constant"),
    ],
)
def test_declines_weights_that_a_caller_gives(parse, check, declared, reason):
    given = {"w": (4, 3, 3, 3), "b": (4,), "mean": (3, 1, 1)}
    del given[declared[-1]]
    nodes = "[n] u = Sub(x, mean) [conv] y = Conv(u, w, b)"
    model = parse(image(nodes, inputs=f"float[2,3,8,8] x, {declared}"), **given)
    assert check(FoldNormalization(), model).declined == [("n", reason)]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("2,1,8,8", "the constant may give the image its channels"),
        ("N,C,8,8", "the constant may give the image its channels"),
        ("3,8,8", "the constant may give the image its rank"),
    ],
)
def test_declines_a_constant_that_broadcasts_the_image(parse, given, reason):
    text = image("[n] u = Sub(x, mean) y = Conv(u, w)", inputs=f"float[{given}] x")
    model = parse(text.replace("[2,4,N,M]", "[N,4,H,W]"), mean=(1, 3, 1, 1), w=(4, 3, 3, 3))
    result = FoldNormalization().apply(model, PassContext())
    assert (result.made, [note.reason for note in result.declined]) == ((), [reason])
    assert [node.op_type for node in model.graph] == ["Sub", "Conv"]


def test_a_scalar_is_folded_whatever_the_channels(parse):
    text = image("[n] u = Div(x, std) y = Conv(u, w)", inputs="float[N,C,8,8] x")
    model = parse(text.replace("[2,4,N,M]", "[N,4,H,W]"), std=(1,), w=(4, 3, 3, 3))
    assert FoldNormalization().apply(model, PassContext()).changed


def test_a_fold_names_the_graph_and_a_convolution_without_name(parse):
    model = parse(image("[n] u = Div(x, std) y = Conv(u, w)"), std=(3, 1, 1), w=(4, 3, 3, 3))
    (made,) = FoldNormalization().apply(model, PassContext()).made
    assert (str(made.at), made.reason) == ("g/n", "folded into y")


def test_new_weights_get_names_that_no_value_has(parse, check):
    model = parse(
        image("[n] u = Sub(x, mean) [conv] t = Conv(u, w) y = Relu(t)"),
        mean=(3, 1, 1),
        w=(4, 3, 3, 3),
    )
    model.graph[1].outputs[0].name = "conv.bias"
    check(FoldNormalization(), model)
    assert sorted(model.graph.initializers) == ["conv.bias.1", "conv.weight", "mean", "w"]


@pytest.mark.parametrize("attributes", ["", "<transB=1, alpha=0.5>"])
@pytest.mark.parametrize("bias", ["", ", b", ", one"])
def test_folds_into_a_product_with_bias(parse, check, attributes, bias):
    nodes = f"t = Sub(x, k) u = Div(t, std) [fc] y = Gemm{attributes}(u, w{bias})"
    given = {"b": (5,), "one": np.float32(1)}
    model = parse(
        f"g (float[2,6] x) => (float[2,5] y) {{ {nodes} }}",
        k=(6,),
        std=(),
        w=(5, 6) if attributes else (6, 5),
        **{name: each for name, each in given.items() if bias.endswith(f" {name}")},
    )
    assert check(FoldNormalization(), model).ops == ["Gemm"]


def test_a_product_without_bias_takes_the_scale_only(parse, check):
    nodes = "[sub] t = Sub(x, k) [div] u = Div(t, std) y = MatMul(u, w)"
    text = f"g (float[2,3,6] x) => (float[2,3,5] y) {{ {nodes} }}"
    done = check(FoldNormalization(), parse(text, k=(6,), std=(6,), w=(6, 5)))
    assert done.ops == ["Sub", "MatMul"]
    assert done.declined == [("sub", "a MatMul has no bias")]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("y = Gemm<transA=1>(u, w)", "it is no product of rows with a matrix"),
        ("v = Gemm(u, w) z = Gemm(x, w) y = Add(v, z)",
         "the weights are shared with another node"),
        ("y = Gemm<beta=0.5>(u, w, b)", "the bias is scaled"),
        ("y = Gemm(u, w, rows)", "the bias varies by row"),
    ],
    ids=["turned", "shared", "scaled", "rows"],
)  # fmt: skip
def test_declines_other_products(parse, check, nodes, reason):
    given = {"b": (5,), "rows": (6, 5)}
    text = f"g (float[6,6] x) => (float[6,5] y) {{ [n] u = Add(x, one) {nodes} }}"
    weights = {name: each for name, each in given.items() if f"{name})" in nodes}
    model = parse(text, one=np.float32(1), w=(6, 5), **weights)
    assert check(FoldNormalization(), model).declined == [("n", reason)]


def test_leaves_arithmetic_on_two_inputs_alone(parse, check):
    text = image("u = Sub(x, m) y = Conv(u, w)", inputs="float[2,3,8,8] x, float[3,1,1] m")
    done = check(FoldNormalization(), parse(text, w=(4, 3, 3, 3)))
    assert done.ops == ["Sub", "Conv"]
    assert (done.made, done.declined) == ([], [])


def test_shared_weights_are_not_changed_for_the_other_convolution(parse, check):
    nodes = "[n] u = Div(x, std) [conv] y = Conv(u, w) z = Conv(x, w)"
    model = parse(
        image(nodes, "float[2,4,6,6] y, float[2,4,6,6] z"), w=(4, 3, 3, 3), std=(3, 1, 1)
    )
    assert check(FoldNormalization(), model).ops == ["Conv", "Conv"]


def test_the_check_fails_an_offset_moved_past_padding(parse, check, monkeypatch):
    """The rule of the pass that is easiest to forget, taken out."""
    monkeypatch.setattr(normalization, "pads", lambda conv: False)
    nodes = f"{NORMALIZE} [conv] y = Conv<pads=[1,1,1,1]>(u, w)"
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FoldNormalization(), parse(image(nodes), w=(4, 3, 3, 3), **CHANNELS))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fold-normalization"]) is FoldNormalization
    assert parse_pipeline("fold-normalization") == (FoldNormalization(),)
