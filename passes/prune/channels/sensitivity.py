"""The order in which groups go: least harm for the work they save, first.

The harm of a channel is the least squared error that its loss makes in what a reader
computes, once the channels that stay make up for it as far as they can: the saliency of the
Optimal Brain Surgeon (Hassibi and Stork 1993), for whole channels as in Frantar and Alistarh
(2022), with the taps of a kernel taken as independent. It is divided by the reader's mean
square, so that layers compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.inspect import node_flops
from suture.passes.prune.channels.calibration import Moments
from suture.passes.prune.channels.groups import ChannelGroups
from suture.passes.prune.channels.readers import Matrix, Reader
from suture.passes.prune.channels.use import Ids

RIDGE = 1e-4
"""Added to second moments, as a fraction of their mean, so that they can be inverted."""


@dataclass(frozen=True)
class Order:
    """Groups in the order they go, and the FLOPs left after each."""

    groups: Ids
    flops: Matrix

    def until(self, flops: float) -> Ids:
        """Return the fewest first groups that bring the work down to so much, or all."""
        few = int(np.searchsorted(-self.flops, -flops))
        return self.groups[: few + 1]


class Harm:
    """What the loss of each group would do to one reader, updated as groups go."""

    def __init__(self, reader: Reader, weight: Matrix, seen: Moments) -> None:
        columns = reader.columns(weight)
        self.groups = reader.unit_groups
        self._gram = columns @ columns.T
        self._inverse = np.linalg.inv(ridged(seen.products))
        self.scale = float((self._gram * seen.products).sum()) or 1.0
        self._mixes = reader.mixes
        self._alone = np.diag(self._gram) * np.diag(seen.products)
        entries = np.moveaxis(np.asarray(weight, np.float64), reader.weight_axis, 0)
        power = (entries.reshape(len(entries), -1) ** 2).sum(1) * seen.squares
        odd = np.setdiff1d(np.arange(len(reader.groups)), reader.units)
        self.odd, self._odd = reader.groups[odd], power[odd] * _share(reader)

    def by_group(self, count: int) -> Matrix:
        """Return ``(groups,)``, relative to the reader's mean square."""
        each = np.diag(self._gram) / np.diag(self._inverse) if self._mixes else self._alone
        found = np.bincount(self.groups, np.maximum(each, 0), count)
        return np.asarray((found + np.bincount(self.odd, self._odd, count)) / self.scale)

    def lose(self, group: int) -> bool:
        """Take a group out, let the others make up for it, and say whether it was there."""
        (places,) = np.nonzero(self.groups == group)
        for place in places[::-1]:
            stay = np.arange(len(self.groups)) != place
            if self._mixes:
                inverse = self._inverse
                share = inverse[place] / inverse[place, place]
                gram = self._gram - np.outer(share, self._gram[place])
                self._gram = (gram - np.outer(gram[:, place], share))[np.ix_(stay, stay)]
                inverse = inverse - np.outer(share, inverse[place])
                self._inverse = inverse[np.ix_(stay, stay)]
            self._alone, self.groups = self._alone[stay], self.groups[stay]
        return len(places) > 0


def ridged(products: Matrix) -> Matrix:
    """Return second moments that can be inverted."""
    size = len(products)
    return np.asarray(products + np.eye(size) * (RIDGE * np.trace(products) / size + 1e-12))


def _share(reader: Reader) -> float:
    """Return what one entry counts beside a channel's mean over its entries."""
    return 1.0 / reader.units.shape[1] if reader.units.size else 1.0


def find_order(
    model: ir.Model,
    groups: ChannelGroups,
    readers: Sequence[Reader],
    seen: Sequence[Moments],
) -> Order:
    """Return the order of all groups that may go and that somebody reads."""
    count = len(groups.free)
    weights = {value.name: value.const_value for value in model.graph.initializers.values()}
    harms = []
    for reader, each in zip(readers, seen, strict=True):
        weight = weights[reader.weight]
        assert weight is not None
        harms.append(Harm(reader, weight.numpy(), each))
    by_reader = np.array([harm.by_group(count) for harm in harms])
    work = Work(model, groups)
    may_go = groups.free & np.isin(np.arange(count), _all_groups(readers))
    order: list[int] = []
    left: list[float] = []
    while True:
        allowed = may_go & ~work.last()
        if not allowed.any():
            return Order(np.array(order, np.int64), np.array(left))
        saved = np.maximum(work.saved(), 1e-9)
        price = np.where(allowed, by_reader.sum(0) / saved, np.inf)
        group = int(price.argmin())
        order.append(group)
        may_go[group] = False
        work.lose(group)
        left.append(work.flops)
        for row, harm in enumerate(harms):
            if harm.lose(group):
                by_reader[row] = harm.by_group(count)


def _all_groups(readers: Sequence[Reader]) -> Ids:
    return np.concatenate([np.zeros(0, np.int64), *(reader.groups for reader in readers)])


class Work:
    """FLOPs of a model as groups go: a product over the axes of each node's result."""

    def __init__(self, model: ir.Model, groups: ChannelGroups) -> None:
        count = len(groups.free)
        index: dict[bytes, int] = {}
        rows: list[npt.NDArray[np.int64]] = []
        self._of_node: list[list[int]] = []
        self._whole: list[int] = []
        for node in model.graph:
            axes = list(groups.of(node.outputs[0]) if node.outputs else ())
            axes += _summed(node, groups)
            found = []
            for axis in axes:
                if not groups.free[axis].any():
                    continue
                row = np.bincount(axis, minlength=count)
                if row.tobytes() not in index:
                    index[row.tobytes()] = len(rows)
                    rows.append(row)
                found.append(index[row.tobytes()])
            self._of_node.append(found)
            self._whole.append(node_flops(node))
        self._rows = np.array(rows).reshape(len(rows), count)
        self._sizes = self._rows.sum(1)
        self._left = self._sizes.copy()

    @property
    def _nodes(self) -> Matrix:
        part = self._left / self._sizes
        return np.array(
            [
                whole * np.prod(part[rows])
                for whole, rows in zip(self._whole, self._of_node, strict=True)
            ]
        )

    @property
    def flops(self) -> float:
        """What is left."""
        return float(self._nodes.sum())

    def saved(self) -> Matrix:
        """Return ``(groups,)`` what the loss of each saves now."""
        rate = np.zeros(len(self._rows))
        for flops, rows in zip(self._nodes, self._of_node, strict=True):
            for row in rows:
                rate[row] += flops / self._left[row]
        return np.asarray(rate @ self._rows, np.float64)

    def last(self) -> npt.NDArray[np.bool_]:
        """Return ``(groups,)`` whether an axis would be empty without it."""
        return np.asarray((self._rows == self._left[:, None]).any(0))

    def lose(self, group: int) -> None:
        """Take a group out."""
        self._left = self._left - self._rows[:, group]
        self._rows[:, group] = 0


def _summed(node: ir.Node, groups: ChannelGroups) -> list[Ids]:
    """Return the axis that a product sums over, of its second operand."""
    axes = groups.of(node.inputs[1]) if len(node.inputs) > 1 else ()
    if len(axes) < 2:
        return []
    if node.op_type == "Conv":
        return [axes[1]]
    if node.op_type == "ConvTranspose":
        return [axes[0]]
    if node.op_type == "Gemm":
        return [axes[node.attributes.get_int("transB", 0)]]
    return [axes[-2]] if node.op_type == "MatMul" else []
