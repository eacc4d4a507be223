"""The C runtime's requests and answers against the Python runtime's."""

import base64
import json
import math
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suture.codegen.runtime.python import protocol

MODES = ("optimised", "sanitized")
NUMPY = {
    "BOOL": np.bool_,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    **{
        f"{sign}INT{bits}": np.dtype(f"{sign.lower() or 'i'}{bits // 8}").type
        for sign in ("", "U")
        for bits in (8, 16, 32, 64)
    },
}
SHAPES = ([2, 3], [-1], [2, 2, 2], [], [3, -1], [-1, 0, 2])


def model_of(datatype, other="INT64", shape=(2, 3)):
    ports = [
        {"name": "x", "datatype": datatype, "shape": list(shape)},
        {"name": "größe", "datatype": other, "shape": [-1]},
    ]
    return {"name": "net", "version": "7", "inputs": ports, "outputs": ports}


def reference(model, body, length=None):
    """Return what the Python runtime answers, with an engine that echoes."""
    try:
        document, rest = protocol.parse_body(body, length)
        request = protocol.parse_request(document, rest, model["inputs"], model["outputs"])
    except protocol.ProtocolError as error:
        return error.status, None, b""
    return 200, *protocol.response(request, model, request.tensors, raw=True)


def rounded(document):
    """Replace each output's numbers by those of its datatype, as bytes."""
    for entry in document["outputs"]:
        if "data" in entry:
            values = [math.nan if value is None else value for value in entry["data"]]
            entry["data"] = np.array(values, NUMPY[entry["datatype"]]).tobytes()
    return document


def check(serve, model, body, length=None):
    """Compare one answer with the Python runtime's."""
    status, document, tail = reference(model, body, length)
    document = document and rounded(document)
    for mode in MODES:
        found, answer, behind, *_ = serve(model, mode).ask(body, length=length or "-")
        assert found == status, answer
        if status == 200:
            assert rounded(json.loads(answer)) == document
        else:
            assert set(json.loads(answer)) == {"error"}
        assert behind == tail


def numbers(datatype):
    """Return numbers that are often of a datatype."""
    special = st.sampled_from(
        [
            *(0, 1, -1, 255, 256, 2**31, -(2**63), 2**63, 2**64 - 1, 2**64, 10**19, 10**30),
            *(-0.0, 0.1, 65504.0, 65519.9, 65520.0, 3.4028235e38, 3.4028236e38, 1e-45, 1e308),
            *(1e22, 1e23, 5e-324, 2.2250738585072014e-308, 1.1754943508222875e-38),
            *(True, None, "1"),
        ]
    )
    whole = st.integers(-130, 130) | st.integers(-(2**65), 2**65)
    real = st.floats(allow_nan=False, allow_infinity=False) | st.floats(
        width=32, allow_nan=False, allow_infinity=False
    )
    if datatype == "BOOL":
        return st.booleans()
    return (
        (whole | special)
        if "INT" in datatype
        else (real | st.floats(-10, 10) | whole | special)
    )


def nested(values, shape):
    """Return a flat list as deep as a shape."""
    for size in reversed(shape[1:]):
        if not size:
            return values
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


@st.composite
def entries(draw, spec):
    datatype = spec["datatype"]
    shape = [draw(st.integers(0, 3)) if size == -1 else size for size in spec["shape"]]
    count = math.prod(shape)
    kind = draw(st.sampled_from(["good", "good", "any", "base64", "binary"]))
    entry = {"name": spec["name"], "datatype": datatype, "shape": shape}
    tail = b""
    if kind == "good":
        limit = np.iinfo(NUMPY[datatype]) if "INT" in datatype else None
        one = (
            st.integers(int(limit.min), int(limit.max))
            if limit
            else (
                st.booleans()
                if datatype == "BOOL"
                else st.floats(-6e4, 6e4) | st.integers(-60000, 60000)
            )
        )
    else:
        one = numbers(datatype)
    if kind in ("good", "any"):
        values = draw(
            st.lists(one, min_size=count, max_size=count + draw(st.integers(0, 5)) // 5)
        )
        entry["data"] = nested(values, shape[: draw(st.integers(0, len(shape)))])
    else:
        raw = draw(st.binary(min_size=0, max_size=0)).ljust(
            count * protocol.item_size(datatype), b"\1"
        )
        raw += b"+" * (draw(st.integers(0, 9)) // 9)
        if kind == "base64":
            entry["data"] = base64.b64encode(raw).decode()
        else:
            entry["parameters"] = {"binary_data_size": len(raw)}
            tail = raw
    keys = draw(st.permutations(list(entry)))
    return {key: entry[key] for key in keys}, tail


OTHER = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def requests(draw, model):
    """Return a body, mostly a good one, and the length of its document."""
    pairs = [draw(entries(spec)) for spec in draw(st.permutations(model["inputs"]))]
    document = {"inputs": [entry for entry, _ in pairs]}
    names = [spec["name"] for spec in model["outputs"]]
    wanted = st.fixed_dictionaries(
        {"name": st.sampled_from(names)},
        optional={
            "parameters": st.sampled_from(
                [
                    {},
                    None,
                    {"binary_data": True},
                    {"binary_data": False},
                    {"binary_data": 1},
                    3,
                ]
            )
        },
    )
    extra = {
        "id": OTHER,
        "parameters": st.sampled_from(
            [None, {}, {"binary_data_output": True}, {"a": [{}]}, [], 3]
        ),
        "outputs": st.none() | st.lists(wanted, max_size=3),
        "other": OTHER,
    }
    for key in draw(st.sets(st.sampled_from(sorted(extra)))):
        document[key] = draw(extra[key])
    keys = draw(st.permutations(list(document)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")]))
    text = json.dumps(
        {key: document[key] for key in keys},
        ensure_ascii=draw(st.booleans()),
        separators=separators,
    )
    try:
        head = text.encode()
    except UnicodeEncodeError:
        head = json.dumps(document).encode()
    tail = b"".join(raw for _, raw in pairs)
    return head + tail, str(len(head)) if tail or draw(st.booleans()) else None


PIECES = [
    *(b"", b",", b":", b"[", b"]", b"{", b"}", b'"', b"\\", b"0", b"-", b".", b"e", b"NaN"),
    *(
        b"null",
        b"true",
        b" ",
        b"\n",
        b"\0",
        b"\x1f",
        b"\x7f",
        b"\xc3\xa9",
        b"\xff",
        b"\\u0041",
    ),
]
MANY = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("datatype", protocol.CODES)
@given(data=st.data())
@MANY
def test_requests_are_read_as_in_python(serve, datatype, data):
    shape = SHAPES[list(protocol.CODES).index(datatype) % len(SHAPES)]
    model = model_of(datatype, shape=shape)
    check(serve, model, *data.draw(requests(model)))


@pytest.mark.parametrize("datatype", ["FP32", "BOOL"])
@given(data=st.data())
@MANY
def test_spoilt_requests_are_refused_or_read_as_in_python(serve, datatype, data):
    model = model_of(datatype)
    body, length = data.draw(requests(model))
    body = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(st.sampled_from(PIECES))
        body[at : at + data.draw(st.integers(0, 2))] = piece
    check(serve, model, bytes(body), length)


@pytest.mark.parametrize("mode", MODES)
def test_numbers_are_those_of_the_c_library(build, mode):
    numbers = Path(str(files("suture.codegen.runtime") / "native" / "numbers.c"))
    program = build(mode, numbers, Path(__file__).with_name("numbers_test.c"))
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
