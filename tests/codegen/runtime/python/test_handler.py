"""The handler over a real compiled model, called as Lambda calls it."""

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from PIL import Image

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.runtime.python import protocol
from suture.codegen.runtime.python.handler import Function
from suture.compiler.component import Port

MODEL = """
<ir_version: 8, opset_import: ["": 17]>
net (uint8[4, 6] image) => (float[4, 6] bright, bool[4, 6] lit)
<float half = {0.5}, float limit = {100}>
{
    number = Cast<to = 1>(image)
    bright = Mul(number, half)
    lit = Greater(number, limit)
}
"""
ENTRY = Port(name="image", kind="image/gray", dtype="uint8", shape=(4, 6), layout="HW")


@pytest.fixture(scope="module", params=["tvm", "ort"])
def folder(request, tvm_backend, pack, target, tmp_path_factory):
    """The files of a package, written out."""
    root = tmp_path_factory.mktemp(request.param)
    model = ir.from_proto(onnx.parser.parse_model(MODEL))
    backend = tvm_backend if request.param == "tvm" else OrtBackend()
    compiled = backend.compile(model.clone(), target, root / "build")
    package = pack(compiled, model, plan=("one", "d" * 64), entry=ENTRY)
    for name, content in package.files.items():
        place = root / "package" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            place.write_bytes(content)
        else:
            shutil.copyfile(content, place)
    return root / "package"


@pytest.fixture
def lines():
    return []


@pytest.fixture
def function(folder, lines):
    return Function(str(folder), emit=lambda line: lines.append(json.loads(line)))


CONTEXT = SimpleNamespace(aws_request_id="r-1")
PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def request(**change):
    entry = {"name": "image", "datatype": "UINT8", "shape": [4, 6], "data": PIXELS.tolist()}
    return {"inputs": [{**entry, **change}]}


def http(body, *, method="POST", path="/", encoded=False, **headers):
    if isinstance(body, bytes):
        body, encoded = base64.b64encode(body).decode(), True
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path}},
        "body": body,
        "isBase64Encoded": encoded,
    }


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def numbers(answer):
    return {entry["name"]: entry["data"] for entry in answer["outputs"]}


def check(answer):
    found = numbers(answer)
    np.testing.assert_array_equal(found["bright"], PIXELS.ravel() * 0.5)
    np.testing.assert_array_equal(found["lit"], PIXELS.ravel() > 100)


def test_direct_invoke(function):
    check(function(request(), CONTEXT))


def test_function_url_event(function):
    answer = function(http(json.dumps(request())), CONTEXT)
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    check(json.loads(answer["body"]))


def test_function_url_event_with_base64_body(function):
    answer = function(http(json.dumps(request()).encode()), CONTEXT)
    check(json.loads(answer["body"]))


def test_image_bytes_over_http(function):
    answer = function(http(png(PIXELS), content_type="image/png"), CONTEXT)
    check(json.loads(answer["body"]))


def test_image_in_a_direct_invoke(function):
    check(function({"image": base64.b64encode(png(PIXELS)).decode()}, CONTEXT))


def test_binary_tensors_both_ways(function):
    document = request(parameters={"binary_data_size": 24})
    del document["inputs"][0]["data"]
    document["parameters"] = {"binary_data_output": True}
    head = json.dumps(document).encode()
    event = http(head + PIXELS.tobytes(), Inference_Header_Content_Length=str(len(head)))
    answer = function(event, CONTEXT)
    assert answer["isBase64Encoded"]
    body = base64.b64decode(answer["body"])
    length = int(answer["headers"]["inference-header-content-length"])
    sizes = [
        entry["parameters"]["binary_data_size"]
        for entry in json.loads(body[:length])["outputs"]
    ]
    assert sizes == [96, 24]
    bright = np.frombuffer(body[length : length + 96], "<f4")
    np.testing.assert_array_equal(bright, PIXELS.ravel() * 0.5)


