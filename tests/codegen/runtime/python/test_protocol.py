import base64
import json
import math
import struct

import numpy as np
import pytest

from suture.codegen.runtime.python.protocol import (
    CODES,
    MAX_BODY_BYTES,
    ProtocolError,
    Request,
    Tensor,
    item_size,
    parse_body,
    parse_request,
    response,
    unpack,
)

X = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2.5, 3, 4, 5, 6]}
N = {"name": "n", "datatype": "INT64", "shape": [2], "data": [-1, 2**40]}


def parse(model, *inputs, rest=b"", **more):
    document = {"inputs": list(inputs), **more}
    return parse_request(document, rest, model["inputs"], model["outputs"])


def test_numbers_become_bytes(model):
    request = parse(model, X, N)
    assert request.tensors["x"].data == np.array([1, 2.5, 3, 4, 5, 6], "<f4").tobytes()
    assert request.tensors["n"].data == np.array([-1, 2**40], "<i8").tobytes()
    assert request.outputs == ["y", "flag"]


def test_nested_data_is_flattened(model):
    nested = parse(model, {**X, "data": [[1, 2.5, 3], [4, 5, 6]]}, N)
    assert nested.tensors["x"].data == parse(model, X, N).tensors["x"].data


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_data_is_nested_as_deep_as_its_shape_or_less(depth, spec):
    numbers = np.arange(24).reshape(2, 3, 4).reshape([*(2, 3)[: depth - 1], -1])
    entry = {"name": "v", "datatype": "INT8", "shape": [2, 3, 4], "data": numbers.tolist()}
    request = parse_request({"inputs": [entry]}, b"", [spec("v", "INT8", [2, 3, 4])], [])
    assert request.tensors["v"].data == bytes(range(24))


def test_base64_and_binary_tensors_are_the_same_bytes(model):
    raw = parse(model, X, N).tensors["x"].data
    as_text = parse(model, {**X, "data": base64.b64encode(raw).decode()}, N)
    assert as_text.tensors["x"].data == raw
    entry = {**X, "parameters": {"binary_data_size": 24}}
    del entry["data"]
    assert parse(model, entry, N, rest=raw).tensors["x"].data == raw


@pytest.mark.parametrize(("datatype", "code"), CODES.items())
def test_every_datatype_round_trips(datatype, code, spec):
    values = [True, False] if code == "?" else [0, 1, 100]
    entry = {"name": "v", "datatype": datatype, "shape": [len(values)], "data": values}
    ports = [spec("v", datatype, [-1])]
    tensor = parse_request({"inputs": [entry]}, b"", ports, []).tensors["v"]
    assert len(tensor.data) == len(values) * item_size(datatype)
    assert unpack(tensor) == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "z"}, "unknown input 'z'"),
        ({"datatype": "FP64"}, "datatype 'FP64'.*takes FP32"),
        ({"shape": [3, 2]}, r"shape \[3, 2\].*takes \[2, 3\]"),
        ({"shape": [2, -3]}, "not a list of sizes"),
        ({"shape": [2, 3.0]}, "not a list of sizes"),
        ({"shape": [True, 3]}, "not a list of sizes"),
        ({"shape": None}, "no shape"),
        ({"data": [1, 2, 3]}, "3 elements.*asks for 6"),
        ({"data": [[1, 2, 3], [4, 5]]}, "differ in length"),
        ({"data": [[1, 2, 3]]}, "not nested"),
        ({"data": [[1, 2, 3], 4]}, "not nested"),
        ({"data": [1, 2, 3, 4, 5, "6"]}, "str among the data"),
        ({"data": [1, 2, 3, 4, 5, None]}, "NoneType among the data"),
        ({"data": [1, 2, 3, 4, 5, True]}, "bool among the data"),
        ({"data": [1, 2, 3, 4, 5, math.inf]}, "not finite"),
        ({"data": [1, 2, 3, 4, 5, 1e39]}, "finite|range"),
        ({"data": "?"}, "base64"),
        ({"data": "AAAA"}, "takes 24 bytes"),
        ({"data": None}, 'no list "data"'),
        ({"parameters": {"binary_data_size": 24}}, "24.*0 are left"),
        ({"parameters": {"binary_data_size": -1}}, "binary_data_size is -1"),
        ({"parameters": []}, "parameters"),
        ({"data": [1, 2, 3, 4, 5, 10**400]}, "out of range"),
        ({"data": [1, 2, 3, 4, 5, 2.0**128 - 2.0**103]}, "out of range"),
    ],
)
def test_wrong_input_is_a_bad_request(model, change, message):
    with pytest.raises(ProtocolError, match=message) as caught:
        parse(model, {**X, **change}, N)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], 'no list "inputs"'),
        ({}, 'no list "inputs"'),
        ({"inputs": {}}, 'no list "inputs"'),
        ({"inputs": [3]}, "has no name"),
        ({"inputs": [X]}, "'n' is missing"),
        ({"inputs": [X, X, N]}, "'x' is there twice"),
        ({"inputs": [X, N], "parameters": [1]}, '"parameters" of the request is not'),
        ({"inputs": [X, N], "outputs": {}}, '"outputs" is not a list'),
        ({"inputs": [X, N], "outputs": [{"name": "w"}]}, "unknown output 'w'"),
        ({"inputs": [X, N], "outputs": [{"name": "y", "parameters": 3}]}, "parameters"),
        ({"inputs": [X, N], "outputs": [{"name": "y"}, {"name": "y"}]}, "'y' is there twice"),
    ],
)
def test_wrong_document_is_a_bad_request(model, document, message):
    with pytest.raises(ProtocolError, match=message):
        parse_request(document, b"", model["inputs"], model["outputs"])


