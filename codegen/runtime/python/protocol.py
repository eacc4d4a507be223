"""Open Inference Protocol v2: requests to tensors, tensors to responses.

Source: the protocol's REST specification and its binary tensor data extension
(github.com/kserve/open-inference-protocol). One addition, for callers that cannot send raw
bytes: ``data`` may be a string, the base64 of the tensor's bytes, little-endian.
"""

import array
import base64
import binascii
import json
import math
import struct

MAX_BODY_BYTES = 64 * 2**20
MAX_RANK = 16
MAX_FP32 = 3.4028235677973366e38  # half a step above the greatest float32

CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""The protocol's datatypes and struct's code of each."""


class ProtocolError(Exception):
    """A request that is not one; ``status`` is the HTTP status to answer with."""

    def __init__(self, message, status=400):
        super().__init__(message)
        self.status = status


class Tensor:
    """Numbers: a shape and their bytes, little-endian."""

    def __init__(self, datatype, shape, data):
        self.datatype = datatype
        self.shape = shape
        self.data = data


class Request:
    """A decoded request: tensors by name, and how the answer is wanted."""

    def __init__(self, tensors, *, id=None, parameters=None, outputs=None, binary=frozenset()):
        self.tensors = tensors
        self.id = id
        self.parameters = parameters or {}
        self.outputs = outputs
        self.binary = binary


def item_size(datatype):
    """Return the bytes of one element."""
    return struct.calcsize(CODES[datatype])


def parse_body(body, header_length=None):
    """Split a body into its JSON document and the binary tensors behind it."""
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(f"the body has more than {MAX_BODY_BYTES} bytes", 413)
    end = len(body)
    if header_length is not None:
        if not header_length.isdigit() or int(header_length) > len(body):
            raise ProtocolError(
                f"inference-header-content-length is {header_length!r} and the body has "
                f"{len(body)} bytes"
            )
        end = int(header_length)
    try:
        document = json.loads(body[:end], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the body is not JSON: {error}") from error
    return document, body[end:]


def parse_request(document, rest, inputs, outputs):
    """Return the request a document describes.

    Args:
        document: The JSON document.
        rest: Bytes behind it, of inputs that name a ``binary_data_size``.
        inputs: The model's inputs, as in model.json.
        outputs: Its outputs.
    """
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise ProtocolError('the request has no list "inputs"')
    parameters = _parameters(document, "the request")
    known = {spec["name"]: spec for spec in inputs}
    tensors, used = {}, 0
    for entry in document["inputs"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ProtocolError('an entry of "inputs" has no name')
        name = entry["name"]
        if name not in known:
            raise ProtocolError(f"unknown input {name!r}; the model has {', '.join(known)}")
        if name in tensors:
            raise ProtocolError(f"input {name!r} is there twice")
        tensors[name], taken = _tensor(entry, known[name], rest[used:])
        used += taken
    if used != len(rest):
        raise ProtocolError(f"{len(rest) - used} bytes behind the JSON belong to no input")
    missing = [name for name in known if name not in tensors]
    if missing:
        raise ProtocolError(f"input {missing[0]!r} is missing")
    wanted, binary = _wanted(document, parameters, [spec["name"] for spec in outputs])
    return Request(
        tensors, id=document.get("id"), parameters=parameters, outputs=wanted, binary=binary
    )


def check_shape(name, shape, spec):
    """Raise where a shape is none, or not one the model takes."""
    fixed = spec["shape"]
    if not isinstance(shape, list) or len(shape) > MAX_RANK:
        raise ProtocolError(f"input {name!r} has no shape")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ProtocolError(f"input {name!r}: shape {shape} is not a list of sizes")
    if len(shape) != len(fixed) or any(
        want not in (-1, size) for want, size in zip(fixed, shape, strict=True)
    ):
        raise ProtocolError(f"input {name!r} has shape {shape}, this model takes {fixed}")
    if math.prod(shape) * item_size(spec["datatype"]) > MAX_BODY_BYTES:
        raise ProtocolError(f"input {name!r} is larger than {MAX_BODY_BYTES} bytes", 413)


def program_of(tensors, model):
    """Return the number of the program that takes exactly the shapes of a request."""
    programs = model.get("programs")
    if not programs:
        return 0
    names = [spec["name"] for spec in model["inputs"]]
    given = [list(tensors[name].shape) for name in names]
    for number, program in enumerate(programs):
        if program["inputs"] == given:
            return number

    def told(shapes):
        return ", ".join(f"{name} {shape}" for name, shape in zip(names, shapes, strict=True))

    taken = "; ".join(told(program["inputs"]) for program in programs)
    raise ProtocolError(f"there is no program for {told(given)}; this model takes {taken}")


def _tensor(entry, spec, rest):
    """Return one input and how many bytes of ``rest`` it took."""
    name, datatype, shape = entry["name"], spec["datatype"], entry.get("shape")
    if entry.get("datatype") != datatype:
        raise ProtocolError(
            f"input {name!r} has datatype {entry.get('datatype')!r}, "
            f"this model takes {datatype}"
        )
    check_shape(name, shape, spec)
    size = math.prod(shape) * item_size(datatype)
    parameters = _parameters(entry, f"input {name!r}")
    if "binary_data_size" in parameters:
        given = parameters["binary_data_size"]
        if given != size or len(rest) < size:
            raise ProtocolError(
                f"input {name!r} takes {size} bytes; binary_data_size is {given} and "
                f"{len(rest)} are left in the body"
            )
        return Tensor(datatype, shape, rest[:size]), size
    data = entry.get("data")
    if isinstance(data, str):
        return Tensor(datatype, shape, _from_base64(name, data, size)), 0
    if not isinstance(data, list):
        raise ProtocolError(f'input {name!r} has no list "data"')
    flat = _flatten(name, data, shape)
    return Tensor(datatype, shape, _pack(name, flat, datatype)), 0


def _from_base64(name, text, size):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"input {name!r} is not base64: {error}") from error
    if len(data) != size:
        raise ProtocolError(f"input {name!r} takes {size} bytes, its base64 holds {len(data)}")
    return data


def _flatten(name, data, shape):
    """Return the numbers of a list, flat or nested as the shape is."""
    rows = 1
    for size in shape[:-1]:
        if not data or not isinstance(data[0], list):
            break
        rows *= size
        if len(data) != rows or any(type(row) is not list for row in data):
            raise ProtocolError(f"input {name!r}: data is not nested as shape {shape} says")
        if any(len(row) != len(data[0]) for row in data):
            raise ProtocolError(f"input {name!r}: rows of data differ in length")
        data = [item for row in data for item in row]
    count = math.prod(shape)
    if len(data) != count:
        raise ProtocolError(
            f"input {name!r} has {len(data)} elements, its shape asks for {count}"
        )
    return data


def _pack(name, values, datatype):
    """Return numbers as bytes, each of the type the datatype asks for."""
    allowed = {"BOOL": {bool}}.get(datatype, {int, float} if datatype[0] == "F" else {int})
    wrong = set(map(type, values)) - allowed
    if wrong:
        raise ProtocolError(
            f"input {name!r}: {wrong.pop().__name__} among the data is not {datatype}"
        )
    code = CODES[datatype]
    try:
        if datatype[0] == "F" and not all(map(math.isfinite, values)):
            raise ProtocolError(f"input {name!r}: the data holds a number that is not finite")
        if datatype == "FP32" and any(abs(value) >= MAX_FP32 for value in values):
            raise ProtocolError(f"input {name!r}: a number is out of range of FP32")
        if code in "?e":
            return struct.pack(f"<{len(values)}{code}", *values)
        return array.array(code, values).tobytes()
    except (OverflowError, struct.error) as error:
        raise ProtocolError(f"input {name!r}: a number is out of range: {error}") from error


def _parameters(entry, owner):
    parameters = entry.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise ProtocolError(f'"parameters" of {owner} is not an object')
    return parameters or {}


def _wanted(document, parameters, names):
    """Return the outputs to answer with, and those to answer as bytes."""
    entries = document.get("outputs")
    binary = set(names) if parameters.get("binary_data_output") is True else set()
    if entries is None:
        return names, binary
    if not isinstance(entries, list):
        raise ProtocolError('"outputs" is not a list')
    wanted = []
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if name not in names:
            raise ProtocolError(f"unknown output {name!r}; the model has {', '.join(names)}")
        if name in wanted:
            raise ProtocolError(f"output {name!r} is there twice")
        wanted.append(name)
        choice = _parameters(entry, f"output {name!r}").get("binary_data")
        if choice is True:
            binary.add(name)
        elif choice is False:
            binary.discard(name)
    return wanted, binary


def response(request, model, tensors, *, raw):
    """Return a response's JSON document and the bytes to put behind it.

    Args:
        request: What was asked.
        model: model.json.
        tensors: Every output by name.
        raw: Whether binary outputs go behind the document; otherwise they go into it, base64.
    """
    entries, tail = [], []
    for name in request.outputs:
        tensor = tensors[name]
        entry = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if name not in request.binary:
            entry["data"] = unpack(tensor)
        elif raw:
            entry["parameters"] = {"binary_data_size": len(tensor.data)}
            tail.append(tensor.data)
        else:
            entry["data"] = base64.b64encode(tensor.data).decode()
        entries.append(entry)
    document = {
        "model_name": model["name"],
        "model_version": model["version"],
        "outputs": entries,
    }
    if request.id is not None:
        document["id"] = request.id
    return document, b"".join(tail)


def unpack(tensor):
    """Return a tensor's numbers as a flat list; what is not finite, JSON has only null for."""
    code = CODES[tensor.datatype]
    if code in "?e":
        count = len(tensor.data) // item_size(tensor.datatype)
        values = list(struct.unpack(f"<{count}{code}", tensor.data))
    else:
        values = array.array(code, bytes(tensor.data)).tolist()
    if tensor.datatype[0] == "F" and not all(map(math.isfinite, values)):
        return [value if math.isfinite(value) else None for value in values]
    return values


def _no_constant(text):
    raise ValueError(f"{text} is not JSON")
