"""What a first layer costs in TVM's program, by how the image arrives.

    .venv/bin/python benchmarks/first_layer.py [--seconds S]

A convolution of 3 × 3 with 32 filters and a stride of 2 on an image of 224 × 224, after the
``exact`` pipeline, on one thread. A ratio is the median over rounds of the time by that of an
image of float32 with the channels first, which needs neither a cast nor another layout.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx.parser
import onnx_ir as ir

from suture.codegen.backend.base import Run
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.measure import measure_for, pinned
from suture.compiler.target import find_target
from suture.compiler.verify import Arrays
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

CAST, TURN = "Cast<to=1>(x)", "Transpose<perm=[0,3,1,2]>"
ARRIVALS: Mapping[str, tuple[str, str]] = {
    "float32, channels first": ("float[1,3,224,224]", "t = Identity(x)"),
    "bytes, channels first": ("uint8[1,3,224,224]", f"t = {CAST}"),
    "float32, channels last": ("float[1,224,224,3]", f"t = {TURN}(x)"),
    "bytes, channels last": ("uint8[1,224,224,3]", f"c = {CAST} t = {TURN}(c)"),
}


def build(entry: str, nodes: str) -> ir.Model:
    """Return a network of one layer; equal arguments give equal weights."""
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> first ({entry} x) => (float[N,C,H,W] y)'
        f" {{ {nodes} c1 = Conv<strides=[2,2], pads=[1,1,1,1]>(t, w) y = Relu(c1) }}"
    )
    weight = np.random.default_rng(0).normal(0, 0.2, (32, 3, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def main() -> None:
    """Compile each, time them in turn and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, prog="first_layer.py")
    parser.add_argument("--seconds", type=float, default=10, help="of timing")
    seconds = parser.parse_args().seconds
    runs: dict[str, Run] = {}
    kernels: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as folder, pinned(1):
        backend = TvmBackend(Path.home() / ".cache" / "suture" / "zig")
        target = find_target("lambda-x86_64").with_threads(1)
        for number, (name, (entry, nodes)) in enumerate(ARRIVALS.items()):
            model = build(entry, nodes)
            PassManager(parse_pipeline("exact")).run(model)
            compiled = backend.compile(model, target, Path(folder) / str(number))
            kernels[name] = [kernel.name for kernel in compiled.kernels]
            runs[name] = _with_image(backend.load(compiled, model, threads=1), model)
        timings = measure_for(seconds, runs, {})
    first = next(iter(runs))
    for name in runs:
        told = f"{timings.median_ms[name]:.3f} ms, {timings.ratio(name, first):.2f}"
        print(f"{name}: {told}; {', '.join(kernels[name])}")


def _with_image(run: Run, model: ir.Model) -> Run:
    """Return a program that is always given the same noise."""
    value = model.graph.inputs[0]
    assert value.shape is not None
    assert value.dtype is not None
    noise = np.random.default_rng(1).integers(0, 256, tuple(value.shape.numpy()))
    image = {"x": noise.astype(value.dtype.numpy())}

    def always(_: Arrays) -> Arrays:
        return run(image)

    return always


if __name__ == "__main__":
    main()
