"""What each operator ties: which indices of its inputs and outputs stand or fall together.

A rule yields pairs of arrays of ids of one length; ids at equal places are tied. What a rule
of an operator leaves out may not be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from suture.passes.base import constant_of
from suture.passes.prune.channels.attention import tie_heads
from suture.passes.prune.channels.use import Axes, Ids, Tie, Use

ELEMENTWISE = frozenset(
    [
        "Abs",
        "Acos",
        "Add",
        "And",
        "Asin",
        "Atan",
        "Cast",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Div",
        "Dropout",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsNaN",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Swish",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
        "Where",
        "Xor",
    ]
)
RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
REDUCES = frozenset(
    [
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    ]
)
POOLS = frozenset(
    ["AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"]
)


def ties(use: Use) -> Iterator[Tie]:
    """Yield what a node ties; nothing for operators that are not known here."""
    if use.node.domain not in ("", "ai.onnx"):
        return
    rule = RULES.get(use.node.op_type)
    if rule is not None:
        yield from (pair for pair in rule(use) if len(pair[0]) == len(pair[1]))


def is_depthwise(node: ir.Node, channels: int) -> bool:
    """Whether each channel of a Conv's input has filters of its own."""
    return node.attributes.get_int("group", 1) == channels > 1


def _elementwise(use: Use) -> Iterator[Tie]:
    for result in use.outputs:
        for axes in filter(None, use.inputs):
            yield from zip(reversed(axes), reversed(result), strict=False)


