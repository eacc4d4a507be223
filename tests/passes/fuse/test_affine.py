import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.base import PassContext
from suture.passes.fuse import affine
from suture.passes.fuse.affine import FoldAffine
from suture.passes.pipeline import parse_pipeline

CONV = "t = Conv<pads=[1,1,1,1]>(x, w, b)"
SHAPES = {"w": (4, 4, 3, 3), "b": (4,), "s": (4, 1, 1), "o": (4, 1, 1)}
STATISTICS = {"scale": (4,), "beta": (4,), "mean": (4,), "var": (4,)}


def behind(first, *nodes, outputs="float[2,4,6,6] y", inputs="float[2,4,6,6] x"):
    return f"g ({inputs}) => ({outputs}) {{ [first] {first} {' '.join(nodes)} }}"


@pytest.mark.parametrize(
    ("first", "weights"),
    [
        (CONV, {"w": (4, 4, 3, 3), "b": (4,)}),
        ("t = Conv<group=2,pads=[1,1,1,1]>(x, w)", {"w": (4, 2, 3, 3)}),
        ("t = ConvTranspose<pads=[1,1,1,1]>(x, w, b)", {"w": (4, 4, 3, 3), "b": (4,)}),
        ("t = ConvTranspose<group=2>(x, w)", {"w": (4, 2, 1, 1)}),
        ("t = BatchNormalization(x, scale, beta, mean, var)", STATISTICS),
    ],
    ids=["conv", "grouped", "transposed", "transposed, grouped", "norm"],
)
def test_folds_a_scale_and_an_offset_of_each_channel(parse, check, first, weights):
    text = behind(first, "[mul] u = Mul(t, s)", "[add] y = Add(o, u)")
    done = check(FoldAffine(), parse(text, **weights, s=(4, 1, 1), o=(4, 1, 1)))
    assert len(done.ops) == 1
    assert done.made == [("mul", "folded into first"), ("add", "folded into first")]


@pytest.mark.parametrize("operation", ["Sub(t, o)", "Sub(o, t)", "Div(t, std)", "Mul(std, t)"])
def test_folds_either_side_of_any_arithmetic(parse, check, operation):
    model = parse(behind(CONV, f"y = {operation}"), **SHAPES, std=(1, 4, 1, 1))
    assert check(FoldAffine(), model).ops == ["Conv"]


@pytest.mark.parametrize(
    ("first", "shape", "ops"),
    [
        ("t = Gemm(x, w, b)", (4, 3), ["Gemm"]),
        ("t = Gemm<transB=1,alpha=0.5>(x, w, b)", (3, 4), ["Gemm"]),
        ("t = Gemm(x, w)", (4, 3), ["Gemm"]),
        ("t = MatMul(x, w)", (4, 3), ["MatMul", "Add"]),
    ],
)
def test_folds_into_products(parse, check, first, shape, ops):
    text = behind(
        first,
        "u = Mul(t, s) y = Add(u, o)",
        outputs="float[2,3] y",
        inputs="float[2,4] x",
    )
    assert check(FoldAffine(), parse(text, w=shape, b=(3,), s=(3,), o=(3,))).ops == ops


def test_folds_a_factor_into_a_product_of_many_rows(parse, check):
    text = behind(
        "t = MatMul(x, w)",
        "y = Div(t, std)",
        outputs="float[1,5,3] y",
        inputs="float[1,5,4] x",
    )
    assert check(FoldAffine(), parse(text, w=(4, 3), std=(1,))).ops == ["MatMul"]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("[a] y = Mul(t, o) z = Exp(t)", "the output of Conv has other readers"),
        (
            "[a] y = Mul(t, o) z = Conv<group=4>(y, w)",
            "the weights are shared with another node",
        ),
        ("[a] y = Div(o, t)", "a constant divided by the image is not linear"),
        ("[a] y = Div(t, zero)", "it divides by zero"),
        ("[a] y = Mul(t, row)", "the constant is not a scalar or one number a channel"),
        ("[a] y = Mul(t, huge)", "the weights would overflow"),
    ],
)
def test_declines(parse, check, nodes, reason):
    also = ", float[N,M,H,W] z" if "z =" in nodes else ""
    text = behind("t = Conv<group=4>(x, w)", nodes, outputs="float[2,4,6,6] y" + also)
    model = (
        parse(
            text,
            w=np.full((4, 1, 1, 1), 2, np.float32),
            o=(4, 1, 1),
            zero=np.zeros((4, 1, 1), np.float32),
            row=(6,),
            huge=np.full((4, 1, 1), 3e38, np.float32),
        )
        if "Conv<group" not in nodes
        else parse(text, w=(4, 1, 1, 1), o=(4, 1, 1))
    )
    assert check(FoldAffine(), model).declined == [("a", reason)]


def test_declines_what_a_caller_can_change(parse, check):
    text = behind(
        "t = Conv(x, w)",
        "[a] y = Mul(t, s)",
        inputs="float[2,4,6,6] x, float[4,4,1,1] w",
    )
    done = check(FoldAffine(), parse(text, s=(4, 1, 1)))
    assert done.declined == [("a", "the weights are not constant")]


def test_declines_a_normalisation_that_trains(parse):
    text = behind(
        "t, m, v = BatchNormalization<training_mode=1>(x, scale, beta, mean, var)",
        "[a] y = Mul(t, s)",
    )
    result = FoldAffine().apply(parse(text, **STATISTICS, s=(4, 1, 1)), PassContext())
    reason = "it takes its statistics from the batch, as in training"
    assert (result.made, [note.reason for note in result.declined]) == ((), [reason])


def test_declines_a_bias_that_is_scaled(parse, check):
    text = behind(
        "t = Gemm<beta=0.5>(x, w, b)",
        "[a] y = Mul(t, s)",
        outputs="float[2,3] y",
        inputs="float[2,4] x",
    )
    done = check(FoldAffine(), parse(text, w=(4, 3), b=(3,), s=(3,)))
    assert done.declined == [("a", "the bias is scaled")]


def test_the_check_fails_a_wrong_fold(parse, check, monkeypatch):
    monkeypatch.setattr(affine, "_bias", lambda node: np.zeros(1))
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FoldAffine(), parse(behind(CONV, "y = Mul(t, s)"), **SHAPES))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fold-affine"]) is FoldAffine
    assert parse_pipeline("fold-affine") == (FoldAffine(),)
