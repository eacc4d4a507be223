"""What a product reads for each number it computes, as rows of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.prune.channels.readers import Matrix, Reader

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a Conv, Gemm or MatMul goes over what it reads.

    Attributes:
        axis: Of the data, the axis that is summed over; a product of matrices has no more.
        weight_axis: The same of the weights.
        kernel: Sizes of a Conv's window, none for a product of matrices.
        pads: Zeros before and behind, ``(before, after)`` for each size.
        strides: Steps.
        dilations: Gaps.
    """

    axis: int
    weight_axis: int
    kernel: tuple[int, ...] = ()
    pads: tuple[tuple[int, int], ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()

    @classmethod
    def of(cls, node: ir.Node, reader: Reader) -> Windows | None:
        """Return the windows of a node, or None for those that are not known here."""
        axis, weight_axis = reader.data_axis, reader.weight_axis
        if node.op_type != "Conv":
            is_known = node.op_type in ("Gemm", "MatMul")
            is_plain = is_known and node.attributes.get_float("alpha", 1.0) == 1.0
            return cls(axis=axis, weight_axis=weight_axis) if is_plain else None
        shape = node.inputs[1].shape if node.inputs[1] is not None else None
        padding = node.attributes.get_string("auto_pad", "NOTSET")
        if shape is None or padding != "NOTSET" or node.attributes.get_int("group", 1) > 1:
            return None
        kernel = tuple(int(str(size)) for size in shape[2:])
        ones = (1,) * len(kernel)
        pads = tuple(node.attributes.get_ints("pads") or (0,) * (2 * len(kernel)))
        half = len(kernel)
        return cls(
            axis=axis,
            weight_axis=weight_axis,
            kernel=kernel,
            pads=tuple(zip(pads[:half], pads[half:], strict=True)),
            strides=tuple(node.attributes.get_ints("strides") or ones),
            dilations=tuple(node.attributes.get_ints("dilations") or ones),
        )

    def at(self, data: Array, positions: Array) -> Array:
        """Return ``(positions, features)``: what is read for some numbers of each output."""
        if not self.kernel:
            rows = np.moveaxis(data, self.axis, -1)
            return rows.reshape(-1, rows.shape[-1])[positions]
        space = tuple(range(2, data.ndim))
        padded = np.pad(data, ((0, 0), (0, 0), *self.pads))
        reach = tuple(
            gap * (size - 1) + 1 for size, gap in zip(self.kernel, self.dilations, strict=True)
        )
        view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=space)
        steps = tuple(slice(None, None, step) for step in self.strides)
        gaps = tuple(slice(None, None, gap) for gap in self.dilations)
        view = np.moveaxis(view[(slice(None), slice(None), *steps, *gaps)], 1, len(space) + 1)
        places = np.unravel_index(
            np.arange(int(np.prod(view.shape[: len(space) + 1])))[positions],
            view.shape[: len(space) + 1],
        )
        return np.asarray(view[places].reshape(len(places[0]), -1))

    def shaped(self, step: Matrix, shape: tuple[int, ...]) -> Matrix:
        """Return ``(features, outputs)`` as weights of a shape."""
        if self.kernel:
            return np.asarray(step.T.reshape(shape))
        return step if self.weight_axis == 0 else step.T
