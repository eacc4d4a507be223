from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from suture.compiler.component import Port
from suture.compiler.library import Library, describe
from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.compiler.plan.search import search
from suture.compiler.task import read_task

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


@pytest.fixture(scope="session")
def digits():
    """The example: its task for 32x32 scans, its components and every plan."""
    task = read_task(DIGITS / "task.toml")
    entry = task.input.bound((32, 32))
    task = replace(task, input=entry)
    components = {component.ref: component for component in Library(Path(task.library))}
    plans = search(task, tuple(components.values())).plans
    by_name = {plan.name: plan for plan in plans}
    return SimpleNamespace(task=task, components=components, entry=entry, plans=by_name)


@pytest.fixture
def component(write):
    """Make a component of a graph; ``ports`` gives by name the kinds of its ports."""

    def component(name, text, *, opset=17, version="1.0.0", ports=None, **declared):
        path = write(text, f"{name}-{version}.onnx", opset)
        found = describe(path, name=name, version=version, **declared)
        kinds = ports or {}
        return replace(
            found,
            inputs=tuple(replace(p, kind=kinds.get(p.name, p.kind)) for p in found.inputs),
            outputs=tuple(replace(p, kind=kinds.get(p.name, p.kind)) for p in found.outputs),
        )

    return component


@pytest.fixture
def unary(component):
    """Make a component of one operator on ``float[N,4]`` from one kind to another."""

    def unary(name, source, target, *, op="Relu", **declared):
        text = f"g (float[N,4] x) => (float[N,4] y) {{ y = {op}(x) }}"
        return component(name, text, ports={"x": source, "y": target}, **declared)

    return unary


@pytest.fixture
def numbers():
    """Make the port of a task that takes ``float32[1,4]``."""

    def numbers(kind="raw", shape=(1, 4)):
        return Port(name=INPUT, kind=kind, dtype="float32", shape=shape)

    return numbers


@pytest.fixture
def chain():
    """Make the plan that runs components one after the other, first port to first port."""

    def chain(*components):
        steps, edges, source = [], [], (INPUT, INPUT)
        for component in components:
            steps.append(Step(component.name, component.ref, component.digest))
            edges.append(Edge(*source, component.name, component.inputs[0].name))
            source = (component.name, component.outputs[0].name)
        return Plan(tuple(steps), tuple(edges), source)

    return chain