def test_only_the_wanted_outputs(function):
    answer = function({**request(), "outputs": [{"name": "lit"}]}, CONTEXT)
    assert list(numbers(answer)) == ["lit"]


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/v2", {"name", "extensions"}),
        ("/v2/health/live", {"ready"}),
        ("/v2/health/ready", {"ready"}),
        ("/v2/models/net", {"name", "inputs", "outputs", "versions", "platform"}),
        ("/v2/models/net/ready", {"ready"}),
    ],
)
def test_pages(function, path, keys):
    answer = function(http("", method="GET", path=path), CONTEXT)
    assert answer["statusCode"] == 200
    assert set(json.loads(answer["body"])) == keys


@pytest.mark.parametrize(
    "path", ["/", "/v2/models/net/infer", "/v2/models/net/versions/7/infer"]
)
def test_routes_of_inference(function, path):
    check(json.loads(function(http(json.dumps(request()), path=path), CONTEXT)["body"]))


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (http('{"inputs": ['), 400, "not JSON"),
        (http(""), 400, "not JSON"),
        (http("?", encoded=True), 400, "not base64"),
        (http(json.dumps(request(datatype="FP32"))), 400, "takes UINT8"),
        (http(json.dumps(request(shape=[6, 4]))), 400, r"takes \[4, 6\]"),
        (http(b"\x89PNG\r\n", content_type="image/png"), 400, "not a readable image"),
        (http(png(PIXELS)[:40], content_type="image/png"), 400, "not a readable image"),
        (http(png(PIXELS.T), content_type="image/png"), 400, "shape"),
        (http("", path="/v3"), 404, "no route"),
        (http("", method="GET"), 405, "takes POST"),
        ({"image": "?"}, 400, "not base64"),
        ({"image": 7}, 400, "not base64"),
        ([], 400, "no list"),
        (None, 400, "no list"),
        ({"requestContext": {"http": None}}, 400, "http"),
        ({"requestContext": {"http": {}}, "headers": [1]}, 400, "headers"),
        ({"requestContext": {"http": {}}, "body": {}}, 400, "body"),
    ],
)
def test_refusals(function, lines, event, status, message):
    answer = function(event, CONTEXT)
    if isinstance(event, dict) and "requestContext" in event:
        assert answer["statusCode"] == status
        document = json.loads(answer["body"])
        assert set(document) == {"error"}
    else:
        assert answer["status"] == status
        document = answer
    assert re.search(message, document["error"])
    assert lines[-1]["status"] == status


def test_a_refused_request_does_not_spoil_the_next(function):
    function(http("{"), CONTEXT)
    check(function(request(), CONTEXT))


def test_telemetry(function, lines):
    parameters = {
        "profile": {"bucket": "denoise", "features": {"noise": 0.2}, "propensity": 0.5},
        "correct": True,
    }
    function({**request(), "parameters": parameters}, CONTEXT)
    function(request(), CONTEXT)
    first, second = lines
    assert (first["cold"], second["cold"]) == (True, False)
    assert first["request_id"] == "r-1"
    assert (first["plan"], first["plan_digest"]) == ("one", "d" * 64)
    assert (first["bucket"], first["propensity"], first["correct"]) == ("denoise", 0.5, True)
    assert first["features"] == {"noise": 0.2}
    assert first["total_us"] >= first["run_us"] > 0
    assert first["peak_rss_bytes"] > 2**20
    directive = first["_aws"]["CloudWatchMetrics"][0]
    named = {metric["Name"] for metric in directive["Metrics"]}
    assert named <= set(first)
    assert all(dimension in first for dimension in directive["Dimensions"][0])


def test_a_model_of_tensors_takes_no_image(folder, tmp_path):
    document = json.loads((folder / "model.json").read_text())
    shutil.copytree(folder, tmp_path / "package")
    (tmp_path / "package" / "model.json").write_text(json.dumps({**document, "image": None}))
    function = Function(str(tmp_path / "package"), emit=lambda line: None)
    answer = function(http(png(PIXELS), content_type="image/png"), CONTEXT)
    assert answer["statusCode"] == 415


def test_runtime_is_standard_library_only():
    assert protocol.__package__ == "suture.codegen.runtime.python"
    source = protocol.__spec__.loader.get_source(protocol.__name__)
    assert "numpy" not in source
