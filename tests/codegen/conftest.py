import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.document import Identity, model_document
from suture.codegen.package import assemble
from suture.compiler.target import lambda_x86_64


@pytest.fixture(scope="session")
def tvm_backend(zig_cache):
    return TvmBackend(zig_cache)


@pytest.fixture(scope="session")
def target():
    return lambda_x86_64()


@pytest.fixture(scope="session")
def pack(target, zig_cache):
    """Make the package of a compiled model; requests have the shapes of the model."""

    def pack(compiled, model, *, runtime="python", form="zip", target=target, **identity):
        document = model_document(
            compiled,
            model,
            Identity(**{"name": "net", "version": "7", **identity}),
            target,
            examples={
                value.name: tuple(map(int, value.shape)) for value in model.graph.inputs
            },
        )
        return assemble(
            compiled, document, target, runtime=runtime, cache=zig_cache, form=form
        )

    return pack


@pytest.fixture(scope="session")
def parse():
    def parse(text, opset=17):
        proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')
        return ir.from_proto(proto)

    return parse


@pytest.fixture(scope="session")
def with_weights():
    """Turn inputs of a parsed model into seeded constants."""

    def with_weights(model, names):
        rng = np.random.default_rng(0)
        for name in names:
            value = next(v for v in model.graph.inputs if v.name == name)
            model.graph.inputs.remove(value)
            array = rng.standard_normal([int(d) for d in value.shape]).astype(np.float32)
            value.const_value = ir.tensor(array, name=name)
            model.graph.register_initializer(value)
        return model

    return with_weights


@pytest.fixture(scope="session")
def random_inputs():
    def random_inputs(model, seed=0):
        rng = np.random.default_rng(seed)
        inputs = {}
        for value in model.graph.inputs:
            values = rng.standard_normal([int(d) for d in value.shape]) * 3
            inputs[value.name] = np.asarray(values).astype(value.dtype.numpy())
        return inputs

    return random_inputs


@pytest.fixture(scope="session")
def conv_model():
    """Conv, relu, max-pool, flatten, gemm: 1x1x12x12 to 10 logits, and the pooled features."""
    rng = np.random.default_rng(7)

    def weight(name, *shape):
        return onnx.numpy_helper.from_array(
            (rng.standard_normal(shape) / 4).astype(np.float32), name
        )

    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["x", "w1", "b1"], ["c"], pads=[1, 1, 1, 1], name="conv"),
            node("Relu", ["c"], ["r"]),
            node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
            node("Flatten", ["p"], ["f"]),
            node("Gemm", ["f", "w2", "b2"], ["logits"], transB=1),
        ],
        "convnet",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 1, 12, 12])],
        [
            onnx.helper.make_tensor_value_info("logits", 1, [1, 10]),
            onnx.helper.make_tensor_value_info("p", 1, [1, 8, 6, 6]),
        ],
        [
            weight("w1", 8, 1, 3, 3),
            weight("b1", 8),
            weight("w2", 10, 288),
            weight("b2", 10),
        ],
    )
    opset = onnx.helper.make_opsetid("", 17)
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8))
