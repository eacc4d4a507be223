"""A small vision transformer that reads scikit-learn's digits, trained here in seconds.

The eight rows of an image are its tokens. Of the 1,797 images, 1,000 train it and the others
measure its accuracy; equal seeds give equal weights on one machine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import gradients as gr
import numpy as np
import onnx_ir as ir
from gradients import Array, Value
from sklearn.datasets import load_digits

from suture.compiler.evaluation import Evaluation

sys.path.insert(0, str(Path(__file__).parent / "networks"))
from draft import Draft
from transformers import gelu, heads_last

NAME = "digits-transformer"
WIDTH, HEADS, SIZE, HIDDEN, LAYERS = 32, 8, 8, 128, 2
ROWS, COLUMNS, CLASSES = 8, 8, 10
EPSILON = 1e-5
TRAINED, EPOCHS, BATCH, RATE, SEED = 1000, 60, 50, 2e-3, 0
Weights = Mapping[str, Array]


def digits_transformer() -> tuple[ir.Model, Evaluation]:
    """Return the trained network, and the images that it has not seen."""
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(images))
    rows = (images[order] / 16 - 0.5).reshape(-1, ROWS, COLUMNS)
    labels = labels[order].astype(np.int64)
    weights = train(rows[:TRAINED], labels[:TRAINED], rng)
    requests = [{"x": image[None].astype(np.float32)} for image in rows[TRAINED:]]
    return write(weights), Evaluation(requests=requests, labels=labels[TRAINED:])


def start(rng: np.random.Generator) -> dict[str, Value]:
    """Return weights drawn at random, and biases of zero."""
    inner = HEADS * SIZE
    shapes = {"embed": (COLUMNS, WIDTH), "classify": (WIDTH, CLASSES)}
    for layer in range(LAYERS):
        shapes |= {f"{layer}.{name}": (WIDTH, inner) for name in ("query", "key", "value")}
        shapes |= {f"{layer}.mixed": (inner, WIDTH), f"{layer}.wide": (WIDTH, HIDDEN)}
        shapes |= {f"{layer}.narrow": (HIDDEN, WIDTH)}
    found = {"place": Value(0.1 * rng.standard_normal((1, ROWS, WIDTH)))}
    for name, shape in shapes.items():
        found[name] = Value(rng.standard_normal(shape) * shape[0] ** -0.5)
        found[f"{name}.bias"] = Value(np.zeros(shape[1]))
    for name in ("end", *(f"{layer}.{n}" for layer in range(LAYERS) for n in ("one", "two"))):
        found[f"{name}.scale"] = Value(np.ones(WIDTH))
        found[f"{name}.offset"] = Value(np.zeros(WIDTH))
    return found


def train(rows: Array, labels: Array, rng: np.random.Generator) -> Weights:
    """Return the weights after some epochs."""
    weights = start(rng)
    moments = [(np.zeros(()), np.zeros(())) for _ in weights]
    steps = EPOCHS * (len(rows) // BATCH)
    step = 0
    for _ in range(EPOCHS):
        for some in rng.permutation(len(rows)).reshape(-1, BATCH):
            step += 1
            gr.backward(gr.cross_entropy(forward(weights, rows[some]), labels[some]))
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            gr.adam(list(weights.values()), moments, step, rate)
    return {name: value.data for name, value in weights.items()}


def forward(weights: Mapping[str, Value], rows: Array) -> Value:
    """Return logits of ``(samples, rows, columns)``."""
    count = len(rows)

    def linear(x: Value, name: str) -> Value:
        return gr.add(gr.matmul(x, weights[name]), weights[f"{name}.bias"])

    def normal(x: Value, name: str) -> Value:
        scaled = gr.multiply(gr.normalize(x, EPSILON), weights[f"{name}.scale"])
        return gr.add(scaled, weights[f"{name}.offset"])

    x = gr.add(linear(Value(rows), "embed"), weights["place"])
    for layer in range(LAYERS):
        y = normal(x, f"{layer}.one")
        query, key, value = (
            gr.arrange(linear(y, f"{layer}.{name}"), (count, ROWS, HEADS, SIZE), perm)
            for name, perm in (("query", HALVES), ("key", TURNED), ("value", HALVES))
        )
        scores = gr.multiply(gr.matmul(query, key), Value(np.array(SIZE**-0.5)))
        mixed = gr.matmul(gr.softmax(scores), value)
        mixed = gr.arrange(mixed, mixed.data.shape, HALVES)
        mixed = gr.arrange(mixed, (count, ROWS, HEADS * SIZE), (0, 1, 2))
        x = gr.add(x, linear(mixed, f"{layer}.mixed"))
        y = gr.gelu(linear(normal(x, f"{layer}.two"), f"{layer}.wide"))
        x = gr.add(x, linear(y, f"{layer}.narrow"))
    return linear(gr.mean(normal(x, "end"), 1), "classify")


HALVES, TURNED = (0, 2, 1, 3), (0, 2, 3, 1)
"""Rows of heads as heads of rows, and turned for a product with the former."""


def write(weights: Weights) -> ir.Model:
    """Return the network as PyTorch's exporter would write it, for one image."""
    draft = Draft(NAME, (1, ROWS, COLUMNS))

    def linear(x: ir.Value, name: str) -> ir.Value:
        product = draft.op("MatMul", x, draft.constant(weights[name]))
        return draft.op("Add", draft.constant(weights[f"{name}.bias"]), product)

    def normal(x: ir.Value, name: str) -> ir.Value:
        rows = [draft.constant(weights[f"{name}.{part}"]) for part in ("scale", "offset")]
        return draft.op("LayerNormalization", x, *rows, axis=-1, epsilon=EPSILON)

    def heads(x: ir.Value, name: str, perm: tuple[int, ...]) -> ir.Value:
        shape = draft.constant([1, ROWS, HEADS, SIZE], np.int64)
        return draft.op("Transpose", draft.op("Reshape", linear(x, name), shape), perm=perm)

    x = draft.op("Add", linear(draft.inputs[0], "embed"), draft.constant(weights["place"]))
    for layer in range(LAYERS):
        y = normal(x, f"{layer}.one")
        query, value = (heads(y, f"{layer}.{name}", HALVES) for name in ("query", "value"))
        scores = draft.op("MatMul", query, heads(y, f"{layer}.key", TURNED))
        scores = draft.op("Div", scores, draft.constant(SIZE**0.5))
        mixed = draft.op("MatMul", draft.op("Softmax", scores, axis=-1), value)
        mixed = heads_last(draft, mixed, (HEADS, ROWS, SIZE))
        x = draft.op("Add", x, linear(mixed, f"{layer}.mixed"))
        y = gelu(draft, linear(normal(x, f"{layer}.two"), f"{layer}.wide"))
        x = draft.op("Add", x, linear(y, f"{layer}.narrow"))
    x = draft.op("ReduceMean", normal(x, "end"), axes=[1], keepdims=0)
    return draft.finish(linear(x, "classify"))
