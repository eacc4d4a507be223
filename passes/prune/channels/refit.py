"""Solve each product behind a cut anew, so that it computes what it computed before.

One product after the other, on real requests: what it reads comes from the smaller model, what
it must compute from the whole one, so that errors do not add up (channel pruning of He, Zhang
and Sun, ICCV 2017; asymmetric reconstruction). With the bias free, means are exact (bias
correction of Nagel et al., ICCV 2019); where BatchNormalization follows, its mean moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.base import set_constant
from suture.passes.biases import can_shift, channel_axis, shift
from suture.passes.prune.channels.groups import ChannelGroups
from suture.passes.prune.channels.readers import Matrix, Reader
from suture.passes.prune.channels.slicing import Mask
from suture.passes.prune.channels.windows import Windows
from suture.passes.walk import Walk, kept_bytes

Array = npt.NDArray[Any]

SEED = 0
"""Of the positions that are looked at."""

RIDGE = 1e-2
"""How hard weights are held where they are, as a fraction of the features' mean square."""

MOST_BYTES = 1 << 30
"""What values of the whole model may take that are kept on the way through it."""

POSITIONS = 64
"""Positions of a result to take from each request, at most."""


def refit(
    original: ir.Model,
    model: ir.Model,
    readers: Sequence[Reader],
    groups: ChannelGroups,
    gone: Mask,
    requests: Sequence[Arrays],
) -> None:
    """Solve the weights and biases of everything behind a cut, in place.

    Args:
        original: The whole model.
        model: The one that has lost groups.
        readers: The products of the whole model, in order.
        groups: The groups of the whole model.
        gone: ``(groups,)`` those that went.
        requests: What to run both with, all or as many as fit into memory.
    """
    nodes, whole = (
        {node.outputs[0].name: node for node in each.graph} for each in (model, original)
    )
    behind = _behind(model, groups, gone)
    requests = requests[: max(1, MOST_BYTES // max(1, kept_bytes(original.graph)))]
    smaller, larger = Walk(model, requests), Walk(original, requests)
    for reader in readers:
        node = nodes[reader.result]
        windows = Windows.of(node, reader) if reader.mixes else None
        if reader.result in behind and (windows is not None or can_shift(node)):
            keep = ~gone[groups.axes[reader.result][channel_axis(node)]]
            wanted = larger.until(whole[reader.result])
            _solve(model.graph, reader, node, windows, keep, wanted, smaller.trial(node))


def _solve(
    graph: ir.Graph,
    reader: Reader,
    node: ir.Node,
    windows: Windows | None,
    keep: Mask,
    wanted: Iterable[Array],
    found: Iterable[tuple[Array, Array]],
) -> None:
    """Add what a node of the smaller model lacks, as far as weights and bias can supply it.

    Args:
        graph: The smaller model's.
        reader: The node in the whole model.
        node: The node.
        windows: How it goes over what it reads; None where its weights stay.
        keep: Which channels of the result are left.
        wanted: What the whole model makes, for each request.
        found: What the node reads and makes.
    """
    with_bias = can_shift(node)
    axis = channel_axis(node)
    rng = np.random.default_rng(SEED)
    gaps: list[Matrix] = []
    features: list[Matrix] = []
    for want, (data, have) in zip(wanted, found, strict=True):
        gap = np.moveaxis(np.compress(keep, want, axis) - have, axis, -1)
        rows = gap.reshape(-1, gap.shape[-1])
        some = rng.permutation(len(rows))[:POSITIONS] if windows else np.arange(len(rows))
        gaps.append(rows[some].astype(np.float64))
        if windows is not None:
            features.append(windows.at(data, some).astype(np.float64))
    lack = np.concatenate(gaps)
    if windows is not None:
        read = np.concatenate(features)
        step = least_squares(read, lack, with_mean=with_bias)
        value = graph.initializers[reader.weight]
        assert value.const_value is not None
        weight = value.const_value.numpy()
        solved = weight + windows.shaped(step, weight.shape)
        set_constant(value, solved.astype(weight.dtype))
        lack = lack - read @ step
    if with_bias:
        shift(graph, node, lack.mean(0))


def least_squares(read: Matrix, lack: Matrix, *, with_mean: bool) -> Matrix:
    """Return ``(features, outputs)``: the change of weights that supplies what is lacking.

    Args:
        read: ``(positions, features)``.
        lack: ``(positions, outputs)``.
        with_mean: Whether a bias takes care of the means.
    """
    if with_mean:
        read, lack = read - read.mean(0), lack - lack.mean(0)
    gram = read.T @ read
    gram += np.eye(len(gram)) * (RIDGE * np.trace(gram) / len(gram) + 1e-9)
    return np.asarray(np.linalg.solve(gram, read.T @ lack))


def _behind(model: ir.Model, groups: ChannelGroups, gone: Mask) -> set[str]:
    """Return the results of nodes that read, directly or not, what has lost channels."""
    found: set[str] = set()
    for node in model.graph:
        reads = [v for v in node.inputs if v is not None and v.const_value is None]
        if any(
            value.name in found or any(gone[axis].any() for axis in groups.of(value))
            for value in reads
        ):
            found |= {str(value.name) for value in node.outputs}
    return found
