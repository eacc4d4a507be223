import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import resizes
from suture.passes.fuse.resizes import ComposeResizes
from suture.passes.pipeline import parse_pipeline

PLAIN = 'coordinate_transformation_mode="asymmetric", nearest_mode="floor"'


@pytest.fixture
def resized(parse):
    """Two resizes of ``x`` and what lies between, by factors."""

    def resized(
        first, second, between="", *, size=6, how=PLAIN, behind="y = Exp(v)", opset=18
    ):
        resize, middle = f"Resize<{how}>", "u" if between else "t"
        skipped = "roi" if opset < 13 else ""
        nodes = (
            f"[one] t = {resize}(x, {skipped}, s1) {between}"
            f" [two] v = {resize}({middle}, {skipped}, s2) {behind}"
        )
        numbers = {"roi": np.zeros(0, np.float32), "k": (3, 1, 1), "line": (12,)}
        read = {name: each for name, each in numbers.items() if f" {name}" in nodes}
        for name, factor in (("s1", first), ("s2", second)):
            read[name] = np.float32([1, 1, factor, factor])
        text = f"g (float[2,3,{size},{size}] x) => (float[N,C,H,W] y) {{ {nodes} }}"
        return parse(text, opset, **read)

    return resized


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("how", [PLAIN, 'nearest_mode="round_prefer_floor"'])
@pytest.mark.parametrize(("first", "second"), [(2, 3), (2, 2), (4, 0.5), (1 / 2, 1 / 3)])
def test_factors_are_multiplied(resized, check, how, first, second, opset):
    done = check(ComposeResizes(), resized(first, second, how=how, opset=opset))
    assert (done.ops, done.made) == (["Resize", "Exp"], [("two", "composed with one")])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_what_is_enlarged_and_made_small_again_is_gone(resized, check, factor):
    assert check(ComposeResizes(), resized(factor, 1 / factor)).ops == ["Exp"]


@pytest.mark.parametrize(
    ("first", "second", "ops"),
    [
        (2, 0.5, ["Relu", "Mul", "Exp"]),
        (2, 2, ["Relu", "Mul", "Resize", "Exp"]),
        (0.5, 0.5, ["Resize", "Relu", "Mul", "Exp"]),
    ],
    ids=["undone", "larger", "smaller"],
)
def test_arithmetic_between_is_done_where_there_is_least(resized, check, first, second, ops):
    between = "r = Relu(t) u = Mul(r, k)"
    assert check(ComposeResizes(), resized(first, second, between, size=8)).ops == ops


def test_an_output_keeps_its_name(resized, check):
    model = resized(2, 2, behind="y = Identity(v)")
    model.graph.outputs[0] = model.graph[1].outputs[0]
    model.graph.remove(model.graph[2], safe=True)
    assert check(ComposeResizes(), model).ops == ["Resize"]
    undone = resized(2, 0.5, behind="y = Identity(v)")
    undone.graph.outputs[0] = undone.graph[1].outputs[0]
    undone.graph.remove(undone.graph[2], safe=True)
    assert check(ComposeResizes(), undone).declined == [("two", "it names a graph output")]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"how": 'mode="linear"'}, "only resizes to the nearest pixel of the image compose"),
        ({"between": "u = Cast<to=1>(t)"}, "a Cast lies between"),
        ({"between": "u = Mul(t, line)"}, "the constant varies over what Resize changes"),
        ({"first": 1.5, "second": 1.5, "size": 7}, "no one Resize reads the same pixels"),
        ({"first": 0.5}, "no one Resize reads the same pixels"),
        ({"how": 'nearest_mode="ceil"'}, "no one Resize reads the same pixels"),
    ],
    ids=["linear", "cast", "line", "uneven", "lost", "shifted"],
)
def test_declines(resized, check, given, reason):
    given = {"first": 2, "second": 2} | given
    done = check(ComposeResizes(), resized(given.pop("first"), given.pop("second"), **given))
    assert (done.made, done.declined) == ([], [("two", reason)])


def test_declines_sizes_that_are_free(parse):
    text = (
        f"g (float[1,1,H,W] x) => (float[1,1,A,B] y) {{ [one] t = Resize<{PLAIN}>(x, , s)"
        f" [two] y = Resize<{PLAIN}>(t, , s) }}"
    )
    result = ComposeResizes().apply(parse(text, s=np.float32([1, 1, 2, 2])), None)
    assert [each.reason for each in result.declined] == ["the sizes are not fixed"]


def test_declines_what_others_read(resized, check):
    model = resized(2, 0.5, behind="w = Exp(t) z = ReduceMax(w) y = Add(v, z)")
    assert check(ComposeResizes(), model).declined == [
        ("two", "what lies between has other readers")
    ]


def test_the_check_fails_other_pixels(resized, check, monkeypatch):
    right = resizes._one

    def wrong(first, second, wanted):
        attributes, sizes = right(first, second, wanted)
        return {**attributes, "nearest_mode": "ceil"}, sizes

    monkeypatch.setattr(resizes, "_one", wrong)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(ComposeResizes(), resized(2, 2))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["compose-resizes"]) is ComposeResizes
    assert parse_pipeline("compose-resizes") == (ComposeResizes(),)
