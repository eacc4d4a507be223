"""What readers see on real requests: second moments of channels, and means of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.compiler.session import open_session
from suture.compiler.verify import Arrays
from suture.passes.prune.channels.readers import Matrix, Reader

SAMPLES = 256
"""Requests to calibrate with, at most."""

POSITIONS = 512
"""Positions of a feature map to take from each request, at most."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What a reader sees, on average over requests and positions.

    Attributes:
        products: ``(channels, channels)`` means of products of channels.
        squares: ``(entries,)`` means of squares.
    """

    products: Matrix
    squares: Matrix


def observe(
    model: ir.Model, names: Sequence[str], requests: Sequence[Arrays]
) -> Iterator[list[Matrix]]:
    """Yield the named values of a model for each request; what they do not need is not run."""
    copy = model.clone()
    made = {value.name: value for node in copy.graph for value in node.outputs}
    wanted = [name for name in dict.fromkeys(names) if name in made]
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(made[name] for name in wanted)
    ir_passes.RemoveUnusedNodesPass()(copy)
    if not wanted:
        yield from ([np.asarray(request[name]) for name in names] for request in requests)
        return
    session = open_session(copy)
    inputs = [value.name for value in session.get_inputs()]
    for request in requests:
        feed = {name: request[name] for name in inputs if name in request}
        found = dict(zip(wanted, session.run(wanted, feed), strict=True))
        yield [found[name] if name in found else request[name] for name in names]


def moments(
    model: ir.Model,
    readers: Sequence[Reader],
    requests: Sequence[Arrays],
    rng: np.random.Generator,
) -> list[Moments]:
    """Return what each reader of a model sees."""
    products = [np.zeros((len(reader.units),) * 2) for reader in readers]
    squares = [np.zeros(len(reader.groups)) for reader in readers]
    for values in observe(model, [reader.data for reader in readers], requests):
        for index, (reader, value) in enumerate(zip(readers, values, strict=True)):
            seen = reader.samples(value)
            if seen.shape[1] > POSITIONS:
                seen = seen[:, rng.choice(seen.shape[1], POSITIONS, replace=False)]
            if len(seen) > len(reader.groups):  # groups of a Conv read by equal weights
                seen = np.hstack(np.split(seen, len(seen) // len(reader.groups)))
            squares[index] += (seen**2).mean(1) / len(requests)
            channels = seen[reader.units].reshape(len(reader.units), -1)
            products[index] += channels @ channels.T / channels.shape[1] / len(requests)
    return [
        Moments(products=product, squares=square)
        for product, square in zip(products, squares, strict=True)
    ]
