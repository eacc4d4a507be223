"""A plan as data: which steps run, and how their ports connect."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import networkx as nx

from suture.errors import Location, PlanError

INPUT = "input"
"""Name of the pseudo-step that stands for the task's input."""


@dataclass(frozen=True, order=True)
class Step:
    """One component or adapter instance.

    Attributes:
        id: Unique in the plan, for example ``denoise`` or ``resize_1``.
        ref: ``name@version`` of a component, or an adapter's spec such as
            ``resize{height=32,width=32}``.
        digest: Content digest of the component; empty for an adapter, which is a step the
            planner made up to join two ports and which its spec describes entirely.
    """

    id: str
    ref: str
    digest: str = ""

    @property
    def adapter(self) -> bool:
        """Whether this step is an adapter."""
        return not self.digest


@dataclass(frozen=True, order=True)
class Edge:
    """``source.output`` feeds ``sink.input``; the source may be ``INPUT``."""

    source: str
    output: str
    sink: str
    input: str

    def __str__(self) -> str:
        return f"{self.source}.{self.output} -> {self.sink}.{self.input}"


@dataclass(frozen=True)
class Plan:
    """A directed acyclic graph of step instances with one output.

    Attributes:
        steps: Every step, in an order of execution.
        edges: Who feeds whom; each input port of each step has exactly one edge.
        output: ``(step id, port name)`` of what the plan answers.
    """

    steps: tuple[Step, ...]
    edges: tuple[Edge, ...]
    output: tuple[str, str]

    @property
    def name(self) -> str:
        """The components in order, adapters left out: what a person calls the plan."""
        return " > ".join(s.ref.partition("@")[0] for s in self.steps if not s.adapter)

    @property
    def digest(self) -> str:
        """SHA-256 over the whole plan, in hexadecimal; equal for equal plans."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def graph(self) -> nx.DiGraph[str]:
        """Return the steps as a graph, ``INPUT`` included."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_node(INPUT)
        graph.add_nodes_from(step.id for step in self.steps)
        graph.add_edges_from((edge.source, edge.sink) for edge in self.edges)
        return graph

    def order(self) -> tuple[Step, ...]:
        """Return the steps so that each follows those that feed it, ties by name.

        Raises:
            PlanError: The steps form a cycle; the message names it.
        """
        graph = self.graph()
        try:
            ids = list(nx.lexicographical_topological_sort(graph))
        except nx.NetworkXUnfeasible:
            cycle = [edge[0] for edge in nx.find_cycle(graph)]
            raise PlanError(
                f"the steps form a cycle: {' -> '.join([*cycle, cycle[0]])}",
                at=Location(self.name),
            ) from None
        by_id = {step.id: step for step in self.steps}
        return tuple(by_id[i] for i in ids if i != INPUT)
