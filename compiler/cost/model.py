"""How long a kernel takes under a schedule, learned from measurements."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from suture.compiler.cost.base import Vector
from suture.compiler.cost.boosting import Boosting, Trees
from suture.compiler.cost.features import NAMES, Facts, matrix
from suture.errors import Location, SutureError

FORMAT = 1
MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class KernelModel:
    """Boosted trees over analytic features, which predict the time of one multiply-add.

    What a kernel takes is proportional to what it has to do, so the trees learn the logarithm
    of the rest; that holds for kernels larger than any that was measured.

    Attributes:
        boosting: The trees.
        rules: Names of the rules that were measured; of others nothing is known.
        lanes: Vector widths that were measured; of others as well.
        about: Where the measurements come from, for people.
    """

    boosting: Boosting = field(default_factory=Boosting)
    rules: tuple[str, ...] = ()
    lanes: tuple[int, ...] = ()
    about: str = ""

    def fit(self, kernels: Sequence[Facts], microseconds: Vector) -> Self:
        """Return a model of these measurements.

        Raises:
            ValueError: There are none.
        """
        if not kernels:
            raise ValueError("there is nothing to learn from")
        rules = tuple(sorted({each.rule for each in kernels}))
        target = np.log(np.asarray(microseconds, np.float64)) - _log_work(kernels)
        grown = self.boosting.fit(matrix(kernels, rules), target)
        lanes = tuple(sorted({each.lanes for each in kernels}))
        return type(self)(boosting=grown, rules=rules, lanes=lanes, about=self.about)

    def knows(self, kernel: Facts) -> bool:
        """Whether kernels of the rule were measured on vectors of that width."""
        return kernel.rule in self.rules and kernel.lanes in self.lanes

    def predict(self, kernels: Sequence[Facts]) -> Vector:
        """Return the microseconds that each kernel is expected to take."""
        logs = self.boosting.predict(matrix(kernels, self.rules))
        return np.asarray(np.exp(logs + _log_work(kernels)))

    def save(self, path: Path) -> None:
        """Write the model; equal models give equal bytes.

        Raises:
            SutureError: The file cannot be written.
        """
        trees = self.boosting.trees
        if trees is None:
            raise ValueError("the model has learned nothing yet")
        options = {
            name: getattr(self.boosting, name)
            for name in self.boosting.__dataclass_fields__
            if name != "trees"
        }
        about = {
            "format": FORMAT,
            "features": NAMES,
            "rules": self.rules,
            "lanes": self.lanes,
            "about": self.about,
            "base": trees.base,
            "boosting": options,
        }
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as stream:
                np.savez_compressed(
                    stream,
                    about=np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8),
                    feature=trees.feature,
                    threshold=trees.threshold,
                    value=trees.value,
                )
            partial.replace(path)
        except OSError as error:
            raise SutureError(
                f"the cost model cannot be written: {error.strerror}", at=Location(str(path))
            ) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model.

        Raises:
            SutureError: It cannot be read, or learned from other features than today's.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                about = json.loads(stored["about"].tobytes())
                trees = Trees(
                    feature=stored["feature"],
                    threshold=stored["threshold"],
                    value=stored["value"],
                    base=float(about["base"]),
                )
            if about["format"] == FORMAT and tuple(about["features"]) == NAMES:
                return cls(
                    boosting=Boosting(**about["boosting"], trees=trees),
                    rules=tuple(about["rules"]),
                    lanes=tuple(about["lanes"]),
                    about=about["about"],
                )
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise _unreadable(path, str(error)) from error
        raise _unreadable(path, "it learned from other features")


def preferring(expected: Vector, ranks: Vector) -> Vector:
    """Return expected times, of those that the formula does not put first as if longer.

    The formula is right where the model sees little difference: on held-out kernels, its
    first choice is given up only for what is expected to be faster by ``MARGIN``.
    """
    return np.where(ranks > 0, expected * (1 + MARGIN), expected)


def _unreadable(path: Path, why: str) -> SutureError:
    return SutureError(
        f"not a cost model of this version: {why}",
        at=Location(str(path)),
        hint="delete it to use the one that ships, or learn one with: suture tune",
    )


def _log_work(kernels: Sequence[Facts]) -> Vector:
    return np.log(np.array([each.needed for each in kernels], np.float64))
