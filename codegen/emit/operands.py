"""Read what a Relax value or a group's attributes hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from suture.codegen.schedule.base import Activation, Epilogue

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
    activations: Mapping[bytes, Activation] = {b"relu": "relu", b"clip": "clip"}
    return Epilogue(
        bias=bias is not None,
        residual=residual is not None,
        activation=activations.get(attributes.get("activation", b""), "none"),
        low=float(attributes.get("low", 0.0)),
        high=float(attributes.get("high", 0.0)),
    )
