"""Gradient boosting of regression trees over histograms, in NumPy.

Friedman, "Greedy Function Approximation: A Gradient Boosting Machine" (Annals of Statistics
2001), with second-order leaves as in XGBoost (KDD 2016) and features cut into bins as in
LightGBM (NIPS 2017). Trees are complete binary trees of one depth, so that all rows go
through all trees in as many steps as the trees are deep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from suture.compiler.cost.base import Matrix, Vector

Integers = npt.NDArray[np.intp]
Gradients = Callable[[Vector], tuple[Vector, Vector]]
"""Predictions → first and second derivatives of the loss, row by row."""


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Trees of one depth; node ``i`` has the children ``2i + 1`` and ``2i + 2``.

    Attributes:
        feature: ``(trees, 2**depth - 1)``: the column that a node looks at.
        threshold: Of the same shape: rows whose number is greater go right; a node that was
            not split sends all of them left.
        value: ``(trees, 2**depth)``: what a leaf adds.
        base: What every prediction starts from.
    """

    feature: npt.NDArray[np.int16]
    threshold: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    base: float

    def predict(self, features: Matrix) -> Vector:
        """Return the prediction for each row of ``(rows, columns)``."""
        count = len(self.feature)
        rows, trees = np.arange(len(features))[:, None], np.arange(count)[None]
        node = np.zeros((len(features), count), np.intp)
        for _ in range(self.value.shape[1].bit_length() - 1):
            right = features[rows, self.feature[trees, node]] > self.threshold[trees, node]
            node = 2 * node + 1 + right
        leaves = self.value[trees, node - self.feature.shape[1]]
        return np.asarray(self.base + leaves.sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class Boosting:
    """How trees are grown, and the trees.

    Attributes:
        rounds: Trees to grow.
        depth: Questions that a tree asks of a row.
        rate: Part of each tree's correction that is taken.
        bins: Most values that splits of one column are looked for between.
        least: Fewest rows of a leaf.
        ridge: Penalty on the square of a leaf's value.
        sampled: Part of the rows that each tree sees; drawn by ``seed``.
        seed: Of the draws.
        trees: What was grown.
    """

    rounds: int = 300
    depth: int = 5
    rate: float = 0.08
    bins: int = 64
    least: int = 4
    ridge: float = 1.0
    sampled: float = 1.0
    seed: int = 0
    trees: Trees | None = field(default=None, repr=False)

    def fit(self, features: Matrix, target: Vector) -> Self:
        """Return this, grown to lessen the squared error on ``target``."""
        target = np.asarray(target, np.float64)
        weight = np.ones(len(target))
        base = float(target.mean())
        return self.grow(features, lambda now: (now - target, weight), base=base)

    def grow(self, features: Matrix, gradients: Gradients, *, base: float = 0.0) -> Self:
        """Return this, grown to lessen any loss that has two derivatives."""
        features = np.asarray(features, np.float64)
        rng = np.random.default_rng(self.seed)
        edges = [cuts(column, self.bins) for column in features.T]
        binned = np.stack(
            [np.searchsorted(e, c) for e, c in zip(edges, features.T, strict=True)], axis=1
        )
        now = np.full(len(features), base)
        grown = []
        for _ in range(self.rounds):
            first, second = gradients(now)
            seen = rng.random(len(now)) < self.sampled
            tree, leaf = self._tree(binned, first * seen, second * seen)
            grown.append(tree)
            now = now + tree.value[leaf]
        return self._with(grown, edges, base)

    def predict(self, features: Matrix) -> Vector:
        """Return predictions, 0 before anything was grown."""
        if self.trees is None:
            return np.zeros(len(features))
        return self.trees.predict(np.asarray(features, np.float64))

    def _tree(self, binned: Integers, first: Vector, second: Vector) -> tuple[_Tree, Integers]:
        """Return one tree, and the leaf of each row."""
        inner = 2**self.depth - 1
        feature, cut = np.zeros(inner, np.int16), np.full(inner, self.bins)
        node = np.zeros(len(binned), np.intp)
        for level in range(self.depth):
            start = 2**level - 1
            at, bin_at, gain = self._splits(binned, node - start, 2**level, first, second)
            good = gain > 0
            feature[start : start + 2**level] = np.where(good, at, 0)
            cut[start : start + 2**level] = np.where(good, bin_at, self.bins)
            right = binned[np.arange(len(binned)), feature[node]] > cut[node]
            node = 2 * node + 1 + right
        leaf = node - inner
        size = 2**self.depth
        total = np.bincount(leaf, first, size)
        value = -self.rate * total / self._damped(np.bincount(leaf, second, size))
        return _Tree(feature, cut, value), leaf

    def _splits(
        self, binned: Integers, node: Integers, nodes: int, first: Vector, second: Vector
    ) -> tuple[Integers, Integers, Vector]:
        """Return the best column, its bin and the gain of each node of one level."""
        columns, width = binned.shape[1], self.bins + 1
        place = ((node[:, None] * columns + np.arange(columns)) * width + binned).ravel()
        shape = (nodes, columns, width)

        def sums(weights: Vector) -> npt.NDArray[np.float64]:
            spread = np.bincount(place, np.repeat(weights, columns), nodes * columns * width)
            return spread.reshape(shape).cumsum(axis=2)

        g, h, n = sums(first), sums(second), sums((second > 0).astype(np.float64))

        def score(g: Any, h: Any) -> Any:
            return g * g / self._damped(h)

        gain = score(g, h) + score(g[..., -1:] - g, h[..., -1:] - h) - score(g, h)[..., -1:]
        gain[(n < self.least) | (n[..., -1:] - n < self.least)] = 0
        flat = gain.reshape(nodes, -1)
        best = flat.argmax(axis=1)
        return best // width, best % width, flat[np.arange(nodes), best]

    def _damped(self, second: Any) -> Any:
        """Return second derivatives with the penalty, never 0: of no rows they are."""
        return np.maximum(second + self.ridge, np.finfo(np.float64).tiny)

    def _with(self, grown: list[_Tree], edges: list[Vector], base: float) -> Self:
        """Return this with trees that split at numbers instead of bins."""
        padded = np.full((len(edges), self.bins + 1), np.inf)
        for row, edge in zip(padded, edges, strict=True):
            row[: len(edge)] = edge
        feature = np.stack([tree.feature for tree in grown])
        cut = np.stack([tree.cut for tree in grown])
        trees = Trees(
            feature=feature,
            threshold=padded[feature, cut],
            value=np.stack([tree.value for tree in grown]),
            base=base,
        )
        return replace(self, trees=trees)


@dataclass(frozen=True)
class _Tree:
    """One tree over bins."""

    feature: npt.NDArray[np.int16]
    cut: Integers
    value: Vector


def cuts(column: Vector, bins: int) -> Vector:
    """Return at most ``bins - 1`` rising numbers between the values of a column.

    A number in bin ``i`` is greater than edge ``i - 1`` and not greater than edge ``i``.
    """
    values = np.unique(column)
    if len(values) > bins:
        values = np.unique(np.quantile(column, np.linspace(0, 1, bins)))
    return np.asarray((values[:-1] + values[1:]) / 2)
