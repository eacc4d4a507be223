from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from suture.compiler.library import describe
from suture.compiler.manifest import write_manifest

NET = "net (float[N,4] x) => (float[N,3] y) <float[4,3] w> { [fc] y = MatMul(x, w) }"


@pytest.fixture(scope="session")
def proto():
    """A model from onnx's textual syntax; weights declared without numbers get seeded ones."""

    def proto(text, opset=18):
        model = onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["": {opset}]> {text}'
        )
        made = {name for node in model.graph.node for name in node.output}
        rng = np.random.default_rng(5)
        for info in [info for info in model.graph.value_info if info.name not in made]:
            shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
            weight = np.asarray(rng.standard_normal(shape), np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight, info.name))
            model.graph.value_info.remove(info)
        return model

    return proto


@pytest.fixture(scope="session")
def parse(proto):
    def parse(text, opset=18):
        return ir.from_proto(proto(text, opset))

    return parse


@pytest.fixture
def write(proto, tmp_path):
    """A file that holds a model."""

    def write(text, path="model.onnx", opset=18):
        return save(proto(text, opset), tmp_path / path)

    return write


@pytest.fixture
def write_external(proto, tmp_path):
    """A file whose one weight lies in another file, ``location``."""

    def write_external(location="w.bin", path="model.onnx"):
        model = proto("g (float[2] x) => (float[2] y) { y = Add(x, w) }")
        weight = onnx.TensorProto(name="w", dims=[2], data_type=1, data_location=1)
        for key, value in {"location": str(location), "offset": "0", "length": "8"}.items():
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
        model.graph.initializer.append(weight)
        return save(model, tmp_path / path)

    return write_external


@pytest.fixture
def external(write_external):
    """The same, with the other file in its place."""

    def external(location="w.bin", path="model.onnx"):
        made = write_external(location, path)
        data = made.parent / location
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_bytes(np.array([1, 2], np.float32).tobytes())
        return made

    return external


@pytest.fixture
def leaving(external, tmp_path):
    """A component in the folder ``leaving`` whose weight lies outside of it."""
    good = describe(external(path="good/model.onnx"), name="leave")
    path = external("../../../secret.bin", "leaving/leave/1.0.0/model.onnx")
    made = replace(good, path=path)
    (path.parent / "component.toml").write_text(write_manifest(made), "utf-8")
    return made


@pytest.fixture
def component(write):
    """A described component: a matrix product unless another model is given."""

    def component(name="net", version="1.0.0", text=NET, **declared):
        path = write(text, f"{name}-{version}.onnx")
        return describe(path, name=name, version=version, **declared)

    return component


@pytest.fixture
def install(tmp_path, monkeypatch):
    """An installed distribution: its metadata and its module, on the import path."""

    def install(name, group, entries, source=""):
        site = tmp_path / f"site-{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        (site / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(site)

    return install


def save(model, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
