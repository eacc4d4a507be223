"""Biases moved so that each product in 8 bits has the mean that it had (Nagel et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.biases import can_shift, channel_axis, shift
from suture.passes.intermediate import observe
from suture.passes.quantize.candidates import Unit
from suture.passes.walk import Walk

SAMPLES = 64
"""Requests to take means of, at most."""

Means = Mapping[str, npt.NDArray[np.float64]]
"""By the name of what a node makes, the mean of each filter."""


def find_means(
    model: ir.Model, nodes: Sequence[ir.Node], requests: Sequence[Arrays]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the mean of each filter of nodes, over requests and positions."""
    names = [str(node.outputs[0].name) for node in nodes]
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for values in observe(model, names, requests, optimize=False):
        for name, node, value in zip(names, nodes, values, strict=True):
            sums[name] = sums[name] + _mean(node, value)
    return {name: total / len(requests) for name, total in sums.items()}


def correct(
    model: ir.Model, units: Sequence[Unit], means: Means, requests: Sequence[Arrays]
) -> None:
    """Give nodes in 8 bits the means they had, in place, one after the other.

    What one reads has been corrected by then, and each node runs once for each request. A node
    without a bias of its own stays.
    """
    chosen = {name for unit in units for name in unit.nodes}
    walk = Walk(model, requests)
    for node in [node for node in model.graph if node.outputs[0].name in chosen]:
        if can_shift(node):
            values = walk.until(node)
            found = sum(_mean(node, value) for value in values) / len(values)
            gap = means[str(node.outputs[0].name)] - found
            if np.isfinite(gap).all() and shift(model.graph, node, gap):
                rank, axis = values[0].ndim, channel_axis(node)
                walk.add(node, gap.reshape([-1] + [1] * (rank - 1 - axis % rank)))


def _mean(node: ir.Node, value: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the mean of each filter over positions."""
    filters = np.moveaxis(value.astype(np.float64), channel_axis(node), 0)
    return np.asarray(filters.reshape(len(filters), -1).mean(1))
