import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import pads
from suture.passes.fuse.pads import FoldPads
from suture.passes.pipeline import parse_pipeline

NUMBERS = {
    "ends": np.array([0, 0, 0, 1, 0, 0, 2, 1]),
    "spatial": np.array([1, 0, 2, 1]),
    "last": np.array([-2, -1]),
    "channel": np.array([0, 1, 0, 0, 0, 0, 0, 0]),
    "cut": np.array([0, 0, -1, 0, 0, 0, 0, 0]),
    "zero": np.float32(0),
    "one": np.float32(1),
}
W = {"w": (4, 3, 3, 3)}


@pytest.fixture
def written(parse):
    def written(nodes, inputs="float[2,3,8,8] x", outputs="float[N,C,H,W] y", opset=18):
        read = nodes.replace("(", " ").replace(")", " ").replace(",", " ").split()
        given = {name: each for name, each in NUMBERS.items() if name in read}
        weights = W if "w)" in nodes else {}
        return parse(f"g ({inputs}) => ({outputs}) {{ {nodes} }}", opset, **given, **weights)

    return written


@pytest.mark.parametrize(
    "pad", ["Pad(x, ends)", "Pad(x, ends, zero)", "Pad(x, spatial, , last)"]
)
@pytest.mark.parametrize(
    "layer",
    [
        "Conv(t, w)",
        "Conv<pads=[1,0,1,2], strides=[2,2]>(t, w)",
        'Conv<auto_pad="VALID">(t, w)',
        "AveragePool<kernel_shape=[3,3]>(t)",
        "AveragePool<kernel_shape=[5,4], pads=[1,1,1,1], count_include_pad=1>(t)",
    ],
)
def test_zeros_become_the_layer_s_own(written, check, pad, layer):
    done = check(FoldPads(), written(f"[pad] t = {pad} [layer] y = {layer}"))
    assert (len(done.ops), done.made) == (1, [("pad", "folded into layer")])


def test_two_in_a_row_both_go(written, check):
    nodes = "t = Pad(x, ends) u = Pad(t, ends) y = Conv(u, w)"
    assert check(FoldPads(), written(nodes)).ops == ["Conv"]


def test_attributes_of_older_sets(written, check):
    nodes = "t = Pad<pads=[0,0,1,1,0,0,1,1]>(x) y = Conv(t, w)"
    assert check(FoldPads(), written(nodes, opset=10)).ops == ["Conv"]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("[pad] t = Pad(x, ends, one) y = Conv(t, w)", "it does not pad with zeros"),
        ('[pad] t = Pad<mode="edge">(x, ends) y = Conv(t, w)', "it does not pad with zeros"),
        ("[pad] t = Pad(x, cut) y = Conv(t, w)", "it cuts"),
        ("[pad] t = Pad(x, channel) y = AveragePool<kernel_shape=[3,3]>(t)",
         "it pads images or channels"),
        ('[pad] t = Pad(x, ends) y = Conv<auto_pad="SAME_UPPER">(t, w)',
         "Conv decides for itself how much it pads"),
        ("[pad] t = Pad(x, ends) y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(t)",
         "AveragePool does not count what it pads itself"),
        ("[pad] t = Pad(x, ends) y = AveragePool<kernel_shape=[3,3], ceil_mode=1>(t)",
         "AveragePool rounds its size up"),
        ("[pad] t = Pad(x, ends) y = AveragePool<kernel_shape=[2,2]>(t)",
         "AveragePool pads by less than its kernel"),
        ("[pad] t = Pad(x, ends) u = Conv(t, w) v = ReduceMax(t) y = Add(u, v)",
         "the padded value has other readers"),
    ],
    ids=["one", "edge", "cut", "channel", "same", "uncounted", "ceil", "kernel", "read"],
)  # fmt: skip
def test_declines(written, check, nodes, reason):
    done = check(FoldPads(), written(nodes))
    assert (done.made, done.declined) == ([], [("pad", reason)])


def test_declines_what_a_caller_decides(written):
    model = written("[pad] t = Pad(x, p) y = Conv(t, w)", "float[2,3,8,8] x, int64[8] p")
    result = FoldPads().apply(model, None)
    assert [each.reason for each in result.declined] == ["how much it pads is not known"]


def test_the_check_fails_ends_the_other_way_round(written, check, monkeypatch):
    right = pads._ends
    monkeypatch.setattr(pads, "_ends", lambda pad: right(pad)[::-1])
    with pytest.raises(VerifyError):
        check(FoldPads(), written("t = Pad(x, ends) y = Conv(t, w)"))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fold-pads"]) is FoldPads
    assert parse_pipeline("fold-pads") == (FoldPads(),)
