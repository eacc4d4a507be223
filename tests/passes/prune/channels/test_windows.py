"""Rows times weights must be what the node computes."""

import numpy as np
import pytest

from suture.passes.intermediate import observe
from suture.passes.prune.channels.groups import find_groups
from suture.passes.prune.channels.readers import find_readers
from suture.passes.prune.channels.windows import Windows


def conv(net, **attributes):
    return net.node("Conv", "x", net.weight(5, 4, 3, 2), **attributes)


def gemm(net, **attributes):
    weight = net.weight(*((5, 144) if attributes.get("transB") else (144, 5)))
    return net.node("Gemm", net.node("Flatten", "x"), weight, **attributes)


CASES = {
    "plain": lambda net: conv(net),
    "padded": lambda net: conv(net, pads=[2, 1, 0, 1]),
    "strided": lambda net: conv(net, strides=[2, 3], pads=[1, 1, 1, 1]),
    "dilated": lambda net: conv(net, dilations=[1, 2]),
    "gemm": lambda net: gemm(net),
    "gemm-transposed": lambda net: gemm(net, transB=1),
    "matmul": lambda net: net.node("MatMul", "x", net.weight(6, 5)),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_times_weights_are_the_result(case, network):
    net = network()
    model = net.model(CASES[case](net))
    (reader,) = find_readers(model, find_groups(model))
    node = next(each for each in model.graph if each.op_type not in ("Flatten",))
    windows = Windows.of(node, reader)
    rng = np.random.default_rng(0)
    request = {"x": rng.standard_normal((1, 4, 6, 6), np.float32)}
    ((want, data),) = observe(model, [reader.result, reader.data], [request])
    axis = 1 if node.op_type == "Conv" else -1
    want = np.moveaxis(want, axis, -1).reshape(-1, 5)
    some = rng.permutation(len(want))[:7]
    rows = windows.at(data, some)
    weight = model.graph.initializers[reader.weight].const_value.numpy()
    unit = np.eye(rows.shape[1])
    # weights as a matrix, by what each feature alone gives: ``shaped`` is its inverse
    matrix = np.stack(
        [
            (windows.shaped(each[:, None] * np.ones((1, 5)), weight.shape) * weight)
            .reshape(-1)
            .reshape(weight.shape)
            for each in unit
        ]
    )
    outputs = 0 if case == "gemm-transposed" or node.op_type == "Conv" else 1
    matrix = np.moveaxis(matrix, outputs + 1, -1).reshape(len(unit), -1, 5).sum(1)
    np.testing.assert_allclose(rows @ matrix, want[some], rtol=1e-4, atol=1e-5)


def test_what_is_scaled_or_grouped_is_left_alone(network):
    net = network()
    flat = net.node("Flatten", net.conv("x", 4, 4, group=2))
    model = net.model(net.node("Gemm", flat, net.weight(144, 3), alpha=0.5))
    readers = find_readers(model, find_groups(model))
    nodes = [node for node in model.graph if node.op_type != "Flatten"]
    assert [Windows.of(*pair) for pair in zip(nodes, readers, strict=True)] == [None, None]
