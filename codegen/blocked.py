"""Emit scheduled kernels into a Relax function, and keep track of layouts.

A tensor of channels has up to two forms: the plain one of ONNX, and a twin with channels in
blocks of one vector, ``(channels / lanes, height, width, lanes)``. Scheduled kernels give the
twin first; the plain form is written as well and is dropped as dead code where nobody reads
it. What works element by element is done to the twins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax, te, tirx

from suture.codegen.operands import Attributes, dims, numbers, padded, read_epilogue
from suture.codegen.schedule.base import Vectors, ceil_div
from suture.codegen.schedule.conv import ConvShape, DirectConv, holds_groups
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.gemm import Gemm, GemmShape
from suture.compiler.spec import format_spec

ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Relu", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid", "Tanh"}
)
"""Operators that may be done to twins, where every operand has one of the same shape."""

PLAIN_CHANNELS = 4
"""Fewer input channels than this are read as they lie; a block would be mostly padding."""


class Blocked:
    """Scheduled kernels of one function in the making.

    Args:
        builder: The function's builder.
        vectors: The target's vector unit.

    Attributes:
        schedules: The kernels emitted so far by name, each with its schedule as a spec.
    """

    def __init__(self, builder: relax.BlockBuilder, vectors: Vectors) -> None:
        self._builder = builder
        self._vectors = vectors
        self._twins: dict[Any, Any] = {}
        self._kernels: dict[object, Any] = {}
        self.schedules: dict[str, str] = {}

    def conv(self, inputs: Sequence[Any], attributes: Attributes) -> Any:
        """Emit a convolution group; return its plain output."""
        x, w, bias, residual = inputs
        weights = numbers(w)
        _, channels, height, width = dims(x)
        depthwise = bool(attributes["depthwise"])
        lanes = self._vectors.lanes
        if not holds_groups(channels, len(weights), attributes["groups"], self._vectors):
            return self._ragged_conv(x, weights, bias, attributes)
        shape = ConvShape(
            channels=channels,
            height=height,
            width=width,
            filters=weights.shape[0],
            kernel=(weights.shape[2], weights.shape[3]),
            strides=tuple(attributes["strides"]),
            pads=tuple(attributes["pads"]),
            dilations=tuple(attributes["dilations"]),
            groups=attributes["groups"],
            plain=not depthwise and channels <= PLAIN_CHANNELS and x not in self._twins,
        )
        out = shape.out
        if shape.pointwise and not depthwise:
            shape = shape.flattened()
        epilogue = read_epilogue(attributes, bias, residual)
        rule = DepthwiseConv if depthwise else DirectConv
        schedule = rule.space(shape, self._vectors)[0]
        blocks = ceil_div(shape.filters, lanes)
        source = x if shape.plain else self._twin(x)
        arguments = [source, relax.const(schedule.pack(weights, shape, self._vectors))]
        if not shape.plain:
            arguments[0] = self._reshaped(
                source, (ceil_div(channels, lanes), shape.height, shape.width, lanes)
            )
        if bias is not None:
            arguments.append(relax.const(padded(numbers(bias).reshape(-1), blocks * lanes)))
        if residual is not None:
            twin = self._twin(residual)
            arguments.append(self._reshaped(twin, (blocks, *shape.out, lanes)))
        made = self._call(
            schedule,
            (shape, epilogue),
            lambda: schedule.kernel(shape, epilogue, self._vectors),
            arguments,
            (blocks, *shape.out, lanes),
        )
        twin = self._reshaped(made, (blocks, *out, lanes))
        return self.plain(twin, weights.shape[0])

    def _ragged_conv(
        self, x: Any, weights: npt.NDArray[np.float32], bias: Any, attributes: Attributes
    ) -> Any:
        """Emit a convolution whose groups are not whole blocks, each group padded to some."""
        groups, lanes = attributes["groups"], self._vectors.lanes
        _, channels, height, width = dims(x)
        seen, made = channels // groups, len(weights) // groups
        wide, tall = (ceil_div(size, lanes) * lanes for size in (seen, made))
        image = self._builder.emit_te(
            lambda image: te.compute(
                (1, groups * wide, height, width),
                lambda _, c, i, j: tirx.if_then_else(
                    c % wide < seen,
                    image[0, c // wide * seen + c % wide, i, j],
                    tirx.const(0.0, "float32"),
                ),
                name="spread",
            ),
            x,
            primfunc_name_hint="spread_groups",
        )
        parts = weights.reshape(groups, made, *weights.shape[1:])
        whole = np.zeros((groups, tall, wide, *weights.shape[2:]), np.float32)
        whole[:, :made, :seen] = parts
        filters = relax.const(whole.reshape(groups * tall, wide, *weights.shape[2:]))
        if bias is not None:
            spread = np.zeros((groups, tall), np.float32)
            spread[:, :made] = numbers(bias).reshape(groups, made)
            bias = relax.const(spread.reshape(-1))
        out = self.conv((image, filters, bias, None), attributes)
        return self._builder.emit_te(
            lambda image: te.compute(
                (1, len(weights), *dims(out)[2:]),
                lambda _, c, i, j: image[0, c // made * tall + c % made, i, j],
                name="gathered",
            ),
            out,
            primfunc_name_hint="gather_groups",
        )

    def gemm(self, inputs: Sequence[Any], attributes: Attributes) -> Any:
        """Emit a matrix product group; return its output."""
        x, w, bias, residual = inputs
        weights = numbers(w)
        if attributes.get("transposed"):
            weights = weights.T
        depth, columns = weights.shape
        whole = (*dims(x)[:-1], columns)
        shape = GemmShape(rows=math.prod(whole[:-1]), depth=depth, columns=columns)
        epilogue = read_epilogue(attributes, bias, residual)
        schedule = Gemm.space(shape, self._vectors)[0]
        arguments = [
            self._reshaped(x, (shape.rows, depth)),
            relax.const(schedule.pack(np.ascontiguousarray(weights), shape)),
        ]
        if bias is not None:
            arguments.append(relax.const(numbers(bias).reshape(-1)))
        if residual is not None:
            arguments.append(self._reshaped(residual, (shape.rows, columns)))
        made = self._call(
            schedule,
            (shape, epilogue),
            lambda: schedule.kernel(shape, epilogue, self._vectors),
            arguments,
            (shape.rows, columns),
        )
        return self._reshaped(made, whole)

    def elementwise(
        self, inputs: Sequence[Any], convert: Callable[[list[Any]], Any]
    ) -> Any | None:
        """Do an operator to the operands' twins; None where one has none of the same shape.

        A constant for each channel, or one for all, has a twin of its own.
        """
        first = inputs[0]
        if first not in self._twins:
            return None
        twins = [self._operand(x, first) for x in inputs]
        if any(twin is None for twin in twins):
            return None
        return self.plain(self._builder.emit(convert(twins)), dims(first)[1])

    def _operand(self, value: Any, like: Any) -> Any | None:
        """Return the twin of an operand, or None where it has none of that shape."""
        if value in self._twins:
            return self._twins[value] if dims(value) == dims(like) else None
        if not isinstance(value, tvm.ir.GenericConst) or value.ty.dtype != "float32":
            return None
        array, (_, channels, _, _) = numbers(value), dims(like)
        if array.size == 1:
            return relax.const(array.reshape(()))
        if array.size == channels and array.shape[-3:] == (channels, 1, 1):
            return self._channels(array)
        return None

    def _channels(self, vector: npt.NDArray[np.float32]) -> Any:
        """Return a constant for each channel as it is added to a twin."""
        lanes = self._vectors.lanes
        blocks = ceil_div(vector.size, lanes)
        whole = padded(vector.reshape(-1), blocks * lanes)
        return relax.const(whole.reshape(blocks, 1, 1, lanes))

    def batch_norm(self, inputs: Sequence[Any], attributes: Attributes) -> Any | None:
        """Emit a normalisation that could not be folded, as one product and one sum."""
        x, *constants = inputs
        if x not in self._twins or attributes.get("training_mode", 0):
            return None
        if not all(isinstance(each, tvm.ir.GenericConst) for each in constants):
            return None
        scale, shift, mean, variance = (numbers(each).astype(np.float64) for each in constants)
        scale = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        factor, term = (a.astype(np.float32) for a in (scale, shift - mean * scale))
        product = relax.op.multiply(self._twins[x], self._channels(factor))
        twin = self._builder.emit(relax.op.add(product, self._channels(term)))
        return self.plain(twin, dims(x)[1])

    def concat(self, inputs: Sequence[Any]) -> Any | None:
        """Join channels of twins; None where a block would have to be cut."""
        lanes = self._vectors.lanes
        if not all(x in self._twins and dims(x)[1] % lanes == 0 for x in inputs):
            return None
        twin = self._builder.emit(relax.op.concat([self._twins[x] for x in inputs], axis=0))
        return self.plain(twin, sum(dims(x)[1] for x in inputs))

    def max_pool(self, x: Any, attributes: Attributes) -> Any | None:
        """Emit a max-pool over a twin; None where it is of a kind not written here."""
        known = {"kernel_shape", "strides", "pads", "tvm_custom"}
        if x not in self._twins or set(attributes) - known:
            return None
        kernel = tuple(attributes["kernel_shape"])
        strides = tuple(attributes.get("strides", (1, 1)))
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        blocks, height, width, lanes = dims(self._twins[x])
        out_h = (height + top + bottom - kernel[0]) // strides[0] + 1
        out_w = (width + left + right - kernel[1]) // strides[1] + 1
        lowest = tirx.min_value("float32")

        def pool(image: Any) -> Any:
            read = image
            if top or left or bottom or right:
                read = te.compute(
                    (blocks, height + top + bottom, width + left + right, lanes),
                    lambda c, i, j, v: tirx.if_then_else(
                        tirx.all(i >= top, i < height + top, j >= left, j < width + left),
                        image[c, i - top, j - left, v],
                        lowest,
                    ),
                    name="padded",
                )
            y = te.reduce_axis((0, kernel[0]), "y")
            z = te.reduce_axis((0, kernel[1]), "x")
            return te.compute(
                (blocks, out_h, out_w, lanes),
                lambda c, i, j, v: te.max(
                    read[c, i * strides[0] + y, j * strides[1] + z, v], axis=[y, z]
                ),
                name="pooled",
            )

        twin = self._builder.emit_te(pool, self._twins[x], primfunc_name_hint="max_pool")
        return self.plain(twin, dims(x)[1])

    def global_mean(self, x: Any) -> Any | None:
        """Emit the mean over each channel of a twin, or None where there is no twin."""
        if x not in self._twins:
            return None
        twin = self._builder.emit(relax.op.mean(self._twins[x], axis=[1, 2], keepdims=True))
        return self.plain(twin, dims(x)[1])

    def plain(self, twin: Any, channels: int) -> Any:
        """Return the plain form of a twin; dead code where nobody reads it."""
        blocks, height, width, lanes = dims(twin)
        whole = (1, channels, height, width)
        if height == width == 1 and blocks * lanes == channels:
            value = self._reshaped(twin, whole)
        else:
            value = self._builder.emit_te(
                lambda image: te.compute(
                    whole,
                    lambda _, c, i, j: image[c // lanes, i, j, c % lanes],
                    name="plain",
                ),
                twin,
                primfunc_name_hint="plain_layout",
            )
        self._twins[value] = twin
        return value

    def _twin(self, value: Any) -> Any:
        """Return a value's twin, writing it where there is none yet."""
        if value not in self._twins:
            _, channels, height, width = dims(value)
            lanes = self._vectors.lanes
            blocks = ceil_div(channels, lanes)

            def block(image: Any) -> Any:
                def read(b: Any, i: Any, j: Any, v: Any) -> Any:
                    channel = b * lanes + v
                    if blocks * lanes == channels:
                        return image[0, channel, i, j]
                    return tirx.if_then_else(
                        channel < channels,
                        image[0, channel, i, j],
                        tirx.const(0.0, "float32"),
                    )

                return te.compute((blocks, height, width, lanes), read, name="blocked")

            self._twins[value] = self._builder.emit_te(
                block, value, primfunc_name_hint="blocked_layout"
            )
        return self._twins[value]

    def _call(
        self,
        schedule: Any,
        key: tuple[object, ...],
        kernel: Callable[[], Any],
        arguments: Sequence[Any],
        out: tuple[int, ...],
    ) -> Any:
        """Emit a call of a scheduled kernel; equal kernels are built once."""
        whole = (schedule, *key)
        if whole not in self._kernels:
            name = f"{schedule.name.replace('-', '_')}_{len(self._kernels)}"
            self._kernels[whole] = self._builder.add_func(kernel(), name)
            self.schedules[name] = format_spec(schedule.name, schedule)
        call = relax.call_tir(
            self._kernels[whole], list(arguments), relax.TensorType(out, "float32")
        )
        return self._builder.emit(call)

    def _reshaped(self, value: Any, shape: tuple[int, ...]) -> Any:
        if dims(value) == shape:
            return value
        return self._builder.emit(relax.op.reshape(value, shape))
