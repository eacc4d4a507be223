"""Routes, events and bad input of the C runtime."""

import base64
import json
import re

import pytest

from suture.codegen.runtime.python import protocol

MODEL = {
    "name": "net",
    "version": "7",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [2, 3]},
        {"name": "n", "datatype": "INT8", "shape": [-1]},
    ],
    "outputs": [
        {"name": "x", "datatype": "FP32", "shape": [2, 3]},
        {"name": "n", "datatype": "INT8", "shape": [-1]},
    ],
}
X = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2.5, 3, 4, 5, 6]}
N = {"name": "n", "datatype": "INT8", "shape": [2], "data": [-1, 2]}
GOOD = {"inputs": [X, N]}


@pytest.fixture
def ask(serve):
    program = serve(MODEL, "sanitized")

    def ask(document, **how):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return program.ask(body, **how)

    return ask


def check(document):
    assert document["model_name"] == "net"
    assert document["model_version"] == "7"
    assert [entry["data"] for entry in document["outputs"]] == [X["data"], N["data"]]


def http(body, *, method="POST", path="/", encoded=False, **headers):
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path}},
        "body": body,
        "isBase64Encoded": encoded,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "z"}, 'unknown input "z"; the model has x, n'),
        ({"datatype": "FP64"}, 'datatype "FP64".*takes FP32'),
        ({"shape": [3, 2]}, r"shape \[3, 2\].*takes \[2, 3\]"),
        ({"shape": [2, -3]}, "not a list of sizes|no shape"),
        ({"shape": [2, 3.0]}, "no shape"),
        ({"shape": [True, 3]}, "no shape"),
        ({"shape": None}, "no shape"),
        ({"shape": [1] * 17}, "no shape"),
        ({"data": [1, 2, 3]}, "not as many elements"),
        ({"data": [[1, 2, 3], [4, 5]]}, "not as many elements"),
        ({"data": [[1, 2, 3]]}, "not nested"),
        ({"data": [[1, 2, 3], 4]}, "not nested"),
        ({"data": [[1, 2, 3], [[4, 5, 6]]]}, "not nested"),
        ({"data": [1, 2, 3, 4, 5, "6"]}, "no number"),
        ({"data": [1, 2, 3, 4, 5, None]}, "no number"),
        ({"data": [1, 2, 3, 4, 5, True]}, "no number"),
        ({"data": [1, 2, 3, 4, 5, 1e39]}, "range"),
        ({"data": "?"}, "not base64"),
        ({"data": "A=AA"}, "takes 24 bytes"),
        ({"data": None}, 'no list "data"'),
        ({"parameters": {"binary_data_size": 24}}, "24 bytes.*is 24 and 0 are left"),
        ({"parameters": {"binary_data_size": -1}}, "binary_data_size is -1"),
        ({"parameters": 5}, "parameters"),
    ],
)
def test_wrong_input_is_a_bad_request(ask, change, message):
    status, body, *_ = ask({"inputs": [{**X, **change}, N]})
    assert status == 400
    assert re.search(message, json.loads(body)["error"])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "not JSON: at byte 0, it ends too early"),
        (b'{"inputs": [', 400, "not JSON: at byte 12"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"a": NaN}', 400, "not JSON: at byte 6"),
        (b'{"a": 1} {', 400, "follows its end"),
        (b"{}\x00", 400, "follows its end"),
        (b"[" * 100_000, 400, "nested too deep"),
        (b'{"inputs":' * 100_000, 400, "nested too deep"),
        (b'{"a": "\xc0\xaf"}', 400, "UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', 400, "UTF-8"),
        (b'{"a": "\t"}', 400, "control character"),
        (b'{"a": "\\x41"}', 400, "escape"),
        (b'{"a": "\\u12g4"}', 400, "escape"),
        (b'{"a": "', 400, "no end"),
        (b'{"id": 1, "\\u0069d": 2}', 400, "twice"),
        (b'{"a": 01}', 400, "not JSON"),
        (b'{"a": 1.}', 400, "not JSON"),
        (b'{"a": [1,]}', 400, "not JSON"),
        (b"[]", 400, 'no list "inputs"'),
        (b'{"inputs": [3]}', 400, "no name"),
        (b'{"image": 7}', 400, "not base64"),
        (b'{"image": "iVBORw0K"}', 415, "tensors, not images"),
        (b" " * (protocol.MAX_BODY_BYTES + 1), 413, "more than"),
    ],
)
def test_a_body_that_is_no_request(ask, body, status, message):
    found, answer, *_ = ask(body)
    assert (found, re.search(message, json.loads(answer)["error"]) is not None) == (
        status,
        True,
    )


def test_a_broken_document_is_told_even_behind_a_wrong_input(ask):
    status, answer, *_ = ask(b'{"inputs": [{"name": "z"}], ')
    assert status == 400
    assert "not JSON" in json.loads(answer)["error"]


def test_a_huge_shape_is_refused_before_memory_is_taken(ask):
    for sizes in ([2**40], [10**30]):
        status, answer, *_ = ask({"inputs": [{**N, "shape": sizes, "data": []}, X]})
        assert status == 413
        assert "larger than" in json.loads(answer)["error"]


