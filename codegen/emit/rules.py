"""Our own schedule rules, entry points of ``suture.schedules`` as anybody else's are."""

from __future__ import annotations

from suture.codegen.emit.attention import emit_attention
from suture.codegen.emit.base import Operator
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
    emit_extreme,
    emit_eye_like,
    emit_is_inf,
    emit_log_sum_exp,
    emit_mod,
    emit_pow,
    emit_sign,
    emit_thresholded_relu,
)
from suture.codegen.emit.pointwise import emit_affine
from suture.codegen.emit.pool import emit_global_mean, emit_pool
from suture.codegen.emit.quantized import (
    emit_dequantize,
    emit_qconv,
    emit_qgemm,
    emit_quantize,
)
from suture.codegen.emit.reduce import REDUCTIONS, emit_reduce, over_pixels
from suture.codegen.emit.resize import emit_resize
from suture.codegen.emit.rows import emit_instance_norm, emit_layer_norm, emit_softmax
from suture.codegen.emit.rule import ScheduleRule
from suture.codegen.emit.strips import emit_slice
from suture.codegen.flatten import CHOOSE
from suture.codegen.groups.affine import AFFINE, match_affine
from suture.codegen.groups.attention import ATTENTION, match_attention
from suture.codegen.groups.conv import CONV, match_conv
from suture.codegen.groups.conv_transpose import CONV_TRANSPOSE, match_conv_transpose
from suture.codegen.groups.gemm import GEMM, match_gemm
from suture.codegen.groups.quantized import QCONV, QGEMM, match_quantized
from suture.codegen.groups.resize import RESIZE, match_resize
from suture.codegen.schedule.attention import Attention
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.depthwise import DepthwiseConv
from suture.codegen.schedule.gathered import GatheredConv
from suture.codegen.schedule.gemm import Gemm
from suture.codegen.schedule.grouped import GroupedConv
from suture.codegen.schedule.int8_conv import Int8Conv
from suture.codegen.schedule.int8_depthwise import Int8Depthwise
from suture.codegen.schedule.int8_gemm import Int8Gemm
from suture.codegen.schedule.lrn import Lrn
from suture.codegen.schedule.normalize import Normalize
from suture.codegen.schedule.paste import Paste
from suture.codegen.schedule.pointwise import PointwiseConv
from suture.codegen.schedule.pool import Pool
from suture.codegen.schedule.reduce import Reduce
from suture.codegen.schedule.resize import Resize
from suture.codegen.schedule.softmax import Softmax
from suture.codegen.schedule.transposed import TransposedConv
from suture.codegen.schedule.winograd import Winograd


def each_image(operator: Operator) -> bool:
    """Whether an operator does the same to each image: these do."""
    return True


def within_images(operator: Operator) -> bool:
    """Whether a concatenation is along another axis than that of the images."""
    return bool(operator.attributes.get("axis", 0) % 4)


