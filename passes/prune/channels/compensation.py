"""Make the channels that stay stand in for those that go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from suture.passes.base import set_constant
from suture.passes.prune.channels.calibration import Moments
from suture.passes.prune.channels.readers import Reader
from suture.passes.prune.channels.sensitivity import ridged
from suture.passes.prune.channels.slicing import Mask


def compensate(
    model: ir.Model, readers: Sequence[Reader], seen: Sequence[Moments], gone: Mask
) -> None:
    """Let kept channels carry what can be said of the others by them, before those are cut.

    The weights of what stays become those of least squared error in what the reader computes
    (channel pruning of He, Zhang and Sun 2017, over channels instead of taps).
    """
    for reader, each in zip(readers, seen, strict=True):
        lost = gone[reader.unit_groups]
        if not reader.mixes or not lost.any() or lost.all():
            continue
        products = ridged(each.products)
        share = np.linalg.solve(products[np.ix_(~lost, ~lost)], products[np.ix_(~lost, lost)])
        value = model.graph.initializers[reader.weight]
        assert value.const_value is not None
        weight = value.const_value.numpy()
        entries = np.moveaxis(weight, reader.weight_axis, 0).astype(np.float64)
        kept, cut_ = reader.units[~lost], reader.units[lost]
        entries[kept] += np.einsum("kl,le...->ke...", share, entries[cut_])
        set_constant(value, np.moveaxis(entries, 0, reader.weight_axis).astype(weight.dtype))
