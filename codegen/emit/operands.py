"""Read what a Relax value or a group's attributes hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from suture.codegen.schedule.base import Epilogue
from suture.passes.recognise.activation import Activation

Attributes = Mapping[str, Any]


def dims(value: Any) -> tuple[int, ...]:
    """Return the sizes of a Relax value of fixed shape."""
    return tuple(int(size) for size in value.ty.shape.values)


def numbers(value: Any) -> npt.NDArray[np.float32]:
    """Return a Relax constant as an array."""
    return np.asarray(value.value.numpy(), np.float32)


def padded(vector: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Return a vector with zeros behind it."""
    whole = np.zeros(size, np.float32)
    whole[: vector.size] = vector
    return whole


def read_epilogue(attributes: Attributes, bias: Any, residual: Any) -> Epilogue:
    """Return a group's epilogue."""
    activation = attributes.get("activation", b"none").decode()
    return Epilogue(
        bias=bias is not None,
        residual=residual is not None,
        activation=cast(Activation, activation),
        low=float(attributes.get("low", 0.0)),
        high=float(attributes.get("high", 0.0)),
        residual_last=bool(attributes.get("residual_last", 0)),
    )