@pytest.mark.parametrize("length", ["3000", "-1", "two", "1e1", "99999999999999999999"])
def test_a_length_that_is_none(ask, length):
    status, answer, *_ = ask(GOOD, length=length)
    assert status == 400
    assert f"inference-header-content-length is {length}" in json.loads(answer)["error"]


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
def test_pages(ask, path, keys):
    status, body, *_ = ask(b"", method="GET", path=path)
    assert status == 200
    page = json.loads(body)
    assert set(page) == keys
    assert page.get("inputs", MODEL["inputs"]) == MODEL["inputs"]


@pytest.mark.parametrize(
    "path", ["/", "/v2/models/net/infer", "/v2/models/net/versions/7/infer"]
)
def test_routes_of_inference(ask, path):
    status, body, *_ = ask(GOOD, path=path)
    assert status == 200
    check(json.loads(body))


@pytest.mark.parametrize(
    ("path", "method", "status", "message"),
    [
        ("/v3", "POST", 404, "no route /v3"),
        ("/v2/models/network/infer", "POST", 404, "no route"),
        ("/v2/models/net/versions/8/infer", "POST", 404, "no route"),
        ("/", "GET", 405, "/ takes POST"),
        ("/" + 'ä"' * 60, "POST", 404, "no route"),
    ],
)
def test_routes_that_are_none(ask, path, method, status, message):
    found, body, *_ = ask(GOOD, path=path, method=method)
    assert found == status
    assert message in json.loads(body)["error"]


def test_an_image_over_http_where_none_is_taken(ask):
    status, body, *_ = ask(b"\x89PNG", content_type="image/png")
    assert status == 415
    assert "tensors, not images" in json.loads(body)["error"]


def test_direct_events(ask):
    status, body, *_ = ask({**GOOD, "id": 5}, kind="event")
    assert status == 200
    check(json.loads(body))
    assert json.loads(body)["id"] == 5
    status, body, *_ = ask({**GOOD, "parameters": {"binary_data_output": True}}, kind="event")
    assert base64.b64decode(json.loads(body)["outputs"][1]["data"]) == b"\xff\x02"
    for event in ([], None, {"requestContext": 3}, {"inputs": 3}):
        status, body, *_ = ask(event, kind="event")
        assert json.loads(body) == {"error": 'the request has no list "inputs"', "status": 400}


@pytest.mark.parametrize("encoded", [False, True])
def test_http_events(ask, encoded):
    text = json.dumps({**GOOD, "id": 'ä"\n'}, ensure_ascii=False)
    body = base64.b64encode(text.encode()).decode() if encoded else text
    status, answer, *_ = ask(http(body, encoded=encoded), kind="event")
    answer = json.loads(answer)
    assert (status, answer["statusCode"]) == (200, 200)
    assert answer["headers"] == {"content-type": "application/json"}
    check(json.loads(answer["body"]))
    assert json.loads(answer["body"])["id"] == 'ä"\n'


def test_binary_tensors_in_http_events(ask):
    entry = {**N, "parameters": {"binary_data_size": 2}}
    del entry["data"]
    document = {"inputs": [entry, X], "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    body = base64.b64encode(head + b"\x7f\x80").decode()
    event = http(body, encoded=True, Inference_Header_Content_Length=str(len(head)))
    answer = json.loads(ask(event, kind="event")[1])
    assert answer["isBase64Encoded"]
    body = base64.b64decode(answer["body"])
    length = int(answer["headers"]["inference-header-content-length"])
    sizes = [e["parameters"]["binary_data_size"] for e in json.loads(body[:length])["outputs"]]
    assert sizes == [24, 2]
    assert body[-2:] == b"\x7f\x80"


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (http('{"inputs": ['), 400, "not JSON"),
        (http(""), 400, "not JSON"),
        (http(None), 400, "not JSON"),
        (http("?", encoded=True), 400, "not base64"),
        (http("AAA", encoded=True), 400, "not base64"),
        (http("", content_type="image/png"), 415, "images"),
        (http("", path="/v3"), 404, "no route"),
        (http("", method="GET"), 405, "takes POST"),
        ({"requestContext": {"http": None}}, 400, "http"),
        ({"requestContext": {"http": {}}, "headers": [1]}, 400, "headers"),
        ({"requestContext": {"http": {}}, "body": {}}, 400, "body"),
    ],
)
def test_refused_events(ask, event, status, message):
    found, body, *_ = ask(event, kind="event")
    answer = json.loads(body)
    assert found == answer["statusCode"] == status
    assert message in json.loads(answer["body"])["error"]


def test_an_event_that_is_no_json(ask):
    status, body, *_ = ask(b'{"requestContext": {"http": {}}', kind="event")
    assert status == 400
    assert "not JSON" in json.loads(body)["error"]


def test_what_telemetry_tells(ask):
    profile = {"bucket": "denoise", "features": {"noise": 0.2}, "propensity": 0.5}
    parameters = {"profile": profile, "correct": True}
    *_, told, correct = ask({**GOOD, "parameters": parameters})
    assert (json.loads(told), json.loads(correct)) == (profile, True)
    assert ask({**GOOD, "parameters": {"profile": 3}})[3:] == (b"", b"")
    assert ask({"inputs": [X], "parameters": parameters})[3:] == (b"", b"")
