"""A model looked at, and cut down to any part of its work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.compiler.inspect import node_flops
from suture.passes.prune.channels.calibration import SAMPLES, Moments, moments
from suture.passes.prune.channels.compensation import compensate
from suture.passes.prune.channels.groups import ChannelGroups, find_groups
from suture.passes.prune.channels.readers import Reader, find_readers
from suture.passes.prune.channels.refit import refit
from suture.passes.prune.channels.sensitivity import Order, find_order
from suture.passes.prune.channels.slicing import Mask, cut

SEED = 0
"""Of the positions that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What is known of a model before anything goes.

    Attributes:
        original: The model.
        groups: Its channels.
        readers: Who reads them.
        seen: What each reader sees.
        order: In which order groups go.
        calibration: Requests.
    """

    original: ir.Model
    groups: ChannelGroups
    readers: tuple[Reader, ...]
    seen: tuple[Moments, ...]
    order: Order
    calibration: Evaluation

    @classmethod
    def of(cls, model: ir.Model, choosing: Evaluation) -> Pruning:
        """Look at a model with some of the requests."""
        original = model.clone()
        calibration = choosing.of(np.arange(min(SAMPLES, len(choosing))))
        groups = find_groups(original)
        readers = find_readers(original, groups)
        rng = np.random.default_rng(SEED)
        seen = tuple(moments(original, readers, calibration.requests, rng))
        return cls(
            original=original,
            groups=groups,
            readers=readers,
            seen=seen,
            order=find_order(original, groups, readers, seen),
            calibration=calibration,
        )

    def gone(self, part: float) -> Mask:
        """Return ``(groups,)`` which go so that no more than a part of the work is left."""
        gone = np.zeros(len(self.groups.free), bool)
        gone[self.order.until(part * flops_of(self.original))] = True
        return gone

    def prune(self, model: ir.Model, part: float) -> ir.Model:
        """Bring the model, or a copy, down to a part of its work, and correct what stays."""
        gone = self.gone(part)
        compensate(model, self.readers, self.seen, gone)
        cut(model, self.groups, gone)
        refit(
            self.original,
            model,
            self.readers,
            self.groups,
            gone,
            self.calibration.requests,
        )
        return model


def flops_of(model: ir.Model) -> int:
    """Return the work of one run."""
    return sum(node_flops(node) for node in model.graph)
