"""Passes that rewrite each graph of a model by itself, the main one and those in its nodes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import onnx_ir as ir

from suture.passes.base import GraphPass, Names, Note, PassContext, PassResult

Rewritten = tuple[list[Note], list[Note]]
"""Rewrites of a graph, and what was left alone."""


@dataclass(frozen=True)
class EachGraphPass(GraphPass):
    """A rewrite that sees one graph at a time, branches of If and bodies of Loop and Scan too.

    Inner graphs come first, so that what they no longer read is unread outside. A body reads
    what is made around it: a rewrite may look there, and may take away or change only what is
    of its own graph; who reads a value from a body is one of its readers.
    """

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Rewrite each graph."""
        names = Names(model.graph)
        made: list[Note] = []
        declined: list[Note] = []
        for graph in graphs_of(model):
            rewritten, left = self.rewrite(graph, names)
            made += rewritten
            declined += left
        return PassResult(model, made=tuple(made), declined=tuple(declined))

    @abstractmethod
    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewrite one graph in place; names are those of all graphs of the model."""


def graphs_of(model: ir.Model) -> list[ir.Graph]:
    """Return a model's graphs, inner ones first; each says which operator sets it is of.

    onnx_ir has those of the main graph only.
    """
    graphs = list(model.graphs())[::-1]
    for graph in graphs[:-1]:
        graph.opset_imports.update(model.opset_imports)
    return graphs
