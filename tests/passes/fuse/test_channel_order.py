import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import channel_order
from suture.passes.fuse.channel_order import FoldChannelOrder
from suture.passes.pipeline import parse_pipeline

TURN = "[turn] t = Gather<axis=1>(x, order)"
CONV = "[conv] y = Conv<pads=[1,1,1,1]>({}, w)"
NUMBERS = {
    "order": np.array([2, 0, 1]),
    "back": np.array([2, -2, 0]),
    "last": np.array([-1]),
    "none": np.array([-100]),
    "one": np.array([1]),
    "two": np.array([2]),
    "three": np.array([3]),
    "step": np.array([-1]),
    "first": np.array([0]),
    "parts": np.array([1, 2]),
    "repeats": np.array([1, 3, 1, 1]),
    "colour": np.array([2, 3, 8, 8]),
    "fewer": np.array([0, 1]),
    "mean": (3, 1, 1),
    "same": np.full((1, 3, 1, 1), 2, np.float32),
    "tail": (3,),
}


@pytest.fixture
def written(parse):
    def written(nodes, inputs="float[2,3,8,8] x", w=(4, 3, 3, 3)):
        read = nodes.replace("(", " ").replace(")", " ").replace(",", " ").split()
        given = {name: each for name, each in NUMBERS.items() if name in read}
        text = f"g ({inputs}) => (float[N,C,H,W] y) {{ {nodes} }}"
        return parse(text, w=w, **given)

    return written


@pytest.mark.parametrize(
    "nodes",
    [
        TURN,
        "a = Gather<axis=1>(x, back) t = Gather<axis=1>(a, order)",
        "t = Slice(x, last, none, one, step)",
        "r, g, b = Split<axis=1, num_outputs=3>(x) t = Concat<axis=1>(b, r, g)",
        "r, g = Split<axis=1>(x, parts) t = Concat<axis=1>(g, r)",
        "r = Slice(x, two, three, one) g = Gather<axis=1>(x, fewer) t = Concat<axis=1>(r, g)",
    ],
    ids=["gather", "twice", "slice", "split", "uneven", "slices"],
)
def test_an_order_goes_into_the_weights(written, check, nodes):
    assert check(FoldChannelOrder(), written(f"{nodes} {CONV.format('t')}")).ops == ["Conv"]


@pytest.mark.parametrize(
    "nodes",
    [
        "t = Concat<axis=1>(x, x, x)",
        "t = Tile(x, repeats)",
        "t = Expand(x, colour)",
        "a = Concat<axis=1>(x, x, x) b = Mul(a, same) t = Clip(b)",
        "t = Concat<axis=1>(x, x, x, x, x, x)",
    ],
)
def test_copies_of_a_channel_are_added_up(written, check, nodes):
    """As where a grey image meets a network for colours."""
    copies = 6 if "x, x, x, x" in nodes else 3
    model = written(f"{nodes} {CONV.format('t')}", "float[2,1,8,8] x", w=(4, copies, 3, 3))
    done = check(FoldChannelOrder(), model)
    assert [op for op in done.ops if op not in ("Mul", "Clip")] == ["Conv"]
    conv = next(node for node in model.graph if node.op_type == "Conv")
    assert list(conv.inputs[1].shape) == [4, 1, 3, 3]


@pytest.mark.parametrize(
    ("nodes", "inputs", "ops"),
    [
        (f"{TURN} u = Sub(t, mean)", "float[2,3,8,8] x", ["Sub", "Conv"]),
        ("t = Gather<axis=2>(x, order) a = Sub(t, tail) b = Transpose<perm=[2,0,1]>(a)"
         " u = Unsqueeze(b, first)", "float[8,8,3] x",
         ["Sub", "Transpose", "Unsqueeze", "Conv"]),
        ("t = Gather<axis=-1>(x, order) a = Cast<to=1>(t) u = Transpose<perm=[0,3,1,2]>(a)",
         "uint8[2,8,8,3] x", ["Cast", "Transpose", "Conv"]),
        ("t = Gather<axis=2>(x, order) u = Squeeze(t, first)", "float[1,2,3,8,8] x",
         ["Squeeze", "Conv"]),
        (f"{TURN} u = MaxPool<kernel_shape=[2,2]>(t)", "float[2,3,8,8] x",
         ["MaxPool", "Conv"]),
    ],
    ids=["arithmetic", "image", "bytes", "squeeze", "pool"],
)  # fmt: skip
def test_looks_past_what_keeps_channels_apart(written, check, nodes, inputs, ops):
    assert check(FoldChannelOrder(), written(f"{nodes} {CONV.format('u')}", inputs)).ops == ops


@pytest.mark.parametrize(
    ("nodes", "inputs", "w", "reason"),
    [
        (f"{TURN} [conv] y = Conv<group=3>(t, w)", "float[2,3,8,8] x", (3, 1, 3, 3),
         "the convolution is grouped"),
        ("[turn] t = Gather<axis=1>(x, fewer) y = Conv(t, w)", "float[2,3,8,8] x",
         (4, 2, 3, 3), "it leaves channels out"),
        ("[turn] t = Concat<axis=1>(x, x, x) u = Sub(t, mean) y = Conv<pads=[1,1,1,1]>(u, w)",
         "float[2,1,8,8] x", (4, 3, 3, 3), "arithmetic between differs from copy to copy"),
    ],
    ids=["grouped", "left out", "copies"],
)  # fmt: skip
def test_declines(written, check, nodes, inputs, w, reason):
    done = check(FoldChannelOrder(), written(nodes, inputs, w))
    assert (done.made, done.declined) == ([], [("turn", reason)])


def test_declines_weights_that_a_caller_gives(parse, check):
    entry = "float[2,3,8,8] x, float[4,3,3,3] w"
    text = f"g ({entry}) => (float[N,C,H,W] y) {{ {TURN} y = Conv(t, w) }}"
    done = check(FoldChannelOrder(), parse(text, order=NUMBERS["order"]))
    assert done.declined == [("turn", "the weights are not constant")]


@pytest.mark.parametrize(
    "nodes",
    [
        f"{TURN} z = Conv(t, w) a = Exp(t) b = Flatten(a) y = Conv(t, w)",
        "t = Gather<axis=2>(x, order) y = Conv(t, w)",
        "a = Exp(x) t = Concat<axis=0>(x, a) y = Conv(t, w)",
        "t = Gather<axis=1>(x, order) u = Softmax<axis=1>(t) y = Conv(u, w)",
    ],
    ids=["read twice", "rows", "two values", "mixed"],
)
def test_leaves_alone(written, check, nodes):
    model = written(nodes)
    ops = [node.op_type for node in model.graph]
    done = check(FoldChannelOrder(), model)
    assert (done.ops, done.made, done.declined) == (ops, [], [])


def test_the_check_fails_the_order_the_other_way_round(written, check, monkeypatch):
    right = channel_order.selected

    def wrong(value, axis):
        found = right(value, axis)
        if found is None:
            return None
        indices = np.argsort(found.indices)
        return channel_order.Selection(found.source, axis, indices, found.nodes)

    monkeypatch.setattr(channel_order, "selected", wrong)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FoldChannelOrder(), written(f"{TURN} {CONV.format('t')}"))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fold-channel-order"]) is FoldChannelOrder
    assert parse_pipeline("fold-channel-order") == (FoldChannelOrder(),)
