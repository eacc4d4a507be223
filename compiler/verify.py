"""Check that a model computes what another one computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.component import Port
from suture.compiler.inspect import read_ports
from suture.compiler.session import lend_weights, open_session
from suture.errors import Location, RequestError, VerifyError

Arrays = Mapping[str, npt.NDArray[Any]]

RTOL = 1e-4
"""Largest difference, as a fraction of the greatest magnitude of the output.

Rounding alone moves a resampled image by 1e-5 of its magnitude when weights are folded.
"""


QUANTISED_RTOL = 5e-2
"""The same for models that quantise: a sum that is rounded to the next quantum moves those
behind it, in ONNX Runtime with and without its optimisations as well.
"""

FREE_SIZES = (1, 16, 512)
"""Sizes to try for free dimensions, the first that a model runs with."""


def seeded_input(port: Port, rng: np.random.Generator, *, free: int = 1) -> npt.NDArray[Any]:
    """Return numbers that fit a port, free dimensions taken as ``free``.

    Floats are normal, or uniform over the port's range where it has one; whole numbers lie in
    the range, or 0..9.
    """
    shape = [dim if isinstance(dim, int) else free for dim in port.shape]
    dtype = np.dtype(port.dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        low, high = port.range or (0, 9)
        return rng.integers(int(low), int(high) + 1, shape).astype(dtype)
    if dtype.kind != "f":
        raise RequestError(
            f"no numbers of type {port.dtype} can be drawn", at=Location(port.name)
        )
    if port.range is not None:
        return rng.uniform(*port.range, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def seeded_inputs(model: ir.Model, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Return numbers for every input of a model, of sizes that it runs with.

    Raises:
        VerifyError: It runs with none of ``FREE_SIZES``.
    """
    ports = read_ports(tuple(model.graph.inputs))
    is_static = all(isinstance(dim, int) for port in ports for dim in port.shape)
    for free in FREE_SIZES:
        inputs = {port.name: seeded_input(port, rng, free=free) for port in ports}
        if is_static:
            break
        try:
            run_reference(model, inputs)
        except VerifyError:
            if free == FREE_SIZES[-1]:
                raise
        else:
            break
    return inputs


def run_reference(model: ir.Model, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return the outputs as ONNX Runtime computes them with its own optimisations off."""
    bare, weights = lend_weights(model)
    session = open_session(bare, optimize=False)
    names = [output.name for output in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}
    feed = {name: array for name, array in inputs.items() if name in wanted} | weights
    try:
        return dict(zip(names, session.run(names, feed), strict=True))
    except Exception as error:
        raise VerifyError(
            f"ONNX Runtime cannot run it: {error}",
            at=Location(model.graph.name or "model"),
            hint="give inputs that fit it with --input",
        ) from error


def tolerance(model: ir.Model) -> float:
    """Return the largest difference that rounding may make to a model's answers."""
    quantises = any(node.op_type == "QuantizeLinear" for node in model.graph.all_nodes())
    return QUANTISED_RTOL if quantises else RTOL


def max_abs_error(expected: Arrays, actual: Arrays) -> float:
    """Return the greatest difference over all outputs; NaN equals NaN."""
    worst = 0.0
    for name, want in expected.items():
        if want.size:
            got = np.asarray(actual[name], np.float64)
            with np.errstate(invalid="ignore"):
                gap = np.asarray(np.abs(got - np.asarray(want, np.float64)))
            gap[np.isnan(got) & np.isnan(want)] = 0
            gap[got == want] = 0
            worst = max(worst, float(np.where(np.isnan(gap), np.inf, gap).max()))
    return worst


def assert_equal(expected: Arrays, actual: Arrays, *, what: str, rtol: float = RTOL) -> float:
    """Return the greatest difference, as a fraction of each output's magnitude.

    Raises:
        VerifyError: An output is missing, has another shape or type, or differs by more than
            ``rtol`` or four roundings of its type, whichever is greater, whole numbers by
            anything; names the output, the place and both values.
    """
    worst = 0.0
    for name, want in expected.items():
        at = Location(what, None, name)
        if name not in actual:
            raise VerifyError("this output is missing", at=at)
        got = actual[name]
        if got.shape != want.shape or got.dtype != want.dtype:
            raise VerifyError(
                f"{got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}",
                at=at,
            )
        if not want.size:
            continue
        if want.dtype.kind != "f":
            _check_exact(want, got, at)
            continue
        finite = np.abs(want[np.isfinite(want)])
        scale = max(float(finite.max()) if finite.size else 0.0, 1e-6)
        with np.errstate(invalid="ignore"):
            gap = np.asarray(np.abs(got.astype(np.float64) - want.astype(np.float64)) / scale)
        gap[got == want] = 0
        gap[np.isnan(got) & np.isnan(want)] = 0
        gap[np.isnan(gap)] = np.inf
        place = np.unravel_index(int(gap.argmax()), gap.shape)
        worst = max(worst, float(gap[place]))
        if gap[place] > max(rtol, 4 * float(np.finfo(want.dtype).eps)):
            raise VerifyError(
                f"{got[place]!r} instead of {want[place]!r} at {[int(i) for i in place]}, "
                f"{gap[place]:.2e} of the output's magnitude",
                at=at,
            )
    return worst


def _check_exact(want: npt.NDArray[Any], got: npt.NDArray[Any], at: Location) -> None:
    """Raise ``VerifyError`` for the first element that is not the same."""
    differs = np.asarray(got != want)
    if differs.any():
        place = np.unravel_index(int(differs.argmax()), differs.shape)
        index = [int(i) for i in place]
        raise VerifyError(f"{got[place]!r} instead of {want[place]!r} at {index}", at=at)


def assert_equivalent(
    reference: ir.Model, model: ir.Model, inputs: Arrays, *, rtol: float = RTOL
) -> float:
    """Run both models on the same inputs and compare; see ``assert_equal``."""
    return assert_equal(
        run_reference(reference, inputs),
        run_reference(model, inputs),
        what=model.graph.name or "model",
        rtol=rtol,
    )
