"""Emit kernels into a Relax function: groups, and operators over blocks of channels."""

from __future__ import annotations

from collections.abc import Mapping

from suture.codegen.emit.base import Emit
from suture.codegen.emit.concat import emit_concat
from suture.codegen.emit.conv import emit_conv
from suture.codegen.emit.conv_transpose import emit_conv_transpose
from suture.codegen.emit.elementwise import ELEMENTWISE, emit_elementwise
from suture.codegen.emit.gemm import emit_gemm
from suture.codegen.emit.pointwise import emit_affine
from suture.codegen.emit.pool import emit_global_mean, emit_pool
from suture.codegen.groups.affine import AFFINE
from suture.codegen.groups.conv import CONV
from suture.codegen.groups.conv_transpose import CONV_TRANSPOSE
from suture.codegen.groups.gemm import GEMM

EMITTERS: Mapping[str, Emit] = {
    AFFINE: emit_affine,
    CONV: emit_conv,
    CONV_TRANSPOSE: emit_conv_transpose,
    GEMM: emit_gemm,
    "AveragePool": emit_pool,
    "Concat": emit_concat,
    "GlobalAveragePool": emit_global_mean,
    "MaxPool": emit_pool,
    **dict.fromkeys(ELEMENTWISE, emit_elementwise),
}
"""Operator → its emitter; all others are left to TVM's importer."""
