"""Functions that processors lack, as arithmetic on vectors or on single numbers.

Kernels call ``exp``, ``erf``, ``tanh`` and ``sigmoid`` as TVM has them, each a call of the C
library for every number; here they are written out. Each takes and returns an expression of
float32, of any number of lanes. Not-a-number gives not-a-number; infinities give the
functions' limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
ROUNDER = 12582912.0  # 1.5 · 2^23: adding it leaves the nearest integer in the low bits
EXPONENT_BITS = 23

# Cephes, expf.c (S. Moshier, 1992).
EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
EXP_RANGE = (-87.6, 89.0)
"""Below is zero, denormal results too; above is infinite."""

# Eigen, MathFunctionsImpl.h (generic_fast_tanh_float) and, as XLA and TVM's topi have it, erf:
# odd in x, above and below the fraction bar.
ERF = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
ERF_BELOW = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
ERF_RANGE = 4.0
TANH = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_BELOW = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)
TANH_RANGE = 9.0


def number(value: float, like: Any) -> Any:
    """Return a constant of an expression's type."""
    return tirx.const(value, type_of(like))


def type_of(value: Any) -> str:
    """Return an expression's type, as ``float32x8``."""
    return str(value.ty.dtype)


def bound(value: Any, use: Callable[[Any], Any]) -> Any:
    """Return what ``use`` makes of a value that is computed once."""
    name = tirx.Var("t", type_of(value))
    return tirx.Let(name, value, use(name))


def clamp(value: Any, low: float | None = None, high: float | None = None) -> Any:
    """Return a value held to a range; not-a-number stays what it is."""
    if low is not None:
        value = bound(value, lambda x: tirx.Select(x < low, number(low, x), x))
    if high is not None:
        value = bound(value, lambda x: tirx.Select(x > high, number(high, x), x))
    return value


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """Return a polynomial by Horner's rule, the highest power's coefficient first."""
    total = number(coefficients[0], x)
    for coefficient in coefficients[1:]:
        total = total * x + number(coefficient, x)
    return total


def exp(value: Any) -> Any:
    """Return e to a power: 2^n · e^r with n an integer and r within half of ln 2.

    Relative error at most 2 units in the last place.
    """

    def raised(x: Any) -> Any:
        return bound(x * number(LOG2_E, x) + number(ROUNDER, x), lambda s: scaled(x, s))

    def scaled(x: Any, shifted: Any) -> Any:
        n = shifted - number(ROUNDER, x)
        rest = x - n * number(LN2_HIGH, x) - n * number(LN2_LOW, x)
        # One less than n, so that 2^128 is reached by doubling at the end.
        whole = type_of(x).replace("float", "int")
        bits = tirx.reinterpret(whole, shifted) + tirx.const(126, whole)
        shifted = tirx.shift_left(bits, tirx.const(EXPONENT_BITS, whole))
        power = tirx.reinterpret(type_of(x), shifted)
        return bound(rest, lambda r: doubled(r, power))

    def doubled(r: Any, power: Any) -> Any:
        near = polynomial(r, EXP) * (r * r) + r + number(1.0, r)
        return bound(near * power, lambda half: half + half)

    return bound(clamp(value, *EXP_RANGE), raised)


def erf(value: Any) -> Any:
    """Return the error function; absolute error at most 3e-7."""
    return _ratio(value, ERF, ERF_BELOW, ERF_RANGE)


def tanh(value: Any) -> Any:
    """Return the hyperbolic tangent; absolute error at most 2e-7."""
    return _ratio(value, TANH, TANH_BELOW, TANH_RANGE)


def sigmoid(value: Any) -> Any:
    """Return 1 / (1 + e^-x)."""
    return bound(value, lambda x: number(1.0, x) / (number(1.0, x) + exp(number(0.0, x) - x)))


def _ratio(value: Any, above: Sequence[float], below: Sequence[float], limit: float) -> Any:
    """Return an odd function as x times a ratio of polynomials in x²."""

    def of_square(x: Any, square: Any) -> Any:
        return x * polynomial(square, above) / polynomial(square, below)

    def of(x: Any) -> Any:
        return bound(x * x, lambda square: of_square(x, square))

    return bound(clamp(value, -limit, limit), of)


APPROXIMATED: Mapping[str, Callable[[Any], Any]] = {
    "tirx.erf": erf,
    "tirx.exp": exp,
    "tirx.sigmoid": sigmoid,
    "tirx.tanh": tanh,
}


def write_out(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module whose kernels call none of those functions of float32."""
    functions = {
        name: function.with_body(
            tvm_ffi.structural_map(function.body, (tvm.ir.Call, _written))
        )
        if isinstance(function, tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _written(call: Any) -> Any:
    """Return what a call computes as arithmetic, or the call where that is not known."""
    function = APPROXIMATED.get(getattr(call.op, "name", ""))
    if function is None or not type_of(call.args[0]).startswith("float32"):
        return call
    return function(call.args[0])