def _conv(use: Use) -> Iterator[Tie]:
    data, weight, (result, *_) = use.read(0), use.read(1), use.outputs
    groups = use.node.attributes.get_int("group", 1)
    yield data[0], result[0]
    yield weight[0], result[1]
    yield from _one(use.read(2), result[1])
    if is_depthwise(use.node, len(data[1])):
        yield np.repeat(data[1], len(result[1]) // groups), result[1]
    else:  # the same channel of each group: groups stay equally wide
        for inside in np.split(data[1], groups):
            yield inside, weight[1]
        first, *others = np.split(result[1], groups)
        for outside in others:
            yield first, outside


def _conv_transpose(use: Use) -> Iterator[Tie]:
    data, weight, result = use.read(0), use.read(1), use.outputs[0]
    if use.node.attributes.get_int("group", 1) == 1:
        yield data[0], result[0]
        yield data[1], weight[0]
        yield weight[1], result[1]
        yield from _one(use.read(2), result[1])


def _gemm(use: Use) -> Iterator[Tie]:
    left, right = use.read(0), use.read(1)
    if use.node.attributes.get_int("transA", 0):
        left = left[::-1]
    if use.node.attributes.get_int("transB", 0):
        right = right[::-1]
    result = use.outputs[0]
    yield left[1], right[0]
    yield left[0], result[0]
    yield right[1], result[1]
    yield from zip(reversed(use.read(2)), reversed(result), strict=False)


def _matmul(use: Use) -> Iterator[Tie]:
    left, right, result = use.read(0), use.read(1), use.outputs[0]
    if min(len(left), len(right)) < 2:
        return
    yield left[-1], right[-2]
    yield left[-2], result[-2]
    yield right[-1], result[-1]
    for axes in (left, right):
        yield from zip(reversed(axes[:-2]), reversed(result[:-2]), strict=False)


def _batch_norm(use: Use) -> Iterator[Tie]:
    data, result = use.read(0), use.outputs[0]
    yield from zip(data, result, strict=True)
    for position in range(1, len(use.inputs)):
        yield from _one(use.read(position), data[1])


def _pool(use: Use) -> Iterator[Tie]:
    for result in use.outputs:
        yield from zip(use.read(0)[:2], result[:2], strict=True)


def _resize(use: Use) -> Iterator[Tie]:
    scales = use.read(2)
    if scales and len(scales[0]):  # sizes would name the number of channels
        yield from zip(use.read(0)[:2], use.outputs[0][:2], strict=True)


def _pad(use: Use) -> Iterator[Tie]:
    pads = constant_of(use.node.inputs[1]) if len(use.node.inputs) > 1 else None
    if pads is None or len(use.node.inputs) > 3:
        return
    before, after = np.split(pads.numpy(), 2)
    for axis, (old, new) in enumerate(zip(use.read(0), use.outputs[0], strict=True)):
        if before[axis] == after[axis] == 0:
            yield old, new


def _transpose(use: Use) -> Iterator[Tie]:
    data, result = use.read(0), use.outputs[0]
    order = use.node.attributes.get_ints("perm") or range(len(data))[::-1]
    yield from ((data[old], result[new]) for new, old in enumerate(order))


def _concat(use: Use) -> Iterator[Tie]:
    yield from _strung(use, [axes or () for axes in use.inputs], use.outputs[0])


def _split(use: Use) -> Iterator[Tie]:
    yield from _strung(use, use.outputs, use.read(0))


def _strung(use: Use, parts: Sequence[Axes], whole: Axes) -> Iterator[Tie]:
    axis = use.axis(len(whole), 0)
    yield np.concatenate([part[axis] for part in parts]), whole[axis]
    for part in parts:
        yield from ((part[i], whole[i]) for i in range(len(whole)) if i != axis)


def _softmax(use: Use) -> Iterator[Tie]:
    """What is normalised over must stay whole; before opset 13, so must all axes behind."""
    data, opsets = use.read(0), use.node.graph.opset_imports if use.node.graph else {}
    axis = use.axis(len(data), -1 if opsets.get("", 1) >= 13 else 1)
    yield from zip(data[:axis], use.outputs[0][:axis], strict=True)


def _layer_norm(use: Use) -> Iterator[Tie]:
    data = use.read(0)
    axis = use.axis(len(data), -1)
    yield from zip(data[:axis], use.outputs[0][:axis], strict=True)


def _reduce(use: Use) -> Iterator[Tie]:
    data, result, node = use.read(0), use.outputs[0], use.node
    axes = node.attributes.get_ints("axes")
    given = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None and given is None:
        return
    gone = {int(axis) % len(data) for axis in (given.numpy() if given is not None else axes)}
    stay = [axis for axis in range(len(data)) if axis not in gone]
    kept = bool(node.attributes.get_int("keepdims", 1))
    yield from ((data[old], result[old if kept else new]) for new, old in enumerate(stay))


def _gather(use: Use) -> Iterator[Tie]:
    data, indices, result = use.read(0), use.read(1), use.outputs[0]
    axis = use.axis(len(data), 0)
    places = (*data[:axis], *indices, *data[axis + 1 :])
    yield from zip(places, result, strict=True)


def _reshape(use: Use) -> Iterator[Tie]:
    """Axes that are joined or taken apart go by the outermost; those inside stay whole."""
    old = [axis for axis in use.read(0) if len(axis) != 1]
    new = [axis for axis in use.outputs[0] if len(axis) != 1]
    if not all(map(len, (*old, *new))):
        return
    while old and new:
        before, after = [old.pop(0)], [new.pop(0)]
        while (gap := _size(before) - _size(after)) and (old if gap < 0 else new):
            (before if gap < 0 else after).append((old if gap < 0 else new).pop(0))
        if len(before) == 1:
            yield before[0], np.repeat(after[0], _size(after[1:]))
        elif len(after) == 1:
            yield np.repeat(before[0], _size(before[1:])), after[0]


def _size(axes: Sequence[Ids]) -> int:
    return int(np.prod([len(axis) for axis in axes], dtype=np.int64))


def _one(axes: Axes, whole: Ids) -> Iterator[Tie]:
    if axes:
        yield axes[0], whole


RULES: Mapping[str, Callable[[Use], Iterator[Tie]]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(RESHAPES, _reshape),
    **dict.fromkeys(REDUCES, _reduce),
    **dict.fromkeys(POOLS, _pool),
    "Attention": tie_heads,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gather": _gather,
    "Gemm": _gemm,
    "InstanceNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Pad": _pad,
    "Resize": _resize,
    "Softmax": _softmax,
    "Split": _split,
    "Transpose": _transpose,
}
