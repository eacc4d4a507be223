"""What is measured: one entry an operator and shape.

A case is the text of ONNX nodes between ``x`` and ``y`` and the shapes of what they read.
Nodes whose output is called ``before`` and a number only bring the operator into the place
that it has in a network, behind a convolution, and do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx.parser
import onnx_ir as ir

from suture.codegen.budget import SizeSpeed

OPSET = 17
BEFORE = "before"
THIN = 8
"""Channels that the convolution before an operator reads."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator at one shape.

    Attributes:
        operator: What the table calls it.
        shape: Its sizes, for people.
        nodes: The text of its nodes, the last of which makes ``y``.
        inputs: Shapes of what requests bring.
        weights: Shapes of constants, drawn from a seed.
        size_speed: Whether constants may grow for a faster kernel, as Winograd's do.
    """

    operator: str
    shape: str
    nodes: str
    inputs: Mapping[str, tuple[int, ...]]
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    size_speed: SizeSpeed = "size"

    def __str__(self) -> str:
        return f"{self.operator}, {self.shape}"

    def model(self) -> ir.Model:
        """Return the model; equal cases give equal weights."""
        ports = ", ".join(
            f"float[{','.join(map(str, dims))}] {name}"
            for name, dims in (*self.inputs.items(), *self.weights.items())
        )
        text = f'<ir_version: 8, opset_import: ["": {OPSET}]>'
        proto = onnx.parser.parse_model(
            f"{text} kernel ({ports}) => (float y) {{ {self.nodes} }}"
        )
        proto.graph.output[0].type.tensor_type.ClearField("shape")
        model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
        rng = np.random.default_rng(0)
        for value in list(model.graph.inputs):
            if value.name in self.weights:
                dims = self.weights[value.name]
                deviation = float(np.prod(dims[1:])) ** -0.5
                array = rng.standard_normal(dims) * deviation
                value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
                model.graph.inputs.remove(value)
                model.graph.register_initializer(value)
        for node in model.graph:
            node.name = node.outputs[0].name
        return model


def conv(
    operator: str,
    channels: int,
    filters: int,
    edge: int,
    *,
    kernel: tuple[int, int] = (1, 1),
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    size_speed: SizeSpeed = "size",
) -> Case:
    """Return a convolution with bias and ReLU, padded to keep the size at stride 1."""
    tall, wide = ((size - 1) // 2 * dilation for size in kernel)
    notes = [f"stride {stride}"] * (stride > 1) + [f"dilation {dilation}"] * (dilation > 1)
    notes += [f"{groups} groups"] * (1 < groups < filters)
    size = f"{channels}→{filters}, {'×'.join(map(str, kernel))}, {edge}²"
    return Case(
        operator=operator,
        shape=", ".join((size, *notes)),
        nodes=f"c = Conv<pads=[{tall},{wide},{tall},{wide}], strides=[{stride},{stride}], "
        f"dilations=[{dilation},{dilation}], group={groups}>(x, w, b) y = Relu(c)",
        inputs={"x": (1, channels, edge, edge)},
        weights={"w": (filters, channels // groups, *kernel), "b": (filters,)},
        size_speed=size_speed,
    )


def signal(
    channels: int, filters: int, length: int, taps: int, *, stride: int = 1, groups: int = 1
) -> Case:
    """Return a convolution of one axis with bias and ReLU, padded to keep the size."""
    notes = [f"stride {stride}"] * (stride > 1) + ["depthwise"] * (groups > 1)
    return Case(
        operator="one axis",
        shape=", ".join((f"{channels}→{filters}, {taps}, {length}", *notes)),
        nodes=f"c = Conv<pads=[{taps // 2},{taps // 2}], strides=[{stride}], group={groups}>"
        "(x, w, b) y = Relu(c)",
        inputs={"x": (1, channels, length)},
        weights={"w": (filters, channels // groups, taps), "b": (filters,)},
    )


def product(operator: str, rows: int, depth: int, columns: int) -> Case:
    """Return a product by a constant matrix, with bias."""
    return Case(
        operator=operator,
        shape=f"{rows}×{depth}×{columns}",
        nodes="p = MatMul(x, w) y = Add(p, b)",
        inputs={"x": (rows, depth)},
        weights={"w": (depth, columns), "b": (columns,)},
    )


def attention(heads: int, length: int, size: int) -> Case:
    """Return softmax(q k / √size) v."""
    return Case(
        operator="attention",
        shape=f"{heads} heads, {length}×{size}",
        nodes=f"root = Constant<value_float={size**0.5}>() s = MatMul(q, k) d = Div(s, root) "
        "p = Softmax<axis=-1>(d) y = MatMul(p, v)",
        inputs={
            "q": (1, heads, length, size),
            "k": (1, heads, size, length),
            "v": (1, heads, length, size),
        },
    )


def plain(
    operator: str, nodes: str, *dims: int, weights: Mapping[str, tuple[int, ...]] | None = None
) -> Case:
    """Return an operator on a tensor that a request brings."""
    return Case(
        operator=operator,
        shape="×".join(map(str, dims)),
        nodes=nodes,
        inputs={"x": dims},
        weights=weights or {},
    )


def behind(operator: str, nodes: str, channels: int, edge: int, *, shape: str = "") -> Case:
    """Return an operator on the images ``before0`` that a convolution has made."""
    return Case(
        operator=operator,
        shape=f"{channels}, {edge}²" + (shape and f", {shape}"),
        nodes=f"{BEFORE}0 = Conv(x, w0) {nodes}",
        inputs={"x": (1, THIN, edge, edge)},
        weights={"w0": (channels, THIN, 1, 1)},
    )


def reduction(kind: str, axes: tuple[int, ...], *dims: int) -> Case:
    """Return a reduction of a tensor over some axes."""
    case = plain("reduction", f"y = Reduce{kind}<axes={list(axes)}, keepdims=0>(x)", *dims)
    axis = f"axis {axes[0]}" if len(axes) == 1 else f"{len(axes)} axes"
    return replace(case, shape=f"{kind}, {case.shape}, {axis}")


GELU = (
    "root = Constant<value_float=1.4142135>() one = Constant<value_float=1.0>() "
    "half = Constant<value_float=0.5>() d = Div(x, root) e = Erf(d) a = Add(e, one) "
    "m = Mul(x, a) y = Mul(m, half)"
)

CASES = (
    conv("convolution 1×1", 64, 256, 56),
    conv("convolution 1×1", 256, 64, 56),
    conv("convolution 1×1", 1024, 256, 14),
    conv("convolution 1×1", 512, 2048, 7),
    conv("convolution 1×1", 256, 512, 56, stride=2),
    conv("convolution k×k", 16, 16, 80, kernel=(3, 3)),
    conv("convolution k×k", 64, 64, 56, kernel=(3, 3)),
    conv("convolution k×k", 128, 128, 28, kernel=(3, 3)),
    conv("convolution k×k", 256, 256, 14, kernel=(3, 3)),
    conv("convolution k×k", 512, 512, 7, kernel=(3, 3)),
    conv("convolution k×k", 128, 128, 56, kernel=(3, 3), stride=2),
    conv("convolution k×k", 64, 64, 32, kernel=(3, 3), dilation=2),
    conv("convolution k×k", 192, 192, 17, kernel=(1, 7)),
    conv("convolution k×k", 48, 64, 35, kernel=(5, 5)),
    conv("Winograd", 64, 64, 56, kernel=(3, 3), size_speed="speed"),
    conv("Winograd", 128, 128, 28, kernel=(3, 3), size_speed="speed"),
    conv("Winograd", 256, 256, 14, kernel=(3, 3), size_speed="speed"),
    conv("Winograd", 512, 512, 7, kernel=(3, 3), size_speed="speed"),
    conv("first layer", 3, 64, 224, kernel=(7, 7), stride=2),
    conv("first layer", 3, 32, 224, kernel=(3, 3), stride=2),
    conv("first layer", 1, 16, 256, kernel=(3, 3)),
    conv("depthwise", 32, 32, 112, kernel=(3, 3), groups=32),
    conv("depthwise", 96, 96, 112, kernel=(3, 3), stride=2, groups=96),
    conv("depthwise", 384, 384, 14, kernel=(3, 3), groups=384),
    conv("depthwise", 240, 240, 28, kernel=(5, 5), groups=240),
    conv("grouped", 128, 128, 56, kernel=(3, 3), groups=4),
    conv("grouped", 128, 128, 56, kernel=(3, 3), groups=32),
    conv("grouped", 256, 256, 56, kernel=(3, 3), stride=2, groups=64),
    conv("grouped", 64, 64, 56, kernel=(3, 3), groups=32),
    conv("grouped", 96, 96, 28, kernel=(3, 3), groups=8),
    conv("grouped", 120, 120, 28, kernel=(3, 3), groups=6),
    conv("grouped", 256, 256, 28, kernel=(3, 3), groups=32),
    conv("grouped", 256, 256, 56, kernel=(3, 3), stride=2, groups=32),
    conv("grouped", 512, 512, 14, kernel=(3, 3), groups=32),
    conv("grouped", 32, 64, 56, kernel=(3, 3), groups=32),
    conv("grouped", 272, 272, 28, groups=4),
    conv("grouped", 136, 544, 14, groups=4),
    signal(80, 384, 1000, 3),
    signal(512, 512, 800, 3, stride=2),
    signal(256, 256, 400, 31, groups=256),
    signal(128, 128, 2000, 7),
    signal(1, 257, 16000, 400, stride=160),
    Case(
        operator="transposed",
        shape="64→32, 2×2, 28², stride 2",
        nodes="y = ConvTranspose<strides=[2,2]>(x, w, b)",
        inputs={"x": (1, 64, 28, 28)},
        weights={"w": (64, 32, 2, 2), "b": (32,)},
    ),
    product("GEMM", 128, 768, 768),
    product("GEMM", 128, 768, 3072),
    product("GEMM", 128, 3072, 768),
    product("GEMM", 197, 192, 576),
    product("GEMM", 100, 300, 500),
    product("GEMM", 8, 1024, 1024),
    product("GEMV", 1, 2048, 1000),
    product("GEMV", 1, 4096, 4096),
    product("GEMV", 1, 256, 256),
    attention(12, 128, 64),
    attention(3, 197, 64),
    plain("softmax", "y = Softmax<axis=-1>(x)", 12, 128, 128),
    plain("softmax", "y = Softmax<axis=-1>(x)", 1, 1000),
    plain(
        *("layer normalisation", "y = LayerNormalization<axis=-1>(x, w, b)", 128, 768),
        weights={"w": (768,), "b": (768,)},
    ),
    *(
        reduction(kind, axes, *dims)
        for kind in ("Mean", "Max", "L2")
        for axes, dims in (
            ((1,), (32, 32)),
            ((1,), (1000, 1000)),
            ((0,), (1000, 1000)),
            ((1,), (16, 256, 64)),
            ((2,), (12, 128, 128)),
            ((0, 1), (100, 100)),
            ((0, 1, 2), (16, 256, 64)),
        )
    ),
    plain("GELU", GELU, 128, 3072),
    behind(
        "max-pooling",
        f"y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>({BEFORE}0)",
        *(64, 112),
        shape="3×3, stride 2",
    ),
    behind(
        "average pooling",
        f"y = AveragePool<kernel_shape=[2,2], strides=[2,2]>({BEFORE}0)",
        *(128, 56),
        shape="2×2, stride 2",
    ),
    behind("global average", f"y = GlobalAveragePool({BEFORE}0)", 1024, 14),
    behind(
        "resize",
        "sizes = Constant<value_floats=[1.0,1.0,2.0,2.0]>() "
        f'y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", '
        f'nearest_mode="floor">({BEFORE}0, , sizes)',
        *(64, 40),
        shape="nearest, ×2",
    ),
)
