"""Maxima begin with minus infinity, and minima with infinity.

TVM begins them with the greatest finite numbers: the maximum of a row that a mask has set to
minus infinity would be finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlock

FLOATS = ("float16", "float32", "float64")


def mend_extremes(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module whose reductions begin with infinities; those scheduled already too."""
    functions = {
        name: function.with_body(tvm_ffi.structural_map(function.body, (SBlock, _mend_block)))
        if isinstance(function, tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _mend_block(block: Any) -> Any:
    if block.init is None:
        return block
    init = tvm_ffi.structural_map(block.init, (tirx.FloatImm, _mend_number))
    return SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        block.body,
        init,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )


def _mend_number(number: Any) -> Any:
    dtype = str(number.ty.dtype)
    if dtype not in FLOATS or abs(float(number.value)) != float(np.finfo(dtype).max):
        return number
    return tirx.FloatImm(dtype, float(np.copysign(np.inf, number.value)))
