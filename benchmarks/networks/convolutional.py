"""Convolutional networks as PyTorch exports them: normalisations folded into weights."""

from __future__ import annotations

import onnx_ir as ir
from draft import Draft

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""MobileNetV2's table 2: expansion, channels, repetitions, stride of the first."""


def mobilenet_v2() -> ir.Model:
    """Return MobileNetV2 at 224×224 (Sandler et al., 2018), 3.5 million weights."""
    draft = Draft("mobilenet_v2", (1, 3, 224, 224))
    low, high = draft.constant(0), draft.constant(6)

    def relu6(x: ir.Value) -> ir.Value:
        return draft.op("Clip", x, low, high)

    x = relu6(draft.conv(draft.inputs[0], (3, 32, 3), stride=2))
    channels = 32
    for expansion, filters, repetitions, first in STAGES:
        for turn in range(repetitions):
            stride = first if turn == 0 else 1
            hidden = channels * expansion
            y = x if expansion == 1 else relu6(draft.conv(x, (channels, hidden, 1)))
            y = relu6(draft.conv(y, (hidden, hidden, 3), stride=stride, groups=hidden))
            y = draft.conv(y, (hidden, filters, 1))
            x = draft.op("Add", x, y) if stride == 1 and channels == filters else y
            channels = filters
    x = relu6(draft.conv(x, (channels, 1280, 1)))
    x = draft.op("Flatten", draft.op("GlobalAveragePool", x), axis=1)
    return draft.finish(draft.classify(x, 1280, 1000))


def resnext50(groups: int = 32) -> ir.Model:
    """Return ResNeXt-50 32×4d at 224×224 (Xie et al., 2017), normalisations folded."""
    draft = Draft("resnext50", (1, 3, 224, 224))

    def relu(x: ir.Value) -> ir.Value:
        return draft.op("Relu", x)

    x = relu(draft.conv(draft.inputs[0], (3, 64, 7), stride=2))
    x = draft.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for level, repetitions in enumerate((3, 4, 6, 3)):
        width, filters = 128 << level, 256 << level
        for turn in range(repetitions):
            stride = 2 if level and turn == 0 else 1
            y = relu(draft.conv(x, (channels, width, 1)))
            y = relu(draft.conv(y, (width, width, 3), stride=stride, groups=groups))
            y = draft.conv(y, (width, filters, 1), gain=0.5)
            if turn == 0:
                x = draft.conv(x, (channels, filters, 1), stride=stride, gain=1.0)
            x, channels = relu(draft.op("Add", y, x)), filters
    x = draft.op("Flatten", draft.op("GlobalAveragePool", x), axis=1)
    return draft.finish(draft.classify(x, channels, 1000))


def unet(base: int = 16, edge: int = 256) -> ir.Model:
    """Return a small U-Net (Ronneberger et al., 2015) with padded convolutions.

    Four levels and a bottom, upsampling by transposed convolutions, one map of probabilities.

    Args:
        base: Channels of the first level; each further level has twice as many.
        edge: Height and width of the image of three channels.
    """
    draft = Draft("unet", (1, 3, edge, edge))

    def twice(x: ir.Value, channels: int, filters: int) -> ir.Value:
        x = draft.op("Relu", draft.conv(x, (channels, filters, 3)))
        return draft.op("Relu", draft.conv(x, (filters, filters, 3)))

    x, channels, skips = draft.inputs[0], 3, []
    for level in range(4):
        filters = base * 2**level
        skips.append(twice(x, channels, filters))
        x = draft.op("MaxPool", skips[-1], kernel_shape=[2, 2], strides=[2, 2])
        channels = filters
    x = twice(x, channels, 2 * channels)
    for skip in reversed(skips):
        filters, channels = channels, 2 * channels
        weight = draft.normal(channels, filters, 2, 2, deviation=channels**-0.5)
        x = draft.op(
            "ConvTranspose",
            x,
            weight,
            draft.uniform(filters),
            kernel_shape=[2, 2],
            strides=[2, 2],
        )
        x = twice(draft.op("Concat", skip, x, axis=1), channels, filters)
        channels = filters // 2
    return draft.finish(draft.op("Sigmoid", draft.conv(x, (base, 1, 1))))
