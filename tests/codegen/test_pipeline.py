import tvm

from suture.codegen.pipeline import PIPELINE
from suture.codegen.schedule.base import WIDTHS, Epilogue
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape

TARGET = {"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 1}


def allocations(pipeline):
    shape = ConvShape(channels=8, height=8, width=8, filters=16, kernel=(3, 3))
    processor = WIDTHS["x86-64-v3"]
    kernel = DirectConv.space(shape, processor)[0].kernel(shape, Epilogue(), processor)
    named = kernel.with_attr("global_symbol", "main")
    target = tvm.target.Target(TARGET)
    library = tvm.compile(named, target=target, tir_pipeline=pipeline)
    return library.mod.inspect_source("ll").count("load ptr, ptr @__TVMBackendAllocWorkspace")


def test_accumulators_are_not_allocated():
    assert allocations("default") > 0
    assert allocations(PIPELINE) == 0
