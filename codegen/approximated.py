"""Kernels of TVM's own with the functions that processors lack written out.

TVM calls the C library for each number; LLVM can make vectors of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

from suture.codegen.schedule.approximate import erf, exp, sigmoid, tanh

APPROXIMATED: Mapping[str, Callable[[Any], Any]] = {
    "tirx.erf": erf,
    "tirx.exp": exp,
    "tirx.sigmoid": sigmoid,
    "tirx.tanh": tanh,
}


def approximate(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module whose kernels call none of those functions of float32."""
    functions = {
        name: function.with_body(tvm_ffi.structural_map(function.body, (tvm.ir.Call, _written)))
        if isinstance(function, tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions)


def _written(call: Any) -> Any:
    """Return what a call computes as arithmetic, or the call where that is not known."""
    function = APPROXIMATED.get(getattr(call.op, "name", ""))
    if function is None or str(call.args[0].ty.dtype) != "float32":
        return call
    return function(call.args[0])
