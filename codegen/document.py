"""What a package says of the model in it: ``model.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from suture import __version__
from suture.codegen.backend.base import Compiled
from suture.codegen.recipe import Source
from suture.compiler.component import Port
from suture.compiler.target import Target
from suture.errors import Location, PackageError

FORMAT = 1

DATATYPES = {"float16": "FP16", "float32": "FP32", "float64": "FP64", "bool": "BOOL"} | {
    f"{sign}int{bits}": f"{sign}int{bits}".upper()
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
"""NumPy's names of element types → those of the Open Inference Protocol."""

IMAGE_MODES = {("image/gray", 2): "L", ("image/rgb", 3): "RGB"}
"""Kind and rank of an input that takes decoded images → Pillow's mode."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a package says of itself.

    Attributes:
        name: Name of the model it serves.
        version: Its version, from the content.
        plan: The plan's name and digest, or None for a model without a task.
        entry: The task's input, or None.
        sources: What it is made from.
    """

    name: str
    version: str
    plan: tuple[str, str] | None = None
    entry: Port | None = None
    sources: tuple[Source, ...] = ()


def model_document(
    compiled: Compiled,
    model: ir.Model,
    identity: Identity,
    target: Target,
    *,
    examples: Mapping[str, tuple[int, ...]],
) -> dict[str, Any]:
    """Return what is in model.json, whatever runtime reads it.

    Args:
        compiled: What a backend made of the model.
        model: The model.
        identity: What the package says of itself.
        target: Where it runs.
        examples: A shape of each input that the model was seen to run with.

    Raises:
        PackageError: An input or output has an element type that requests cannot carry.
    """
    inputs = [v for v in model.graph.inputs if v.name not in model.graph.initializers]
    kinds = {identity.entry.name: identity.entry.kind} if identity.entry else {}
    return {
        "format": FORMAT,
        "name": identity.name,
        "version": identity.version,
        "suture": __version__,
        "backend": compiled.backend,
        "threads": target.threads,
        "arch": target.arch,
        "inputs": [
            {**_spec(value, kinds), "example": list(examples[str(value.name)])}
            for value in inputs
        ],
        "outputs": [_spec(value, kinds) for value in model.graph.outputs],
        "programs": [
            {
                "inputs": [list(slot.shape) for slot in program.inputs],
                "outputs": [list(slot.shape) for slot in program.outputs],
            }
            for program in compiled.programs
        ],
        "plan": identity.plan and dict(zip(("name", "digest"), identity.plan, strict=True)),
        "image": image_entry(identity.entry),
    }


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """Return the file; equal documents give equal bytes."""
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def image_entry(entry: Port | None) -> dict[str, str] | None:
    """Return which input takes decoded images and their mode, or None."""
    if entry is None or entry.dtype != "uint8":
        return None
    mode = IMAGE_MODES.get((entry.kind, len(entry.shape)))
    return {"input": entry.name, "mode": mode} if mode else None


def _spec(value: ir.Value, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return one input or output as model.json has it; -1 is a size that requests choose."""
    dtype = value.dtype.numpy().name if value.dtype is not None else "unknown"
    if dtype not in DATATYPES or value.shape is None:
        raise PackageError(
            f"requests cannot carry {dtype} of shape {value.shape}",
            at=Location("model", None, value.name),
            hint="wrap the model so that its ports are numeric tensors of known rank",
        )
    return {
        "name": value.name,
        "datatype": DATATYPES[dtype],
        "shape": [dim if isinstance(dim, int) else -1 for dim in value.shape],
        "kind": kinds.get(str(value.name), "tensor"),
    }
