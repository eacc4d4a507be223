"""The light models of the onnx package, with weights of their own, random and not shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxsim
from onnx import numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = tuple(sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("light_*.onnx")))
STATISTICS = ((0.5, 0.9), (-0.1, 0.1), (-0.1, 0.1), (0.8, 1.2))
"""Ranges of BatchNormalization's scale, bias, mean and variance."""


def unshare(graph: onnx.GraphProto) -> None:
    """Give every use of an initializer one of its own, in place."""
    originals = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        for position, name in enumerate(node.input):
            if name in originals:
                copy = graph.initializer.add()
                copy.CopyFrom(originals[name])
                copy.name = node.input[position] = f"{name}.{number}.{position}"
    for tensor in originals.values():
        graph.initializer.remove(tensor)


def light(name: str) -> ir.Model:
    """Return a light model with weights drawn so that activations keep their magnitude."""
    rng = np.random.default_rng(0)
    proto, _ = onnxsim.simplify(onnx.load(FOLDER / f"light_{name}.onnx"), skip_fuse_bn=True)
    unshare(proto.graph)
    spans = {
        value: span
        for node in proto.graph.node
        if node.op_type == "BatchNormalization"
        for value, span in zip(node.input[1:5], STATISTICS, strict=True)
    }
    for tensor in proto.graph.initializer:
        old = numpy_helper.to_array(tensor)
        if old.dtype != np.float32:
            continue
        if old.ndim > 1:
            fan_in = np.prod(old.shape[1:]) if old.ndim == 4 else max(old.shape)
            new = rng.standard_normal(old.shape) * np.sqrt(2 / fan_in)
        else:
            new = rng.uniform(*spans.get(tensor.name, (0.0, 0.1)), old.shape)
        tensor.CopyFrom(numpy_helper.from_array(new.astype(np.float32), tensor.name))
    model = ir.from_proto(proto)
    ir_passes.RemoveInitializersFromInputsPass()(model)
    model.ir_version = 8
    return model
