"""Write the networks as ONNX, node by node, as an exporter without optimisations would."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from networks import MEAN, STD, Contrast, Denoise, Deskew, Standardize
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 17
IMAGE = ["N", 1, 32, 32]


class Writer:
    """A graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, data: object, dtype: str = "float32") -> str:
        """Add a constant and return its name."""
        if isinstance(data, Tensor):
            data = data.detach().numpy()
        self.weights.append(numpy_helper.from_array(np.asarray(data, dtype), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        """Add a node with one output and return the output's name."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def layers(self, layers: nn.Sequential, value: str) -> str:
        """Add the layers of a network, each as the ONNX operator it is."""
        for position, layer in enumerate(layers):
            value = self.layer(layer, value, f"{type(layer).__name__.lower()}_{position}")
        return value

    def layer(self, layer: nn.Module, value: str, name: str) -> str:
        """Add one layer."""
        match layer:
            case Standardize():
                mean = self.weight(f"{name}.mean", MEAN)
                centred = self.node("Sub", [value, mean], f"{name}_sub")
                return self.node("Div", [centred, self.weight(f"{name}.std", STD)], name)
            case nn.Conv2d():
                inputs = [value, self.weight(f"{name}.weight", layer.weight)]
                if layer.bias is not None:
                    inputs.append(self.weight(f"{name}.bias", layer.bias))
                return self.node("Conv", inputs, name, pads=[int(layer.padding[0])] * 4)
            case nn.BatchNorm2d():
                parts = ("weight", "bias", "running_mean", "running_var")
                weights = [self.weight(f"{name}.{p}", getattr(layer, p)) for p in parts]
                return self.node(
                    "BatchNormalization", [value, *weights], name, epsilon=layer.eps
                )
            case nn.MaxPool2d() | nn.AvgPool2d():
                op = "MaxPool" if isinstance(layer, nn.MaxPool2d) else "AveragePool"
                size = [int(layer.kernel_size)] * 2
                return self.node(op, [value], name, kernel_shape=size, strides=size)
            case nn.Linear():
                weights = [self.weight(f"{name}.weight", layer.weight)]
                weights.append(self.weight(f"{name}.bias", layer.bias))
                return self.node("Gemm", [value, *weights], name, transB=1)
            case nn.Flatten() | nn.ReLU() | nn.Tanh():
                op = {"Flatten": "Flatten", "ReLU": "Relu", "Tanh": "Tanh"}
                return self.node(op[type(layer).__name__], [value], name)
        raise TypeError(f"no ONNX operator for {layer}")

    def clip(self, value: str, output: str) -> str:
        """Add a clamp to 0..1."""
        return self.node(
            "Clip", [value, self.weight("zero", 0), self.weight("one", 1)], output
        )

    def save(self, path: Path, output: str, shape: list[int | str]) -> None:
        """Check the graph and write it."""
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def write_classifier(network: nn.Sequential, path: Path) -> None:
    """Write a classifier: ``image`` to ``logits``."""
    writer = Writer()
    last = writer.layers(network, "image")
    writer.nodes[-1].output[0] = "logits"
    writer.nodes[-1].name = last
    writer.save(path, "logits", ["N", 10])


def write_denoise(network: Denoise, path: Path) -> None:
    """Write the denoiser: ``image`` to ``denoised``."""
    writer = Writer()
    noise = writer.layers(network.noise, "image")
    writer.clip(writer.node("Sub", ["image", noise], "without"), "denoised")
    writer.save(path, "denoised", IMAGE)


def write_contrast(network: Contrast, path: Path) -> None:
    """Write the contrast normaliser: ``image`` to ``stretched``."""
    writer = Writer()
    patches = writer.node("AveragePool", ["image"], "patches", kernel_shape=[3, 3])
    low = writer.node("ReduceMin", [patches], "low", axes=[1, 2, 3])
    high = writer.node("ReduceMax", [patches], "high", axes=[1, 2, 3])
    span = writer.node("Sub", [high, low], "span")
    floor = writer.weight("floor", float(network.floor.detach().abs()) + 1e-3)
    scaled = writer.node(
        "Div",
        [
            writer.node("Sub", ["image", low], "above"),
            writer.node("Add", [span, floor], "wide"),
        ],
        "scaled",
    )
    gained = writer.node("Mul", [scaled, writer.weight("gain", network.gain)], "gained")
    writer.clip(gained, "stretched")
    writer.save(path, "stretched", IMAGE)


def write_deskew(network: Deskew, path: Path) -> None:
    """Write the deskewer: ``image`` to ``upright``; the grid is pixel centres, turned."""
    writer = Writer()
    turn = writer.layers(network.turn, "image")
    angle = writer.node("Mul", [turn, writer.weight("third", math.pi / 3)], "angle")
    cosine = writer.node("Cos", [angle], "cosine")
    sine = writer.node("Sin", [angle], "sine")
    centres = (np.arange(32) * 2 + 1) / 32 - 1
    rows, columns = np.meshgrid(centres, centres, indexing="ij")
    x = writer.weight("x", columns.reshape(1, -1))
    y = writer.weight("y", rows.reshape(1, -1))

    def product(one: str, other: str) -> str:
        return writer.node("Mul", [one, other], f"{one}_{other}")

    across = writer.node("Sub", [product(cosine, x), product(sine, y)], "across")
    down = writer.node("Add", [product(sine, x), product(cosine, y)], "down")
    shape = writer.weight("grid_shape", [-1, 32, 32, 1], "int64")
    parts = [writer.node("Reshape", [flat, shape], f"{flat}_grid") for flat in (across, down)]
    grid = writer.node("Concat", parts, "grid", axis=3)
    sampled = writer.node("GridSample", ["image", grid], "sampled", align_corners=0)
    writer.clip(sampled, "upright")
    writer.save(path, "upright", IMAGE)
