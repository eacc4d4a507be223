"""Which whole numbers a value can hold, whatever the inputs are.

Sets are followed through operators that choose, clip, move or count; what is not followed
may be anything its type holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of

MOST = 1 << 20
"""Numbers of a set; of more, nothing is known."""

DEPTH = 32
"""Operators to follow one after the other."""

Numbers = npt.NDArray[np.int64]


def possible_numbers(value: ir.Value | None) -> Numbers | None:
    """Return in ascending order every number that a value may hold, or None if not known."""
    return _Reading(value, DEPTH, {}).numbers()


Known = dict[ir.Value, Numbers | None]


def _find(value: ir.Value, depth: int, known: Known) -> Numbers | None:
    constant = numbers_of(value)
    if constant is not None:
        return _whole(constant)
    node = value.producer()
    found = None
    if node is not None and node.domain in DEFAULT_DOMAINS and depth > 0:
        rule = RULES.get(node.op_type)
        given = [_Reading(each, depth - 1, known) for each in node.inputs]
        found = rule(node, given) if rule else None
    return found if found is not None else _of_type(value.dtype)


class _Reading:
    """An input, looked into only where a rule asks for it, and once."""

    def __init__(self, value: ir.Value | None, depth: int, known: Known) -> None:
        self.value, self._depth, self._known = value, depth, known

    def numbers(self) -> Numbers | None:
        """Return what it may hold."""
        if self.value is None:
            return None
        if self.value not in self._known:
            self._known[self.value] = _find(self.value, self._depth, self._known)
        return self._known[self.value]

    def number(self) -> int | None:
        """Return the only whole number that it holds, or None."""
        found = numbers_of(self.value)
        if found is None or found.size != 1:
            return None
        whole = _whole(found)
        return None if whole is None else int(whole[0])


Readings = Sequence[_Reading]


def _whole(numbers: npt.NDArray[np.generic]) -> Numbers | None:
    """Return the different numbers of an array, or None where not all are whole and few."""
    if numbers.dtype.kind not in "iubf" or not numbers.size:
        return None
    if numbers.dtype.kind == "f" and not (
        np.isfinite(numbers).all() and (np.abs(numbers) < 2**31).all()
    ):
        return None
    different = np.unique(numbers)
    whole = different.astype(np.int64)
    return whole if len(whole) <= MOST and (whole == different).all() else None


def _of_type(dtype: ir.DataType | None) -> Numbers | None:
    if dtype == ir.DataType.BOOL:
        return np.array([0, 1])
    if dtype in (ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16):
        assert dtype is not None
        limits = np.iinfo(dtype.numpy())
        return np.arange(limits.min, limits.max + 1)
    return None


def _same(node: ir.Node, given: Readings) -> Numbers | None:
    return given[0].numbers()


def _cast(node: ir.Node, given: Readings) -> Numbers | None:
    """Return the numbers that fit the type; others would wrap around."""
    numbers, dtype = given[0].numbers(), node.outputs[0].dtype
    if numbers is None or dtype is None:
        return None
    if dtype == ir.DataType.BOOL:
        return np.unique((numbers != 0).astype(np.int64))
    try:
        kept = numbers.astype(dtype.numpy()).astype(np.int64)
    except TypeError:
        return None
    return numbers if (kept == numbers).all() else None


def _clip(node: ir.Node, given: Readings) -> Numbers | None:
    """Return what lies between two bounds, of whole numbers only."""
    if node.outputs[0].dtype is None or not node.outputs[0].dtype.is_integer():
        return None
    low, high = (given[at].number() if len(given) > at else None for at in (1, 2))
    numbers = given[0].numbers()
    if numbers is not None:
        return (
            np.unique(np.clip(numbers, low, high)) if (low, high) != (None, None) else numbers
        )
    if low is None or high is None or not 0 <= high - low < MOST:
        return None
    return np.arange(low, high + 1)


def _chosen_place(node: ir.Node, given: Readings) -> Numbers | None:
    """Return the places along an axis."""
    value = given[0].value
    axis = node.attributes.get_int("axis", 0)
    shape = tuple(value.shape) if value is not None and value.shape is not None else ()
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    return np.arange(size) if isinstance(size, int) and size <= MOST else None


def _any_of(*positions: int) -> Callable[[ir.Node, Readings], Numbers | None]:
    """Return a rule: numbers come from some inputs, all of them where none is named."""

    def rule(node: ir.Node, given: Readings) -> Numbers | None:
        read = [given[at] for at in positions] if positions else list(given)
        found = [each.numbers() for each in read]
        known = [each for each in found if each is not None]
        if len(known) < len(found) or not known:
            return None
        return np.unique(np.concatenate(known))

    return rule


def _combined(compute: np.ufunc) -> Callable[[ir.Node, Readings], Numbers | None]:
    """Return a rule: a function of one number of each of two inputs."""

    def rule(node: ir.Node, given: Readings) -> Numbers | None:
        dtype = node.outputs[0].dtype
        if len(given) != 2 or dtype not in (ir.DataType.INT32, ir.DataType.INT64):
            return None
        left, right = given[0].numbers(), given[1].numbers()
        if left is None or right is None or len(left) * len(right) > MOST:
            return None
        found = np.unique(compute.outer(left, right))
        return found if np.abs(found).max() < 2**31 else None  # nothing wraps around

    return rule


def _rest(node: ir.Node, given: Readings) -> Numbers | None:
    """Return what is left by a positive divisor (Mod, ``fmod=0``)."""
    divisor = given[1].number()
    dtype = node.outputs[0].dtype
    if divisor is None or not 0 < divisor <= MOST or dtype is None or not dtype.is_integer():
        return None
    return np.arange(divisor) if not node.attributes.get_int("fmod", 0) else None


RULES: Mapping[str, Callable[[ir.Node, Readings], Numbers | None]] = {
    **dict.fromkeys(
        (
            "Expand",
            "Flatten",
            "Gather",
            "Identity",
            "Reshape",
            "Slice",
            "Split",
            "Squeeze",
            "Tile",
            "Transpose",
            "Unsqueeze",
        ),
        _same,
    ),
    "Add": _combined(np.add),
    "ArgMax": _chosen_place,
    "ArgMin": _chosen_place,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _any_of(),
    "Max": _combined(np.maximum),
    "Min": _combined(np.minimum),
    "Mod": _rest,
    "Mul": _combined(np.multiply),
    "Sub": _combined(np.subtract),
    "Where": _any_of(1, 2),
}
