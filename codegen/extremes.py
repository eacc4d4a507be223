"""Maxima and minima of floats as ONNX has them.

TVM begins reductions with the greatest finite numbers: the maximum of a row that a mask has
set to minus infinity would be finite. They begin with infinities here, and pools have them
around the image. And of two numbers it takes the second where either is no number, so that a
ReLU would make zero of it; here what is no number flows. It does not through the maximum of
many: there it depends on the order which ones count, as it does in ONNX Runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir.expr import TensorLoad
from tvm.s_tir import SBlock
from tvm.tirx import PrimFunc

from suture.codegen.schedule.base import SCHEDULED

FLOATS = ("float16", "float32", "float64")
PADDED = "pad_temp"
"""What TVM calls the image that its pools and convolutions surround."""
CONSTANTS = (tirx.FloatImm, tirx.Broadcast)


def mend_extremes(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module with every function mended.

    What a rule has scheduled keeps its order of operands and sees to them itself.
    """
    return tvm.IRModule(
        {
            name: _mend_function(function) if isinstance(function, PrimFunc) else function
            for name, function in module.functions.items()
        },
        attrs=module.attrs,
    )


def flowing(kind: type[tirx.Max | tirx.Min], first: Any, second: Any) -> Any:
    """Return the larger or smaller of two floats, no number where either is none."""
    if isinstance(first, CONSTANTS):
        return kind(first, second)
    if isinstance(second, CONSTANTS):
        return kind(second, first)
    return tirx.Select(tirx.isnan(first), first, kind(first, second))


def _mend_function(function: Any) -> Any:
    reduced: list[Any] = []

    def mend_block(block: Any) -> Any:
        if block.init is not None:
            reduced.extend(region.source for region in block.writes)
        return _mend_block(block)

    def mend_operands(extreme: Any) -> Any:
        first, second = extreme.a, extreme.b
        step = isinstance(first, TensorLoad) and any(map(first.source.same_as, reduced))
        if step or str(extreme.ty.dtype) not in FLOATS:
            return extreme
        return flowing(type(extreme), first, second)

    body = tvm_ffi.structural_map(function.body, (SBlock, mend_block))
    if SCHEDULED not in (function.attrs or {}):
        for kind in (tirx.Max, tirx.Min):
            body = tvm_ffi.structural_map(body, (kind, mend_operands))
    return function.with_body(body)


def _mend_block(block: Any) -> Any:
    body, init = block.body, block.init
    if init is not None:
        init = tvm_ffi.structural_map(init, (tirx.FloatImm, _mend_number))
    elif block.name_hint == PADDED:
        body = tvm_ffi.structural_map(body, (tirx.FloatImm, _mend_number))
    else:
        return block
    return SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        body,
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
