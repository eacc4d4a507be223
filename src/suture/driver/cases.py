"""Read a model that has no task, and the requests it is verified and timed with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.component import Port
from suture.compiler.inspect import read_ports
from suture.compiler.model import bind_symbols, free_symbols, load_model
from suture.compiler.verify import Arrays, run_reference, seeded_inputs
from suture.driver.options import Case
from suture.errors import Location, ModelError, RequestError

SEED = 0
MOST_PROGRAMS = 16
"""Programs of one library; each adds its code."""


def read_cases(
    path: Path, *, bind: Mapping[str, Sequence[int]], inputs: Path | None
) -> tuple[ir.Model, list[Case]]:
    """Return a model, and a request for each combination of sizes; of several, they stay free.

    Raises:
        ModelError: See ``open_model``; or there are too many combinations.
        RequestError: The inputs do not fit, or are to fit several sizes.
    """
    model = load_model(path)
    sizes = combinations(model, bind, path)
    if len(sizes) == 1:
        model, feed = open_model(path, bind=bind, inputs=inputs)
        return model, [Case(inputs=feed, expected=run_reference(model, feed))]
    if inputs is not None:
        raise RequestError(
            "one file cannot be of several sizes",
            at=Location(str(inputs)),
            hint="leave --input out, or give --bind one size",
        )
    return model, [seeded_case(model, each) for each in sizes]


def open_model(
    path: Path, *, bind: Mapping[str, Sequence[int]], inputs: Path | None
) -> tuple[ir.Model, Arrays]:
    """Return a model with sizes bound, and inputs for it: a file's, or else seeded numbers.

    Raises:
        ModelError: There is no such file, it is no model, or a size names no free dimension.
        RequestError: The inputs do not fit.
    """
    model = load_model(path)
    bind_sizes(model, bind, path)
    if inputs is not None:
        return model, read_inputs(inputs, model)
    return model, seeded_inputs(model, np.random.default_rng(SEED))


def read_inputs(path: Path, model: ir.Model) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs in an ``.npz`` or ``.npy`` file, each checked against its port.

    Raises:
        RequestError: The file is not readable, or lacks an input, or one does not fit.
    """
    ports = read_ports(tuple(model.graph.inputs))
    at = Location(str(path))
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if hasattr(loaded, "files") else {ports[0].name: loaded}
    except (OSError, ValueError, EOFError) as error:
        raise RequestError(
            f"not readable inputs: {error}", at=at, hint="give a .npy or .npz file"
        ) from error
    return {port.name: _fitting(port, arrays, at) for port in ports}


def _fitting(
    port: Port, arrays: Mapping[str, npt.NDArray[Any]], at: Location
) -> npt.NDArray[Any]:
    if port.name not in arrays:
        raise RequestError(f"input {port.name!r} is missing in it", at=at)
    array = arrays[port.name]
    if array.dtype != port.dtype:
        raise RequestError(f"{port.name} is {array.dtype}, not {port.dtype}", at=at)
    port.bound(array.shape)
    return array


def bind_sizes(model: ir.Model, bind: Mapping[str, Sequence[int]], path: Path) -> None:
    """Fix free dimensions to one size each, in place.

    Raises:
        ModelError: A dimension is named that is not free, or has several sizes.
    """
    sizes = combinations(model, bind, path)
    if len(sizes) > 1:
        raise ModelError(
            "one size of a dimension is enough here", at=Location(str(path), "--bind")
        )
    bind_symbols(model, sizes[0])


def combinations(
    model: ir.Model, bind: Mapping[str, Sequence[int]], path: Path
) -> list[dict[str, int]]:
    """Return each combination of sizes that free dimensions are to have; of none, one empty.

    Raises:
        ModelError: A dimension is named that is not free, or there are too many combinations.
    """
    free = free_symbols(model)
    unknown = [name for name in bind if name not in free]
    if unknown:
        raise ModelError(
            f"no dimension {unknown[0]!r} is free",
            at=Location(str(path), "--bind"),
            hint=f"free are: {', '.join(free) or 'none'}",
        )
    sizes = [dict(zip(bind, each, strict=True)) for each in itertools.product(*bind.values())]
    if len(sizes) > MOST_PROGRAMS:
        raise ModelError(
            f"{len(sizes)} combinations of sizes are more than {MOST_PROGRAMS} programs",
            at=Location(str(path), "--bind"),
            hint="give fewer sizes",
        )
    return sizes


def seeded_case(model: ir.Model, sizes: Mapping[str, int]) -> Case:
    """Return a request of given sizes, and what the model answers."""
    fixed = model.clone()
    bind_symbols(fixed, sizes)
    inputs = seeded_inputs(fixed, np.random.default_rng(SEED))
    return Case(inputs=inputs, expected=run_reference(fixed, inputs), sizes=sizes)
