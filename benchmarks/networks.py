"""Whole networks in TVM against ONNX Runtime, in one process, round by round.

    .venv/bin/python benchmarks/networks.py [--mcpu x86-64-v4] [NETWORK ...]

The networks are the light models of the onnx package with weights of their own, random and
not shared. Both programs get the same model, one thread, the same input. The ratio is the
median over the rounds of one run's time by the other's; below 1 TVM is faster.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxsim
from onnx import numpy_helper

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.measure import measure
from suture.compiler.cost.records import machine, versions
from suture.compiler.target import find_target
from suture.compiler.verify import assert_equal, seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
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


def network(name: str, rng: np.random.Generator) -> ir.Model:
    """Return a light model with weights drawn so that activations keep their magnitude."""
    proto, _ = onnxsim.simplify(onnx.load(LIGHT / f"light_{name}.onnx"), skip_fuse_bn=True)
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


def compare(name: str, mcpu: str, rounds: int) -> str:
    """Return one row of the table."""
    rng = np.random.default_rng(0)
    target = replace(find_target("lambda-x86_64"), mcpu=mcpu)
    model = network(name, rng)
    PassManager(parse_pipeline("exact")).run(model)
    inputs = seeded_inputs(model, rng)
    with tempfile.TemporaryDirectory() as folder:
        backends = (TvmBackend(Path(folder) / "zig"), OrtBackend())
        runs, answers, seconds = {}, {}, {}
        for backend in backends:
            began = time.perf_counter()
            made = backend.compile(model.clone(), target, Path(folder) / backend.name)
            seconds[backend.name] = time.perf_counter() - began
            runs[backend.name] = backend.load(made, model, threads=1)
            answers[backend.name] = runs[backend.name](inputs)
        error = assert_equal(answers["ort"], answers["tvm"], what=name)
        timings = measure(runs, inputs, rounds=rounds)
    ratio = timings.ratio("tvm", "ort")
    medians = timings.median_ms
    print(
        f"| {name} | {medians['tvm']:.2f} | {medians['ort']:.2f} | {ratio:.2f} "
        f"| {error:.0e} | {seconds['tvm']:.1f} |",
        flush=True,
    )
    return str(ratio)


def main() -> None:
    """Compare and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--mcpu", default="x86-64-v3")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    names = options.networks or sorted(
        path.stem.removeprefix("light_") for path in LIGHT.glob("light_*.onnx")
    )
    print(f"{machine()}; {versions()}; {options.mcpu}, one thread\n")
    print("| network | TVM ms | ONNX Runtime ms | ratio | relative error | compile s |")
    print("|---|---|---|---|---|---|")
    ratios = [float(compare(name, options.mcpu, options.rounds)) for name in names]
    print(f"\ngeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    main()
