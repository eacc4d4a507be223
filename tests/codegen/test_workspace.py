import itertools
import math

import numpy as np
import onnx_ir as ir
import pytest
import tvm
import tvm_ffi
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from suture.codegen.lower import lower
from suture.codegen.memory import aligned
from suture.codegen.pipeline import PIPELINE
from suture.codegen.processor import tvm_target
from suture.codegen.walk import plan_program
from suture.codegen.workspace import workspace_bytes


def kernel(scope, *, parallel=False):
    """Return a kernel of four rows that go through a buffer of 1,000 numbers each."""
    with IRBuilder() as builder, script.prim_func(s_tir=True):
        script.func_name("main")
        x = script.arg("x", script.buffer((4, 1000), "float32"))
        y = script.arg("y", script.buffer((4, 1000), "float32"))
        loop = script.parallel if parallel else script.serial
        with loop(0, 4) as row:
            between = script.alloc_buffer((1000,), "float32", scope=scope)
            with script.serial(0, 1000) as i:
                script.buffer_store(between, x[row, i] * 2.0, [i])
            with script.serial(0, 1000) as i:
                script.buffer_store(y, between[999 - i], [row, i])
    return builder.get()


def test_a_buffer_counts_in_whole_lines():
    assert workspace_bytes(kernel("global"), threads=2) == aligned(4001)


def test_in_a_parallel_loop_it_is_there_once_a_thread():
    assert workspace_bytes(kernel("global", parallel=True), threads=1) == aligned(4001)
    assert workspace_bytes(kernel("global", parallel=True), threads=3) == 3 * aligned(4001)


def test_what_is_in_registers_does_not_count():
    assert workspace_bytes(kernel("local"), threads=1) == 0


@pytest.fixture(scope="module")
def convolutions():
    """A Winograd convolution, a strided one that pads, a pointwise one with a stride."""
    rng = np.random.default_rng(0)

    def weights(name, *shape):
        return ir.Value(
            name=name,
            const_value=ir.tensor(rng.standard_normal(shape).astype(np.float32), name=name),
        )

    shape = ir.Shape((1, 16, 40, 40))
    x = ir.Value(name="x", shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
    values, nodes = x, []
    initializers = [
        weights("a", 64, 16, 3, 3),
        weights("b", 64, 64, 3, 3),
        weights("c", 32, 64, 1, 1),
    ]
    for weight, strides, pad in zip(initializers, (1, 2, 2), (1, 1, 0), strict=True):
        node = ir.node("Conv", [values, weight], {"strides": [strides] * 2, "pads": [pad] * 4})
        nodes += [node, ir.node("Relu", node.outputs)]
        values = nodes[-1].outputs[0]
    values.name = "y"
    values.shape, values.type = ir.Shape((1, 32, 10, 10)), x.type
    graph = ir.Graph(
        [x], [values], nodes=nodes, initializers=initializers, opset_imports={"": 20}
    )
    graph.name = "convolutions"
    return ir.Model(graph, ir_version=10)


def test_no_kernel_asks_for_more(convolutions, target):
    lowered = lower(convolutions, target)
    bound = tvm_target(target)
    step, _, _ = tvm.tirx.get_tir_pipeline(PIPELINE)
    asked = {}
    for name in plan_program(lowered).kernels:
        function = lowered.module[name]
        module = tvm.IRModule({name: function.with_attr("global_symbol", name)})
        module = tirx.transform.BindTarget(bound.with_host(bound))(module)
        buffers = []
        (made,) = step(module).functions.values()
        tvm_ffi.structural_walk(
            made.body, (tirx.AllocBuffer, lambda each, to=buffers: to.append(each.buffer))
        )
        asked[name] = sum(map(nbytes, buffers)), workspace_bytes(function, threads=1)
    assert any(known for known, _ in asked.values())
    for name, (known, bytes_) in asked.items():
        assert known <= bytes_ <= 1.2 * known, name


def nbytes(buffer):
    if buffer.scope() != "global":
        return 0
    element = tvm.DataType(buffer.dtype)
    return aligned(math.prod(map(int, buffer.shape)) * element.bits // 8 * element.lanes + 1)


def test_a_workspace_lies_where_nothing_else_does(convolutions, target):
    plan = plan_program(lower(convolutions, target))
    assert sum(call.workspace[1] > 0 for call in plan.calls) >= 2
    spans = {}
    for number, call in enumerate(plan.calls):
        for argument in call.args:
            tensor = plan.tensors[argument]
            if tensor.space == "arena":
                key = tensor.offset, tensor.offset + tensor.nbytes
                spans.setdefault(key, []).append(number)
    for number, call in enumerate(plan.calls):
        begin, size = call.workspace
        assert begin + size <= plan.arena_bytes
        alive = [key for key, uses in spans.items() if min(uses) <= number <= max(uses)]
        for (a, b), (c, d) in itertools.product([(begin, begin + size)] * (size > 0), alive):
            assert b <= c or d <= a
