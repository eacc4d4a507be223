"""The sums of a tile, added up product by product: what Winograd's transforms would spoil.

A tile is transformed as a whole, so one number that is infinite or no number makes all its
sums so, and transforms of large numbers overflow. Sums that are finite are right. The others
are rare: this is small code, which takes the filters' taps out of the transformed weights
rather than have them in memory twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as code

from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.winograd_transforms import TAPS, Transform

EXPONENT = 0x7F800000
"""The bits of a float32 that are all set where it is infinite or no number."""
NOTHING = 1e-6
"""A tap this small beside the largest of its filter and channel was zero: that is how far
rounding leads. Whether it is zero decides what an infinite input makes of it."""


def is_spoilt(total: Any, lanes: int) -> Any:
    """Return whether a number that went into the sums of a vector may not be finite.

    Args:
        total: Buffer of the sums, ``(lanes,)``.
        lanes: Numbers of a vector.
    """
    number = total[0]
    for lane in range(1, lanes):
        number = number + total[lane]
    # In bits: TVM's rewriting of comparisons knows nothing of what is no number.
    return (tirx.reinterpret("int32", number) & EXPONENT) == EXPONENT


class Direct:
    """The sums of tiles for one vector of filters.

    Args:
        shape: The convolution.
        transform: Along either axis.
        lanes: Numbers of a vector.
        image: Its input, in blocks of channels.
        weights: Transformed, ``(panels, places, channels, columns)``.
    """

    def __init__(
        self, shape: ConvShape, transform: Transform, lanes: int, image: Any, weights: Any
    ) -> None:
        self.shape, self.transform, self.lanes = shape, transform, lanes
        self.image, self.weights = image, weights
        self.taps = code.alloc_buffer((TAPS * TAPS * lanes,), scope="local")
        self.sums = code.alloc_buffer((transform.outputs**2 * lanes,), scope="local")

    @contextmanager
    def outputs(
        self, panel: Any, column: Any, top: Any, left: Any
    ) -> Iterator[tuple[Any, Any, Any]]:
        """Add up a tile; return a loop over its outputs' row, column and vector of sums.

        Args:
            panel: The tile of filters.
            column: The first of its filters in the panel.
            top: First output row of the tile.
            left: First output column.
        """
        size, shape = self.transform.outputs, self.shape
        with code.serial(size * size) as at:
            self._store(self.sums, at, tirx.Broadcast(tirx.const(0.0, "float32"), self.lanes))
        with code.serial(shape.channels) as channel:
            self._recover(panel, channel, column)
            with (
                code.serial(TAPS) as y,
                code.serial(TAPS) as x,
                code.serial(size) as i,
                code.serial(size) as j,
            ):
                pixel = self._pixel(channel, top + i + y, left + j + x)
                at, tap = i * size + j, self._load(self.taps, y * TAPS + x)
                self._store(self.sums, at, self._load(self.sums, at) + pixel * tap)
        with code.serial(size) as i, code.serial(size) as j:
            inside = tirx.all(top + i < shape.out[0], left + j < shape.out[1])
            with code.If(inside), code.Then():
                yield i, j, self._load(self.sums, i * size + j)

    def _recover(self, panel: Any, channel: Any, column: Any) -> None:
        """Write the taps of a vector of filters for one channel."""
        reads, telling, taps = (
            self.transform.reads,
            self.transform.telling,
            self.transform.taps,
        )
        kind = f"float32x{self.lanes}"
        columns = [
            taps(
                [
                    code.Bind(
                        self.weights.vload([panel, i * reads + j, channel, column], kind)
                    )
                    for i in telling
                ]
            )
            for j in telling
        ]
        found = [
            code.Bind(tap)
            for y in range(TAPS)
            for tap in taps([code.Bind(column[y]) for column in columns])
        ]
        largest = tirx.abs(found[0])
        for tap in found[1:]:
            largest = code.Bind(tirx.max(largest, tirx.abs(tap)))
        zero = tirx.Broadcast(tirx.const(0.0, "float32"), self.lanes)
        for place, tap in enumerate(found):
            kept = tirx.Select(tirx.abs(tap) > NOTHING * largest, tap, zero)
            self._store(self.taps, place, kept)

    def _pixel(self, channel: Any, y: Any, x: Any) -> Any:
        """Return a number of the padded image for every lane."""
        row, column = y - self.shape.pads[0], x - self.shape.pads[1]
        inside = tirx.all(
            row >= 0, row < self.shape.height, column >= 0, column < self.shape.width
        )
        number = self.image[channel // self.lanes, row, column, channel % self.lanes]
        value = tirx.if_then_else(inside, number, tirx.const(0.0, "float32"))
        return tirx.Broadcast(value, self.lanes)

    def _load(self, buffer: Any, at: Any) -> Any:
        return buffer.vload([at * self.lanes], f"float32x{self.lanes}")

    def _store(self, buffer: Any, at: Any, vector: Any) -> None:
        code.buffer_store(buffer, vector, [tirx.Ramp(at * self.lanes, 1, self.lanes)])
