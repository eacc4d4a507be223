"""Emit kernels into a Relax function: groups, and operators over blocks of channels."""

from __future__ import annotations

from collections.abc import Mapping

from suture.codegen.emit.attention import emit_attention
from suture.codegen.emit.base import Emit
from suture.codegen.emit.choose import emit_choose
from suture.codegen.emit.concat import emit_concat
from suture.codegen.emit.conv import emit_conv
from suture.codegen.emit.conv_transpose import emit_conv_transpose
from suture.codegen.emit.elementwise import ELEMENTWISE, emit_elementwise
from suture.codegen.emit.gemm import emit_gemm
from suture.codegen.emit.lrn import emit_lrn
from suture.codegen.emit.mended import (
    emit_bit_cast,
    emit_bit_shift,
    emit_eye_like,
    emit_is_inf,
    emit_mod,
    emit_pow,
)
from suture.codegen.emit.pointwise import emit_affine
from suture.codegen.emit.pool import emit_global_mean, emit_pool
from suture.codegen.emit.quantized import (
    emit_dequantize,
    emit_qconv,
    emit_qgemm,
    emit_quantize,
)
from suture.codegen.emit.resize import emit_resize
from suture.codegen.emit.rows import emit_instance_norm, emit_layer_norm, emit_softmax
from suture.codegen.emit.strips import emit_slice
from suture.codegen.flatten import CHOOSE
from suture.codegen.groups.affine import AFFINE
from suture.codegen.groups.attention import ATTENTION
from suture.codegen.groups.conv import CONV
from suture.codegen.groups.conv_transpose import CONV_TRANSPOSE
from suture.codegen.groups.gemm import GEMM
from suture.codegen.groups.quantized import QCONV, QGEMM
from suture.codegen.groups.resize import RESIZE

EMITTERS: Mapping[str, Emit] = {
    AFFINE: emit_affine,
    ATTENTION: emit_attention,
    CHOOSE: emit_choose,
    CONV: emit_conv,
    CONV_TRANSPOSE: emit_conv_transpose,
    GEMM: emit_gemm,
    QCONV: emit_qconv,
    QGEMM: emit_qgemm,
    RESIZE: emit_resize,
    "AveragePool": emit_pool,
    "BitCast": emit_bit_cast,
    "BitShift": emit_bit_shift,
    "Concat": emit_concat,
    "DequantizeLinear": emit_dequantize,
    "EyeLike": emit_eye_like,
    "GlobalAveragePool": emit_global_mean,
    "InstanceNormalization": emit_instance_norm,
    "IsInf": emit_is_inf,
    "LRN": emit_lrn,
    "LayerNormalization": emit_layer_norm,
    "LogSoftmax": emit_softmax,
    "MaxPool": emit_pool,
    "Mod": emit_mod,
    "Pow": emit_pow,
    "QuantizeLinear": emit_quantize,
    "Slice": emit_slice,
    "Softmax": emit_softmax,
    **dict.fromkeys(ELEMENTWISE, emit_elementwise),
}
"""Operator → its emitter; all others are left to TVM's importer."""
