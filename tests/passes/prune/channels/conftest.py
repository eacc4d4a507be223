from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from suture.compiler.verify import run_reference
from suture.passes.base import set_constant
from suture.passes.prune.channels.groups import find_groups
from suture.passes.prune.channels.readers import find_readers
from suture.passes.prune.channels.slicing import cut


@dataclass
class Network:
    """A graph that grows by a node at a time over ``x``, ``float[1, start, size, size]``."""

    start: int = 4
    size: int = 6
    seed: int = 0
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def weight(self, *shape, low=-1.0, high=1.0):
        return self.constant(self.rng.uniform(low, high, shape).astype(np.float32))

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [f"{op.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, names[0], **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, value, before, after, group=1, kernel=3):
        pads = [kernel // 2] * 4
        weight = self.weight(after, before // group, kernel, kernel)
        return self.node("Conv", value, weight, pads=pads, group=group)

    def attention(self, value, length, width, heads):
        """Multi-head self-attention without biases; ``value`` is ``(1, length, width)``."""
        split = self.constant(np.array([0, length, heads, width // heads], np.int64))
        q, k, v = (
            self.node(
                "Transpose",
                self.node(
                    "Reshape", self.node("MatMul", value, self.weight(width, width)), split
                ),
                perm=perm,
            )
            for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        weights = self.node("Softmax", self.node("MatMul", q, k), axis=-1)
        mixed = self.node("Transpose", self.node("MatMul", weights, v), perm=[0, 2, 1, 3])
        whole = self.constant(np.array([1, length, width], np.int64))
        return self.node(
            "MatMul", self.node("Reshape", mixed, whole), self.weight(width, width)
        )

    def operator(self, value, width, heads, mask="", shared=None):
        """The same by the operator; ``shared`` heads of K and V, those of V wider by one."""
        shared, size = shared or heads, width // heads
        deep = size + 1
        parts = [heads * size, shared * size, shared * deep]
        wide = self.node("MatMul", value, self.weight(width, sum(parts)))
        wide = self.node("Add", wide, self.weight(sum(parts)))
        sizes = self.constant(np.array(parts, np.int64))
        read = [*self.node("Split", wide, sizes, outputs=3, axis=-1), *filter(None, [mask])]
        counts = {"q_num_heads": heads, "kv_num_heads": shared}
        rows = self.node("Attention", *read, **counts)
        return self.node("MatMul", rows, self.weight(heads * deep, width))

    def model(self, *outputs, opset=18):
        entry = helper.make_tensor_value_info("x", 1, [1, self.start, self.size, self.size])
        info = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", [entry], info, self.weights)
        opsets = [helper.make_opsetid("", opset)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


@pytest.fixture(scope="session")
def network():
    return Network


def silence(model, groups, gone):
    """Zero the weights that read groups: what remains is what a smaller model must compute."""
    silent = model.clone()
    for reader in find_readers(silent, groups):
        value = silent.graph.initializers[reader.weight]
        weight = np.moveaxis(value.const_value.numpy().copy(), reader.weight_axis, 0)
        weight[gone[reader.groups]] = 0
        set_constant(value, np.moveaxis(weight, 0, reader.weight_axis))
    return silent


def without_some(model, rng, part=0.5):
    """Cut free groups at random; return the model, one with them silent, and how many went."""
    groups = find_groups(model)
    gone = groups.free & (rng.random(len(groups.free)) < part)
    for axes in groups.axes.values():
        for axis in axes:
            if len(axis) and gone[axis].all():
                gone[axis[0]] = False
    smaller = model.clone()
    cut(smaller, groups, gone)
    return smaller, silence(model, groups, gone), int(gone.sum())


@pytest.fixture(scope="session")
def answers():
    def answers(model, seed=0):
        rng = np.random.default_rng(seed)
        shape = [int(size) for size in model.graph.inputs[0].shape]
        return run_reference(model, {"x": rng.standard_normal(shape, np.float32)})

    return answers


@pytest.fixture(scope="session")
def cut_some():
    return without_some
