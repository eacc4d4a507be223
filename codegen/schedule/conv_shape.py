"""The sizes of a convolution, which every rule for one starts from."""

from __future__ import annotations

from dataclasses import dataclass

from suture.codegen.schedule.base import Processor


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """A convolution of one image, all sizes fixed.

    Attributes:
        channels: Input channels.
        height: Input rows.
        width: Input columns.
        filters: Output channels.
        kernel: Taps, ``(height, width)``.
        strides: As in ONNX.
        pads: Rows above, columns left, rows below, columns right.
        dilations: As in ONNX.
        groups: Parts of the channels that do not see each other; each is whole blocks.
        plain: Whether the input is ``(1, channels, height, width)`` rather than blocked.
    """

    channels: int
    height: int
    width: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    plain: bool = False

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns that the taps of one output span."""
        return (
            (self.kernel[0] - 1) * self.dilations[0] + 1,
            (self.kernel[1] - 1) * self.dilations[1] + 1,
        )

    @property
    def out(self) -> tuple[int, int]:
        """Output rows and columns."""
        top, left, bottom, right = self.pads
        return (
            (self.height + top + bottom - self.reach[0]) // self.strides[0] + 1,
            (self.width + left + right - self.reach[1]) // self.strides[1] + 1,
        )

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.out[0] * self.out[1]

    @property
    def dense(self) -> bool:
        """Whether each output pixel sees only the input pixel at its own place."""
        return self.kernel == self.strides == (1, 1) and not any(self.pads)


def holds_groups(channels: int, filters: int, groups: int, processor: Processor) -> bool:
    """Whether each group of channels and of filters is whole blocks."""
    whole = groups * processor.lanes
    return groups == 1 or (channels % whole == 0 and filters % whole == 0)
