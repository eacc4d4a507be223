"""Packages of one program: suture's own, and what a user would make by hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suture.codegen.archive import Content, extract, write_archive
from suture.codegen.flavour import Runtime
from suture.codegen.invoke import HANDLER
from suture.codegen.request import random_event
from suture.compiler.cost.records import Records
from suture.compiler.model import save_model
from suture.compiler.target import find_target
from suture.driver.compiling import compile_model
from suture.driver.options import Options, Which

sys.path.insert(0, str(Path(__file__).parents[1] / "networks"))
import catalogue

KINDS: Mapping[str, tuple[Runtime, Which]] = {
    "suture, native": ("native", "tvm"),
    "suture, native, ONNX Runtime": ("native", "ort"),
    "suture, Python": ("python", "tvm"),
}
# ResNet50 goes by way of S3 on Lambda, which takes archives beyond 50 MB from there.
TARGET = replace(find_target("lambda-x86_64"), zip_limit_bytes=2**30)
BY_HAND = "Python + onnxruntime"
PLAIN = """
import base64
import os

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
path = os.path.join(os.path.dirname(__file__), "model.onnx")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def handler(event, context):
    entry = event["inputs"][0]
    data = np.frombuffer(base64.b64decode(entry["data"]), np.float32).reshape(entry["shape"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: data})
    return {"outputs": [{"data": answer.ravel().tolist()}]}
"""


@dataclass
class Flavour:
    """An unpacked package and what was measured of it.

    Attributes:
        folder: Its files.
        zip_bytes: Size of the archive.
        handler: What Lambda is told to call.
        samples: Milliseconds and bytes by what they are of, one for each start.
    """

    folder: Path
    zip_bytes: int
    handler: str = HANDLER
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, value: float) -> None:
        """Keep a sample."""
        self.samples.setdefault(what, []).append(value)


@dataclass(frozen=True)
class Subject:
    """A network in every flavour.

    Attributes:
        name: The network.
        event: A request of seeded numbers.
        flavours: The packages by title.
        model_bytes: Size of the ONNX file.
        arena_bytes: Memory of activations of the native package.
        weight_bytes: Its constants.
    """

    name: str
    event: Mapping[str, Any]
    flavours: Mapping[str, Flavour]
    model_bytes: int
    arena_bytes: int
    weight_bytes: int


def build(name: str, face: Path, folder: Path) -> Subject:
    """Build every flavour of a network.

    Args:
        name: As ``benchmarks/networks`` calls it.
        face: Where the file of the face detector lies.
        folder: Where files go.
    """
    folder.mkdir(parents=True)
    path = folder / f"{name}.onnx"
    save_model(catalogue.build(name, face), path)
    flavours, built = {}, None
    for title, (runtime, backend) in KINDS.items():
        done = compile_model(
            path,
            [TARGET],
            folder / f"{runtime}-{backend}",
            bind={},
            inputs=None,
            options=Options(cache=folder / "cache", backend=backend, runtime=runtime),
            records=Records(folder / "records.sqlite"),
            say=lambda line: None,
        )
        built = built or done.built[0]
        flavours[title] = unpacked(done.built[0].written.path, HANDLER)
    flavours[BY_HAND] = unpacked(by_hand(path, folder), "plain.handler")
    assert built is not None
    document = (flavours["suture, native"].folder / "model.json").read_text("utf-8")
    shipped = built.shipped
    return Subject(
        name=name,
        event=random_event(json.loads(document)),
        flavours=flavours,
        model_bytes=path.stat().st_size,
        arena_bytes=shipped.arena_bytes or 0,
        weight_bytes=shipped.weight_bytes,
    )


def by_hand(model: Path, folder: Path) -> Path:
    """Write what ``pip install onnxruntime`` into a package gives, with a usual handler."""
    files: dict[str, Content] = {"plain.py": PLAIN.encode(), "model.onnx": model}
    for name in ("numpy", "onnxruntime", "flatbuffers", "packaging"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for source in (root, root.parent / f"{name}.libs"):
            for path in source.rglob("*") if source.is_dir() else ():
                if path.is_file() and "__pycache__" not in path.parts:
                    files[path.relative_to(root.parent).as_posix()] = path
    write_archive(folder / "plain.zip", files)
    return folder / "plain.zip"


def unpacked(archive: Path, handler: str) -> Flavour:
    """Return a package with its files beside it."""
    folder = archive.with_suffix("")
    extract(archive, folder)
    return Flavour(folder, archive.stat().st_size, handler)
