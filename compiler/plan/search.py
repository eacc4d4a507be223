"""Enumerate the plans that typed ports allow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from suture.compiler.adapters import Adapter, join
from suture.compiler.component import Component, Port
from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.compiler.spec import did_you_mean
from suture.compiler.task import Task
from suture.errors import Location, PlanError


@dataclass(frozen=True)
class Rejection:
    """Something the search tried and why it led nowhere."""

    what: str
    why: str


@dataclass(frozen=True)
class Search:
    """What the search found.

    Attributes:
        plans: Every candidate, the shortest first.
        rejected: Joints and components that were tried in vain.
        truncated: Whether candidates beyond the bound were left out.
    """

    plans: tuple[Plan, ...]
    rejected: tuple[Rejection, ...]
    truncated: bool = False


@dataclass(frozen=True)
class _Value:
    """One output of a component fed by other values; the task's input where it has none."""

    component: Component | None
    port: Port
    feeds: tuple[_Feed, ...] = ()

    def below(self) -> Iterator[Component]:
        """Yield every component that this value depends on, itself included."""
        if self.component is not None:
            yield self.component
        for feed in self.feeds:
            yield from feed.value.below()


@dataclass(frozen=True)
class _Feed:
    """A value brought to an input port."""

    port: Port
    chain: tuple[Adapter, ...]
    value: _Value


@dataclass
class _Searcher:
    task: Task
    components: Sequence[Component]
    rejected: dict[Rejection, None] = field(default_factory=dict)

    def answers(self, depth: int) -> Iterator[_Feed]:
        """Yield every way to the task's output kind."""
        for component in self.components:
            for port in component.outputs:
                want = replace(port, kind=self.task.output_kind, range=None)
                joint = join(port, want)
                if joint.gap is None:
                    for value in self._fed(component, port, frozenset(), depth):
                        yield _Feed(want, joint.chain, value)

    def _feeds(self, want: Port, used: frozenset[str], depth: int) -> Iterator[_Feed]:
        """Yield every way to a port; a capability stands once on each path."""
        joint = join(self.task.input, want)
        if joint.gap is None:
            yield _Feed(want, joint.chain, _Value(None, self.task.input))
        else:
            self._reject(f"input -> {want}", joint.gap)
        if depth == 0:
            return
        for component in self.components:
            if component.provides in used:
                continue
            for port in component.outputs:
                joint = join(port, want)
                if joint.gap is not None:
                    if port.kind == want.kind:
                        self._reject(f"{component.ref}.{port.name} -> {want}", joint.gap)
                    continue
                for value in self._fed(component, port, used, depth):
                    yield _Feed(want, joint.chain, value)

    def _fed(
        self, component: Component, port: Port, used: frozenset[str], depth: int
    ) -> Iterator[_Value]:
        """Yield a component's output for every way to feed all of its inputs."""
        used |= {component.provides}
        ways = [tuple(self._feeds(want, used, depth - 1)) for want in component.inputs]
        for feeds in itertools.product(*ways):
            kinds = [feed.port.kind for feed in feeds]
            if len(set(kinds)) < len(kinds) and len({f.value for f in feeds}) < len(feeds):
                continue  # two inputs of one kind are an ensemble: they want two sources
            value = _Value(component, port, feeds)
            missing = _unmet(component, value)
            if missing is None:
                yield value
            else:
                self._reject(component.ref, missing)

    def _reject(self, what: str, why: str) -> None:
        self.rejected[Rejection(what, why)] = None


def search(
    task: Task, components: Sequence[Component], *, depth: int = 5, most: int = 512
) -> Search:
    """Return the candidate plans of a task.

    Args:
        task: Where requests enter and which kind must leave.
        components: The library.
        depth: Most components on one path.
        most: Most plans to return.

    Raises:
        PlanError: Dependencies are missing or form a cycle, no component gives the wanted
            kind, or ports cannot be joined; the message names them.
    """
    check_dependencies(components)
    searcher = _Searcher(task, newest(components))
    found = itertools.islice(searcher.answers(depth), most + 1)
    plans = list(dict.fromkeys(_plan(feed) for feed in found))
    if not plans:
        raise _no_plan(task, searcher)
    plans.sort(key=lambda plan: (len(plan.steps), plan.name))
    return Search(tuple(plans[:most]), tuple(searcher.rejected), len(plans) > most)