# Groups are made in the order of places: what an earlier one takes, a later one does not see.
QUANTIZED_CONV = ScheduleRule(
    operators=(QCONV,),
    match=match_quantized,  # makes both kinds of group
    emit=emit_qconv,
    schedules=(Int8Conv, Int8Depthwise),
    by_image=each_image,
    place=100,
)
QUANTIZED_GEMM = ScheduleRule(
    operators=(QGEMM,), emit=emit_qgemm, schedules=(Int8Gemm,), place=100
)
AFFINE_CHAIN = ScheduleRule(
    operators=(AFFINE,), match=match_affine, emit=emit_affine, by_image=each_image, place=110
)
CONVOLUTION = ScheduleRule(
    operators=(CONV,),
    match=match_conv,
    emit=emit_conv,
    schedules=(DirectConv, DepthwiseConv, GroupedConv, PointwiseConv, GatheredConv, Winograd),
    by_image=each_image,
    place=120,
)
TRANSPOSED_CONVOLUTION = ScheduleRule(
    operators=(CONV_TRANSPOSE,),
    match=match_conv_transpose,
    emit=emit_conv_transpose,
    schedules=(TransposedConv,),
    by_image=each_image,
    place=130,
)
PRODUCT = ScheduleRule(
    operators=(GEMM,), match=match_gemm, emit=emit_gemm, schedules=(Gemm,), place=140
)
ATTENTION_HEADS = ScheduleRule(
    operators=(ATTENTION,),
    match=match_attention,
    emit=emit_attention,
    schedules=(Attention,),
    place=150,
)
RESAMPLING = ScheduleRule(
    operators=(RESIZE,),
    match=match_resize,
    emit=emit_resize,
    schedules=(Resize,),
    by_image=each_image,
    place=160,
)
POOLING = ScheduleRule(
    operators=("AveragePool", "MaxPool"),
    emit=emit_pool,
    schedules=(Pool,),
    by_image=each_image,
    place=200,
)
GLOBAL_MEAN = ScheduleRule(
    operators=("GlobalAveragePool",), emit=emit_global_mean, by_image=each_image, place=200
)
CONCATENATION = ScheduleRule(
    operators=("Concat",),
    emit=emit_concat,
    schedules=(Paste,),
    by_image=within_images,
    place=200,
)
REDUCTION = ScheduleRule(
    operators=REDUCTIONS,
    emit=emit_reduce,
    schedules=(Reduce,),
    by_image=over_pixels,
    place=200,
)
ROWS = ScheduleRule(operators=("Slice",), emit=emit_slice, by_image=each_image, place=200)
QUANTIZING = ScheduleRule(
    operators=("QuantizeLinear",), emit=emit_quantize, by_image=each_image, place=200
)
DEQUANTIZING = ScheduleRule(
    operators=("DequantizeLinear",), emit=emit_dequantize, by_image=each_image, place=200
)
INSTANCE_NORM = ScheduleRule(
    operators=("InstanceNormalization",),
    emit=emit_instance_norm,
    schedules=(Normalize,),
    place=200,
)
LAYER_NORM = ScheduleRule(
    operators=("LayerNormalization",),
    emit=emit_layer_norm,
    schedules=(Normalize,),
    place=200,
)
LOCAL_RESPONSE_NORM = ScheduleRule(
    operators=("LRN",), emit=emit_lrn, schedules=(Lrn,), by_image=each_image, place=200
)
SOFTMAX = ScheduleRule(
    operators=("Softmax", "LogSoftmax"),
    emit=emit_softmax,
    schedules=(Softmax,),
    place=200,
)
ELEMENT_BY_ELEMENT = ScheduleRule(
    operators=ELEMENTWISE, emit=emit_elementwise, by_image=each_image, place=200
)
BRANCHES = ScheduleRule(operators=(CHOOSE,), emit=emit_choose, place=200)
# Operators that TVM's importer gets wrong.
BIT_CAST = ScheduleRule(operators=("BitCast",), emit=emit_bit_cast, place=300)
BIT_SHIFT = ScheduleRule(operators=("BitShift",), emit=emit_bit_shift, place=300)
EXTREMES = ScheduleRule(operators=("Max", "Min"), emit=emit_extreme, place=300)
EYE_LIKE = ScheduleRule(operators=("EyeLike",), emit=emit_eye_like, place=300)
IS_INF = ScheduleRule(operators=("IsInf",), emit=emit_is_inf, place=300)
LOG_SUM_EXP = ScheduleRule(operators=("ReduceLogSumExp",), emit=emit_log_sum_exp, place=300)
MOD = ScheduleRule(operators=("Mod",), emit=emit_mod, place=300)
POW = ScheduleRule(operators=("Pow",), emit=emit_pow, place=300)
SIGN = ScheduleRule(operators=("Sign",), emit=emit_sign, place=300)
THRESHOLDED_RELU = ScheduleRule(
    operators=("ThresholdedRelu",), emit=emit_thresholded_relu, place=300
)
