"""Transformers as PyTorch exports them at operator set 17: attention and GELU decomposed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from draft import Draft


def gelu(draft: Draft, x: ir.Value) -> ir.Value:
    """Return x · Φ(x) by way of Erf."""
    erf = draft.op("Erf", draft.op("Div", x, draft.constant(2**0.5)))
    product = draft.op("Mul", x, draft.op("Add", erf, draft.constant(1)))
    return draft.op("Mul", product, draft.constant(0.5))


def normalize(draft: Draft, x: ir.Value, width: int, epsilon: float) -> ir.Value:
    """Return a layer normalisation over the last axis."""
    scale, bias = draft.uniform(width, low=0.9, high=1.1), draft.uniform(width)
    return draft.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def feed_forward(draft: Draft, x: ir.Value, width: int, hidden: int) -> ir.Value:
    """Return the two products with GELU between them."""
    return draft.linear(gelu(draft, draft.linear(x, width, hidden)), hidden, width)


def heads_last(draft: Draft, x: ir.Value, shape: tuple[int, int, int]) -> ir.Value:
    """Return attention's ``[1, heads, length, size]`` as ``[1, length, heads * size]``."""
    heads, length, size = shape
    x = draft.op("Transpose", x, perm=[0, 2, 1, 3])
    return draft.op("Reshape", x, draft.constant([1, length, heads * size], np.int64))


def bert(*, masked: bool = False, layers: int = 2, length: int = 128) -> ir.Model:
    """Return encoder layers of BERT-base (Devlin et al., 2018) over hidden states.

    Args:
        masked: Whether ``mask``, int64 of ``[1, length]``, says which tokens are there.
        layers: Number of layers.
        length: Tokens.
    """
    width, heads = 768, 12
    size = width // heads
    draft = Draft("bert", (1, length, width))
    x, bias = draft.inputs[0], None
    if masked:
        mask = draft.input("mask", ir.DataType.INT64, (1, length))
        mask = draft.op("Cast", mask, to=ir.DataType.BOOL)
        mask = draft.op("Unsqueeze", mask, draft.constant([1, 2], np.int64))
        absent = draft.op(
            "Sub", draft.constant(1), draft.op("Cast", mask, to=ir.DataType.FLOAT)
        )
        bias = draft.op("Mul", absent, draft.constant(np.finfo(np.float32).min))
    shape = draft.constant([1, length, heads, size], np.int64)

    def projected(perm: list[int]) -> ir.Value:
        split = draft.op("Reshape", draft.linear(x, width, width), shape)
        return draft.op("Transpose", split, perm=perm)

    for _ in range(layers):
        query, key, value = map(projected, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = draft.op("Div", draft.op("MatMul", query, key), draft.constant(size**0.5))
        if bias is not None:
            scores = draft.op("Add", scores, bias)
        mixed = draft.op("MatMul", draft.op("Softmax", scores, axis=-1), value)
        mixed = heads_last(draft, mixed, (heads, length, size))
        x = normalize(
            draft, draft.op("Add", draft.linear(mixed, width, width), x), width, 1e-12
        )
        y = feed_forward(draft, x, width, 4 * width)
        x = normalize(draft, draft.op("Add", y, x), width, 1e-12)
    return draft.finish(x)


def vit_tiny() -> ir.Model:
    """Return ViT-Tiny/16 at 224×224 (Touvron et al., 2021) as timm writes it."""
    width, heads, edge, patch = 192, 3, 224, 16
    size, patches = width // heads, (edge // patch) ** 2
    length = patches + 1
    draft = Draft("vit_tiny", (1, 3, edge, edge))
    weight = draft.normal(width, 3, patch, patch, deviation=(3 * patch * patch) ** -0.5)
    x = draft.op(
        "Conv",
        draft.inputs[0],
        weight,
        draft.uniform(width),
        kernel_shape=[patch, patch],
        strides=[patch, patch],
    )
    x = draft.op("Reshape", x, draft.constant([1, width, patches], np.int64))
    x = draft.op("Transpose", x, perm=[0, 2, 1])
    x = draft.op("Concat", draft.normal(1, 1, width, deviation=0.5), x, axis=1)
    x = draft.op("Add", x, draft.normal(1, length, width, deviation=0.5))
    shape = draft.constant([1, length, 3, heads, size], np.int64)
    first, root = draft.constant([0], np.int64), size**-0.25
    for _ in range(12):
        y = draft.linear(normalize(draft, x, width, 1e-6), width, 3 * width)
        y = draft.op("Transpose", draft.op("Reshape", y, shape), perm=[2, 0, 3, 1, 4])
        query, key, value = (draft.op("Squeeze", z, first) for z in draft.split(y, 0, 3))
        key = draft.op("Transpose", key, perm=[0, 1, 3, 2])
        query = draft.op("Mul", query, draft.constant(root))
        scores = draft.op("MatMul", query, draft.op("Mul", key, draft.constant(root)))
        mixed = draft.op("MatMul", draft.op("Softmax", scores, axis=-1), value)
        mixed = heads_last(draft, mixed, (heads, length, size))
        x = draft.op("Add", x, draft.linear(mixed, width, width))
        y = feed_forward(draft, normalize(draft, x, width, 1e-6), width, 4 * width)
        x = draft.op("Add", x, y)
    x = draft.op(
        "Gather", normalize(draft, x, width, 1e-6), draft.constant(0, np.int64), axis=1
    )
    return draft.finish(draft.classify(x, width, 1000))
