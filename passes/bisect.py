"""Find the first pass after which a model no longer does what it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from suture.errors import SutureError
from suture.passes.base import GraphPass, PassContext
from suture.passes.manager import PassManager

Check = Callable[[ir.Model, Sequence[GraphPass]], None]
"""Raises ``SutureError`` where a model is broken, told which passes it has been through."""


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """The pass that breaks a model.

    Attributes:
        position: Its place in the pipeline, from 0.
        graph_pass: The pass.
        error: What is wrong after it.
        before: The model before it, which is not broken.
    """

    position: int
    graph_pass: GraphPass
    error: SutureError
    before: ir.Model


@dataclass(frozen=True, kw_only=True)
class Bisection:
    """What trying parts of a pipeline found.

    Attributes:
        culprit: The first pass that breaks the model, or None where none does.
        checks: How often the model was checked.
    """

    culprit: Culprit | None
    checks: int


def bisect(
    model: ir.Model, passes: Sequence[GraphPass], check: Check, ctx: PassContext
) -> Bisection:
    """Run ever smaller parts of a pipeline until one pass is left to be the culprit.

    What is broken is taken to stay broken, so that each check halves what may be at fault.
    The model itself is left as it is.

    Args:
        model: The model.
        passes: The pipeline.
        check: Says whether a model is broken; it may take long, and is asked about once for
            each halving.
        ctx: What passes may know.

    Raises:
        SutureError: The model is broken before any pass.
    """
    check(model, ())
    sound, at_sound = 0, model
    broken, checks = len(passes), 1
    error = None
    if passes:
        error, checks = _fault(model.clone(), passes, (), check, ctx), 2
    if error is None:
        return Bisection(culprit=None, checks=checks)
    while broken - sound > 1:
        middle = (sound + broken) // 2
        tried = at_sound.clone()
        fault = _fault(tried, passes[sound:middle], passes[:sound], check, ctx)
        checks += 1
        if fault is None:
            sound, at_sound = middle, tried
        else:
            broken, error = middle, fault
    culprit = Culprit(position=sound, graph_pass=passes[sound], error=error, before=at_sound)
    return Bisection(culprit=culprit, checks=checks)


def _fault(
    model: ir.Model,
    passes: Sequence[GraphPass],
    ran: Sequence[GraphPass],
    check: Check,
    ctx: PassContext,
) -> SutureError | None:
    """Run passes over a model, in place, and return what is wrong with it then, or None."""
    try:
        PassManager(passes).run(model, ctx)
        check(model, (*ran, *passes))
    except SutureError as error:
        return error
    return None
