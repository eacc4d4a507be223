"""Cut rows of an embedding table whose tokens do not occur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.errors import Location, PassError
from suture.passes.base import GraphPass, Names, Note, PassContext, PassResult, note
from suture.passes.prune.embedding_rows import alone, cut_rows, rows_of, saved, tables
from suture.passes.prune.wanted import read_numbers
from suture.passes.recognise.possible import possible_numbers

METADATA = "suture.tokens"
"""Key of a model's metadata: the table whose tokens were cut, and the one for others."""


@dataclass(frozen=True)
class PruneTokens(GraphPass):
    """Keep the rows of an embedding table that belong to tokens which occur.

    Before: ``y = Gather(table, x)``, of a table of 30000 rows.
    After: ``y = Gather(table', Gather(places, x))`` of the rows of the tokens kept. Requests
    stay as they are: a token that is not kept is read as the token ``other``.

    Attributes:
        keep: Tokens joined by ``+``, or a file of them; all where it is empty.
        other: The token that stands for all others, such as that of unknown words; it is
            kept, too.
        table: Name of the initializer; where empty, the only one whose rows requests name.
    """

    name: ClassVar[str] = "prune-tokens"
    exact: ClassVar[bool] = False  # for tokens that are not kept
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    keep: str = ""
    other: int = -1
    table: str = ""

    def __post_init__(self) -> None:
        if self.keep and self.other < 0:
            raise ValueError("other is the token that stands for those not kept")

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Cut the table, and put a list of places before it."""
        graph = model.graph
        if not self.keep:
            told = Note(Location(graph.name or "model"), "no token is named with keep")
            return PassResult(model, declined=(told,))
        at = Location(graph.name or "model", None, "keep")
        wanted = {*read_numbers(self.keep, at), self.other}
        if METADATA in model.metadata_props:
            cut = f"it has been cut already: {model.metadata_props[METADATA]}"
            return PassResult(model, declined=(Note(at, cut),))
        table, readers = self._table(graph)
        size, rows = rows_of(table), np.array(sorted(wanted), np.int64)
        if rows[-1] >= size:
            raise PassError(f"there is no token {rows[-1]}: {table.name} has {size}", at=at)
        if not alone(table, readers):
            return PassResult(model, declined=(note(readers[0], "others read its table too"),))
        if saved(table, len(rows)) <= 0:
            reason = f"a list of {size} tokens would weigh more than the rows it saves"
            return PassResult(model, declined=(note(readers[0], reason),))
        places = np.full(size, int(np.searchsorted(rows, self.other)), np.int32)
        places[rows] = np.arange(len(rows))
        cut_rows(table, readers, rows, Names(graph), places)
        model.metadata_props[METADATA] = f"{table.name}, others are {self.other}"
        reason = f"{len(rows)} of {size} tokens are kept, others are read as {self.other}"
        return PassResult(model, made=(note(readers[0], reason),))

    def _table(self, graph: ir.Graph) -> tuple[ir.Value, list[ir.Node]]:
        """Return the table, and the Gathers that read it."""
        found = {
            str(table.name): (table, readers)
            for table, readers in tables(graph)
            if self.table in ("", table.name)
            and (
                self.table or any(possible_numbers(each.inputs[1]) is None for each in readers)
            )
        }
        if len(found) != 1:
            known = ", ".join(found) or "none"
            raise PassError(
                f"one table of tokens is wanted, found: {known}",
                at=Location(graph.name or "model", None, self.table or None),
                hint="name it by the initializer, with table=",
            )
        return next(iter(found.values()))
