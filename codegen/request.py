"""Events for a package: from a file, or seeded numbers that fit its ports."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suture.codegen.document import DATATYPES
from suture.compiler.profile.analyze import analyze
from suture.compiler.profile.base import RequestProfile
from suture.compiler.profile.decode import decode
from suture.errors import Location, RequestError

DTYPES = {name: dtype for dtype, name in DATATYPES.items()}


def file_event(path: Path, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event that carries a file to a package.

    A ``.json`` file is the event itself; ``.npy`` is a package's only input; what else the
    first input's kind can be decoded from is sent as it is where the package decodes images,
    with the request's profile for its telemetry.

    Raises:
        RequestError: The file cannot be read, or does not fit the package.
    """
    if path.suffix == ".json":
        return _read_json(path)
    spec = model["inputs"][0]
    if len(model["inputs"]) != 1:
        raise RequestError(
            f"the package has {len(model['inputs'])} inputs, a file carries one",
            at=Location(str(path)),
            hint="give a .json file with the whole request",
        )
    data = decode(path, spec["kind"])
    if model["image"] and path.suffix != ".npy":
        event: dict[str, Any] = {"image": base64.b64encode(path.read_bytes()).decode()}
    else:
        event = {"inputs": [tensor(spec, data, Location(str(path)))]}
    if spec["kind"].partition("/")[0] in ("image", "text"):
        event["parameters"] = {"profile": profile_parameter(analyze(data, spec["kind"]))}
    return event


def random_event(model: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Return a request of seeded numbers, of shapes that the package was seen to run with."""
    rng = np.random.default_rng(seed)
    entries = []
    for spec in model["inputs"]:
        dtype = np.dtype(DTYPES[spec["datatype"]])
        shape = spec["example"]
        if dtype == np.bool_:
            data = rng.integers(0, 2, shape).astype(dtype)
        elif np.issubdtype(dtype, np.integer):
            data = rng.integers(0, min(127, np.iinfo(dtype).max), shape).astype(dtype)
        else:
            data = rng.standard_normal(shape).astype(dtype)
        entries.append(tensor(spec, data, Location("random")))
    return {"inputs": entries}


def tensor(spec: Mapping[str, Any], data: npt.NDArray[Any], at: Location) -> dict[str, Any]:
    """Return an array as an input of a request, its bytes in base64."""
    name, dtype = spec["name"], DTYPES[spec["datatype"]]
    fits = len(data.shape) == len(spec["shape"]) and all(
        want in (-1, size) for want, size in zip(spec["shape"], data.shape, strict=True)
    )
    if data.dtype != dtype or not fits:
        raise RequestError(
            f"{data.dtype}{list(data.shape)} is not the {dtype}{spec['shape']} of {name}",
            at=at,
        )
    return {
        "name": name,
        "datatype": spec["datatype"],
        "shape": list(data.shape),
        "data": base64.b64encode(np.ascontiguousarray(data).tobytes()).decode(),
    }


def arrays(document: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the outputs of an answer as arrays by name.

    Raises:
        RequestError: The answer is an error.
    """
    if "outputs" not in document:
        raise RequestError(f"the package refuses the request: {document.get('error')}")
    found = {}
    for entry in document["outputs"]:
        dtype, data = np.dtype(DTYPES[entry["datatype"]]), entry["data"]
        if isinstance(data, str):
            flat = np.frombuffer(base64.b64decode(data), dtype)
        else:
            flat = np.array([math.nan if x is None else x for x in data], dtype)
        found[entry["name"]] = flat.reshape(entry["shape"])
    return found


def profile_parameter(profile: RequestProfile) -> dict[str, Any]:
    """Return what telemetry carries of a profile."""
    return {"bucket": profile.bucket, "features": dict(profile.features)}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        event = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot be read: {error}", at=Location(str(path))) from error
    if not isinstance(event, dict):
        raise RequestError("an event is a JSON object", at=Location(str(path)))
    return event