def test_bytes_that_belong_to_nothing(model):
    with pytest.raises(ProtocolError, match="5 bytes behind the JSON"):
        parse(model, X, N, rest=b"spare")


def test_integers_out_of_range(spec):
    entry = {"name": "v", "datatype": "INT8", "shape": [1], "data": [200]}
    with pytest.raises(ProtocolError, match="out of range"):
        parse_request({"inputs": [entry]}, b"", [spec("v", "INT8", [1])], [])


def test_a_huge_shape_is_refused_before_memory_is_taken(spec):
    entry = {"name": "v", "datatype": "INT8", "shape": [2**40], "data": []}
    with pytest.raises(ProtocolError, match="larger than") as caught:
        parse_request({"inputs": [entry]}, b"", [spec("v", "INT8", [-1])], [])
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("body", "length", "message"),
    [
        (b'{"inputs": [', None, "not JSON"),
        (b"\xff\xfe", None, "not JSON"),
        (b'{"a": NaN}', None, "NaN is not JSON"),
        (b"[" * 100_000, None, "not JSON"),
        (b"{}", "3", "content-length"),
        (b"{}", "-1", "content-length"),
        (b"{}", "two", "content-length"),
    ],
)
def test_a_body_that_is_no_document(body, length, message):
    with pytest.raises(ProtocolError, match=message):
        parse_body(body, length)


def test_a_body_over_the_limit():
    with pytest.raises(ProtocolError, match="more than") as caught:
        parse_body(b" " * (MAX_BODY_BYTES + 1))
    assert caught.value.status == 413


def test_body_splits_where_the_header_says():
    document, rest = parse_body(b'{"a": 1}\x00\x01', "8")
    assert (document, rest) == ({"a": 1}, b"\x00\x01")


def test_response_holds_numbers_or_bytes(model):
    y = Tensor("FP32", [1, 2], struct.pack("<2f", 1.5, math.nan))
    flag = Tensor("BOOL", [2], b"\x01\x00")
    tensors = {"y": y, "flag": flag}
    plain = Request({}, id="42", outputs=["y", "flag"])
    document, tail = response(plain, model, tensors, raw=True)
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "model_name": "net",
        "model_version": "7",
        "id": "42",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.5, None]},
            {"name": "flag", "datatype": "BOOL", "shape": [2], "data": [True, False]},
        ],
    }
    assert tail == b""
    asked = Request({}, outputs=["y", "flag"], binary={"y"})
    document, tail = response(asked, model, tensors, raw=True)
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert tail == y.data
    document, tail = response(asked, model, tensors, raw=False)
    assert base64.b64decode(document["outputs"][0]["data"]) == y.data


def test_binary_outputs_are_asked_for_one_by_one_or_all(model):
    every = parse(model, X, N, parameters={"binary_data_output": True})
    assert every.binary == {"y", "flag"}
    entry = {"name": "flag", "parameters": {"binary_data": True}}
    one = parse(model, X, N, outputs=[entry])
    assert (one.outputs, one.binary) == (["flag"], {"flag"})
