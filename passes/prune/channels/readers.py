"""The products that read channels, with the weights they read them by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import constant_of
from suture.passes.prune.channels.groups import ChannelGroups
from suture.passes.prune.channels.rules import is_depthwise
from suture.passes.prune.channels.use import Ids

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A Conv, Gemm or MatMul that sums over channels with constant weights.

    Attributes:
        result: Name of its output.
        data: Name of what it reads.
        weight: Name of its weights.
        data_axis: The axis of the data that is summed over.
        weight_axis: The same of the weights.
        groups: ``(entries,)`` the group of each entry that is summed over.
        units: ``(channels, each)`` entries of the channels; those of a Flatten have many each.
            Channels with another number of entries than most are left out.
        mixes: Whether every output reads every channel, and nobody else the weights, so that
            what stays can be made to stand in for what goes.
    """

    result: str
    data: str
    weight: str
    data_axis: int
    weight_axis: int
    groups: Ids
    units: Ids
    mixes: bool

    def columns(self, weight: npt.NDArray[Any]) -> Matrix:
        """Return weights as ``(channels, each * outputs)``."""
        entries = np.moveaxis(weight, self.weight_axis, 0).astype(np.float64)
        return entries.reshape(len(entries), -1)[self.units].reshape(len(self.units), -1)

    def samples(self, data: npt.NDArray[Any]) -> Matrix:
        """Return what is read as ``(entries, positions)``."""
        entries = np.moveaxis(data, self.data_axis, 0).astype(np.float64)
        return entries.reshape(len(entries), -1)

    @property
    def unit_groups(self) -> Ids:
        """The group of each channel."""
        return np.asarray(self.groups[self.units[:, 0]])


def find_readers(model: ir.Model, groups: ChannelGroups) -> tuple[Reader, ...]:
    """Return the readers of a model, in its order."""
    return tuple(reader for node in model.graph for reader in _reader(node, groups))


def _reader(node: ir.Node, groups: ChannelGroups) -> Iterator[Reader]:
    place = _places(node, groups)
    if place is None:
        return
    data, weight = node.inputs[:2]
    assert data is not None
    assert weight is not None
    along = groups.of(weight)[place[1]]
    grouped = node.op_type != "MatMul" and node.attributes.get_int("group", 1) > 1
    yield Reader(
        result=str(node.outputs[0].name),
        data=str(data.name),
        weight=str(weight.name),
        data_axis=place[0],
        weight_axis=place[1],
        groups=along,
        units=_units(along),
        mixes=not grouped and len(weight.uses()) == 1,
    )


def _places(node: ir.Node, groups: ChannelGroups) -> tuple[int, int] | None:
    """Return the axes of data and weights that a node sums over, or None."""
    if node.domain not in ("", "ai.onnx") or len(node.inputs) < 2:
        return None
    data, weight = groups.of(node.inputs[0]), groups.of(node.inputs[1])
    constant = constant_of(node.inputs[1])
    if not data or not weight or constant is None or constant.dtype not in FLOATS:
        return None
    if node.op_type == "Conv":
        return None if is_depthwise(node, len(data[1])) else (1, 1)
    if node.op_type == "ConvTranspose":
        return (1, 0) if node.attributes.get_int("group", 1) == 1 else None
    if node.op_type == "Gemm":
        return (
            1 - node.attributes.get_int("transA", 0),
            node.attributes.get_int("transB", 0),
        )
    if node.op_type == "MatMul" and len(weight) == 2:
        return len(data) - 1, 0
    return None


FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16})


def _units(groups: Ids) -> Ids:
    """Return the entries of each group with as many of them as most groups have."""
    order = np.argsort(groups, kind="stable")
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    most = int(np.bincount(sizes).argmax())
    return np.stack(
        [order[s : s + most] for s, n in zip(starts, sizes, strict=True) if n == most]
    )
