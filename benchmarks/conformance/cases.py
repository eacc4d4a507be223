"""The cases of ONNX's backend test suite: models, requests and the answers they must give."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as node_cases
from onnx import numpy_helper
from onnx.backend.test.loader import DATA_DIR, load_model_tests

LIGHT = Path(DATA_DIR) / "light"
KINDS = ("simple", "pytorch-converted", "pytorch-operator", "real")
"""Kinds of cases whose models are files; ``node`` are made by the package's modules."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model of the suite.

    Attributes:
        name: As the suite calls it.
        kind: ``node`` or one of ``KINDS``.
        model: The model.
        requests: Inputs in the model's order, and what it must answer.
        rtol: Relative tolerance of the answers.
        atol: Absolute tolerance of the answers.
    """

    name: str
    kind: str
    model: onnx.ModelProto
    requests: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float

    @property
    def operator(self) -> str:
        """The operator that a node's case is about, or its kind."""
        if self.kind != "node":
            return self.kind
        own = self.name.partition("_expanded")[0]
        return OPERATORS.get(own, self.model.graph.node[0].op_type)


OPERATORS: dict[str, str] = {}


def load_cases(modules: Collection[str] = (), kinds: Collection[str] = KINDS) -> list[Case]:
    """Return cases in a fixed order.

    Args:
        modules: Modules of the package's node cases, ``softmax`` say; empty for all.
        kinds: Which of the cases that are files.
    """
    return [
        *nodes(modules),
        *(case for kind in KINDS if kind in kinds for case in files(kind)),
    ]


def nodes(modules: Collection[str]) -> Iterator[Case]:
    """Yield the cases that the package's modules make when they are imported."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for _, name, _ in pkgutil.walk_packages(
            node_cases.__path__, node_cases.__name__ + "."
        ):
            if not modules or name.rpartition(".")[2] in modules:
                importlib.import_module(name)
    for test in node_cases._NodeTestCases:
        requests = [tuple(map(plain, each)) for each in test.data_sets]
        if "_expanded" not in test.name:
            OPERATORS[test.name] = test.model.graph.node[0].op_type
        yield Case(
            name=test.name,
            kind="node",
            model=test.model,
            requests=requests,
            rtol=test.rtol,
            atol=test.atol,
        )


def plain(values: Sequence[Any]) -> list[Any]:
    """Return values with tensors of protobuf as arrays."""
    return [
        numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        for value in values
    ]


def files(kind: str) -> Iterator[Case]:
    """Yield the cases of a kind that are in the package's folders."""
    for test in sorted(load_model_tests(kind=kind), key=lambda test: str(test.name)):
        if test.model_dir is None:
            model = onnx.load(LIGHT / Path(test.url).name)
            requests = [light_request(model, LIGHT / Path(test.url).stem)]
        else:
            folder = Path(test.model_dir)
            model = onnx.load(folder / "model.onnx")
            requests = [
                (
                    read_values(each, "input", model.graph.input),
                    read_values(each, "output", model.graph.output),
                )
                for each in sorted(folder.glob("test_data_set_*"))
            ]
        yield Case(
            name=test.name,
            kind=kind,
            model=model,
            requests=requests,
            rtol=test.rtol,
            atol=test.atol,
        )


def light_request(model: onnx.ModelProto, stem: Path) -> tuple[list[Any], list[Any]]:
    """Return the request that the suite's runner gives to a light model, and its answers."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = []
    for value in model.graph.input:
        if value.name not in constants:
            shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
            size = int(np.prod(shape))
            inputs.append((np.arange(size).reshape(shape) / size).astype(np.float32))
    answers = [
        numpy_helper.to_array(onnx.load_tensor(f"{stem}_output_{number}.pb"))
        for number in range(len(model.graph.output))
    ]
    return inputs, answers


def read_values(folder: Path, prefix: str, ports: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    """Return the values of a request's files, of whatever type their ports have."""
    values: list[Any] = []
    for number in range(len(list(folder.glob(f"{prefix}_*.pb")))):
        port = ports[number]
        data = (folder / f"{prefix}_{number}.pb").read_bytes()
        if port.type.HasField("sequence_type"):
            values.append(numpy_helper.to_list(onnx.SequenceProto.FromString(data)))
        elif port.type.HasField("optional_type"):
            values.append(numpy_helper.to_optional(onnx.OptionalProto.FromString(data)))
        else:
            values.append(numpy_helper.to_array(onnx.TensorProto.FromString(data)))
    return values
