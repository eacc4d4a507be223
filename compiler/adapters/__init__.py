"""Small ONNX builders the planner may insert between ports, and the rule that picks them."""

from __future__ import annotations

from dataclasses import dataclass

from suture.compiler.adapters.base import Adapter
from suture.compiler.adapters.cast import Cast
from suture.compiler.adapters.channels import ToGray, ToRgb
from suture.compiler.adapters.layout import Layout
from suture.compiler.adapters.rescale import Rescale
from suture.compiler.adapters.resize import Resize
from suture.compiler.adapters.softmax import Softmax
from suture.compiler.component import Port
from suture.compiler.spec import SpecError, build_spec, did_you_mean, parse_spec
from suture.errors import Location, PlanError

ADAPTERS: tuple[type[Adapter], ...] = (Layout, Cast, ToGray, ToRgb, Resize, Rescale, Softmax)
"""In the order they are tried: axes first, so that the others know which axis is which."""


@dataclass(frozen=True)
class Joint:
    """How one port reaches another.

    Attributes:
        chain: Adapters in running order; empty where the ports fit as they are.
        gap: Why they cannot be joined, or None where they can.
    """

    chain: tuple[Adapter, ...]
    gap: str | None = None


def join(have: Port, want: Port) -> Joint:
    """Find the adapters that turn ``have`` into ``want``, each used at most once."""
    chain: list[Adapter] = []
    port = have
    for kind in ADAPTERS:
        adapter = kind.propose(port, want)
        if adapter is not None:
            chain.append(adapter)
            port = adapter.output(port)
    gap = mismatch(port, want)
    if gap is not None and chain:
        gap += f" (nearest: {' > '.join(map(str, chain))}, which gives {port})"
    return Joint(tuple(chain), gap)


def mismatch(have: Port, want: Port) -> str | None:
    """Return why ``have`` cannot feed ``want`` as it is, or None where it can."""
    if have.kind != want.kind:
        return f"kind {have.kind} is not {want.kind}"
    if have.dtype != want.dtype:
        return f"{have.dtype} is not {want.dtype}"
    if len(have.shape) != len(want.shape):
        return f"{len(have.shape)} axes are not {len(want.shape)}"
    if have.layout and want.layout and have.layout != want.layout:
        return f"layout {have.layout} is not {want.layout}"
    for axis, (size, wanted) in enumerate(zip(have.shape, want.shape, strict=True)):
        if isinstance(wanted, int) and size != wanted:
            return f"axis {axis} is {size}, not {wanted}"
    if have.range and want.range:
        (low, high), (least, most) = have.range, want.range
        if low < least or high > most:
            return f"values {low:g}..{high:g} are not within {least:g}..{most:g}"
    return None


def parse_adapter(spec: str) -> Adapter:
    """Return the adapter a plan's step names.

    Raises:
        PlanError: There is no such adapter, or it has no such option.
    """
    known = {kind.name: kind for kind in ADAPTERS}
    try:
        name, options = parse_spec(spec)
        if name in known:
            return build_spec(known[name], name, options)
    except SpecError as error:
        raise PlanError(str(error), at=Location(spec)) from error
    raise PlanError(f"no adapter {name!r}" + did_you_mean(name, known), at=Location(spec))


__all__ = ["ADAPTERS", "Adapter", "Joint", "join", "mismatch", "parse_adapter"]