def newest(components: Sequence[Component]) -> list[Component]:
    """Return the newest version of each component, and any that a dependency asks for."""
    by_name: dict[str, list[Component]] = {}
    for component in sorted(components, key=lambda c: (c.name, Version(c.version))):
        by_name.setdefault(component.name, []).append(component)
    chosen = {versions[-1].ref: versions[-1] for versions in by_name.values()}
    waiting = [d for c in chosen.values() for d in c.depends]
    while waiting:
        dependency = waiting.pop()
        fitting = [
            c
            for c in by_name.get(dependency.name, [])
            if Version(c.version) in SpecifierSet(dependency.versions)
        ]
        if fitting and fitting[-1].ref not in chosen:
            chosen[fitting[-1].ref] = fitting[-1]
            waiting += fitting[-1].depends
    return [chosen[ref] for ref in sorted(chosen)]


def check_dependencies(components: Sequence[Component]) -> None:
    """Raise ``PlanError`` where a dependency is missing or dependencies form a cycle."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for component in components:
        for dependency in component.depends:
            graph.add_edge(component.name, dependency.name)
            versions = [c.version for c in components if c.name == dependency.name]
            allowed = SpecifierSet(dependency.versions)
            if not any(Version(version) in allowed for version in versions):
                there = (
                    f"the library has {', '.join(versions)}" if versions else "it is missing"
                )
                raise PlanError(
                    f"depends on {dependency}, but {there}",
                    at=Location(component.ref, "depends"),
                    hint="add it with: suture library add MODEL.onnx --name "
                    f"{dependency.name} --version ...",
                )
    try:
        cycle = [edge[0] for edge in nx.find_cycle(graph)]
    except nx.NetworkXNoCycle:
        return
    raise PlanError(
        f"dependencies form a cycle: {' -> '.join([*cycle, cycle[0]])}",
        at=Location(cycle[0], "depends"),
        hint="take one of them out of its component's depends",
    )


def _unmet(component: Component, value: _Value) -> str | None:
    """Return the dependency that does not stand before a component, or None."""
    before = [other for feed in value.feeds for other in feed.value.below()]
    for dependency in component.depends:
        if not any(
            other.name == dependency.name
            and Version(other.version) in SpecifierSet(dependency.versions)
            for other in before
        ):
            return f"its dependency {dependency} does not stand before it"
    return None


def _plan(answer: _Feed) -> Plan:
    """Flatten a tree of values into a plan; what occurs twice becomes one step."""
    steps: list[Step] = []
    edges: list[Edge] = []
    known: dict[object, tuple[str, str]] = {}

    def new_id(stem: str) -> str:
        taken = {INPUT, *(step.id for step in steps)}
        return next(
            name
            for name in itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))
            if name not in taken
        )

    def value(node: _Value) -> tuple[str, str]:
        if node.component is None:
            return INPUT, INPUT
        key = (node.component.ref, node.feeds)
        if key not in known:
            sources = [feed(each) for each in node.feeds]
            step = Step(new_id(node.component.name), node.component.ref, node.component.digest)
            steps.append(step)
            for each, (source, output) in zip(node.feeds, sources, strict=True):
                edges.append(Edge(source, output, step.id, each.port.name))
            known[key] = (step.id, "")
        return known[key][0], node.port.name

    def feed(each: _Feed) -> tuple[str, str]:
        source = value(each.value)
        for adapter in each.chain:
            key = (source, str(adapter))
            if key not in known:
                step = Step(new_id(adapter.name), str(adapter))
                steps.append(step)
                edges.append(Edge(*source, step.id, "input"))
                known[key] = (step.id, "output")
            source = known[key]
        return source

    output = feed(answer)
    return Plan(tuple(steps), tuple(edges), output)


def _no_plan(task: Task, searcher: _Searcher) -> PlanError:
    """Say why nothing leads to the wanted kind."""
    at = Location(str(task.path), "task.output.kind", task.output_kind)
    kinds = {port.kind for c in searcher.components for port in c.outputs}
    reasons = [f"{item.what}: {item.why}" for item in searcher.rejected]
    if reasons:
        shown = "\n  ".join(reasons[:6])
        return PlanError(
            f"no plan leads from {task.input} to {task.output_kind}; tried\n  {shown}",
            at=at,
            hint="change a port in component.toml, or add a component that bridges the gap",
        )
    return PlanError(
        f"no component of the library gives {task.output_kind}"
        + did_you_mean(task.output_kind, kinds),
        at=at,
        hint="add one with: suture library add MODEL.onnx --name NAME",
    )
