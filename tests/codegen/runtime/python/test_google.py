"""A package for Google Cloud Functions, served by Google's own framework in a process."""

import http.client
import io
import json
import socket
import subprocess
import sys
import time

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from PIL import Image

from suture.codegen.archive import extract
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.package import write_package
from suture.compiler.component import Port
from suture.compiler.target import find_target

MODEL = """
<ir_version: 8, opset_import: ["": 17]>
net (uint8[4, 6] image) => (float[4, 6] bright)
<float half = {0.5}>
{
    number = Cast<to = 1>(image)
    bright = Mul(number, half)
}
"""
ENTRY = Port(name="image", kind="image/gray", dtype="uint8", shape=(4, 6), layout="HW")
PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
WAIT_S = 60


@pytest.fixture(scope="module", params=["tvm", "ort"])
def folder(request, tvm_backend, pack, tmp_path_factory):
    """A package, unpacked."""
    root, target = tmp_path_factory.mktemp(request.param), find_target("gcf-x86_64")
    model = ir.from_proto(onnx.parser.parse_model(MODEL))
    backend = tvm_backend if request.param == "tvm" else OrtBackend()
    compiled = backend.compile(model.clone(), target, root / "build")
    package = pack(compiled, model, target=target, entry=ENTRY)
    extract(write_package(package, root).path, root / "package")
    return root / "package"


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    """The address of the framework, and what it prints."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "out"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "functions_framework", "--target", "answer"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + WAIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
        yield port, log
    finally:
        process.terminate()
        process.wait()


def call(server, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=WAIT_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def document(**more):
    entry = {"name": "image", "datatype": "UINT8", "shape": [4, 6], "data": PIXELS.tolist()}
    return json.dumps({"inputs": [entry], **more}).encode()


def test_numbers(server):
    response, content = call(
        server, "POST", "/v2/models/net/infer", document(), function_execution_id="e-1"
    )
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    (output,) = json.loads(content)["outputs"]
    assert output["data"] == (PIXELS / 2).ravel().tolist()
    lines = [line for line in server[1].read_text().splitlines() if line.startswith("{")]
    assert json.loads(lines[-1])["request_id"] == "e-1"


def test_binary_tensors(server):
    entry = {"name": "image", "datatype": "UINT8", "shape": [4, 6]}
    head = json.dumps(
        {
            "inputs": [{**entry, "parameters": {"binary_data_size": 24}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    response, content = call(
        server,
        "POST",
        "/v2/models/net/infer",
        head + PIXELS.tobytes(),
        inference_header_content_length=str(len(head)),
    )
    assert response.status == 200
    assert response.headers["content-type"] == "application/octet-stream"
    end = int(response.headers["inference-header-content-length"])
    (output,) = json.loads(content[:end])["outputs"]
    assert output["parameters"]["binary_data_size"] == 96
    assert np.array_equal(
        np.frombuffer(content[end:], np.float32).reshape(4, 6), PIXELS.astype(np.float32) / 2
    )


def test_an_image(server):
    image = io.BytesIO()
    Image.fromarray(PIXELS).save(image, "PNG")
    response, content = call(server, "POST", "/", image.getvalue(), content_type="image/png")
    assert response.status == 200
    assert json.loads(content)["outputs"][0]["data"] == (PIXELS / 2).ravel().tolist()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v2/health/ready", b"", 200),
        ("GET", "/v2/models/net", b"", 200),
        ("GET", "/v2/models/net/infer", b"", 405),
        ("GET", "/nowhere", b"", 404),
        ("POST", "/", b"{", 400),
        ("POST", "/", document().replace(b"UINT8", b"FP32"), 400),
    ],
)
def test_status(server, method, path, body, status):
    response, content = call(server, method, path, body)
    assert response.status == status
    assert ("error" in json.loads(content)) == (status != 200)
