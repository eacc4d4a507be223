"""Cut rows of tables that no index can reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import (
    GraphPass,
    Names,
    PassContext,
    PassResult,
    add_constant,
    constant_of,
    note,
)
from suture.passes.recognise.possible import possible_numbers
from suture.passes.recognise.values import DEFAULT_DOMAINS

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PruneEmbeddingRows(GraphPass):
    """Keep the rows of a table that its Gathers can read, whatever the inputs are.

    Before: ``y = Gather(table, Clip(x, 0, 9))``, of a table of 500 rows.
    After: the same of 10 rows. Where those read are not the first ones, a second Gather, from
    whole numbers, turns old rows into new ones.
    """

    name: ClassVar[str] = "prune-embedding-rows"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Look at each table that nothing but Gathers read, in whichever graphs."""
        made, declined, names = [], [], Names(model.graph)
        for table, readers in tables(model.graph):
            numbers = [possible_numbers(node.inputs[1]) for node in readers]
            known = [each for each in numbers if each is not None]
            size = rows_of(table)
            if len(known) < len(numbers):
                continue
            read = np.unique(np.concatenate(known))
            rows = np.unique(read[(read >= -size) & (read < size)] % size)
            if len(rows) in (0, size):
                continue
            if not alone(table, readers):
                declined.append(note(readers[0], "others read its table too"))
                continue
            mapped = bool(read[0] < 0) or rows[-1] >= len(rows)
            if mapped and saved(table, len(rows)) <= 0:
                reason = f"a list of {size} rows would weigh more than those it saves"
                declined.append(note(readers[0], reason))
                continue
            places = np.zeros(size, np.int32)
            places[rows] = np.arange(len(rows))
            cut_rows(table, readers, rows, names, places if mapped else None)
            made.append(note(readers[0], f"{len(rows)} of {size} rows can be read"))
        return PassResult(model, made=tuple(made), declined=tuple(declined))


def tables(graph: ir.Graph) -> Iterator[tuple[ir.Value, list[ir.Node]]]:
    """Yield each constant whose rows Gathers read by numbers that vary.

    Args:
        graph: The main graph; tables and Gathers may be in those inside as well.
    """
    found: dict[ir.Value, list[ir.Node]] = {}
    for node in graph.all_nodes():
        if node.op_type != "Gather" or node.domain not in DEFAULT_DOMAINS:
            continue
        table, indices = node.inputs
        if table is None or not table.is_initializer():
            continue
        data = constant_of(table)
        by_rows = (
            data is not None
            and len(data.shape) > 1
            and node.attributes.get_int("axis", 0) == 0
        )
        if by_rows and constant_of(indices) is None:
            found.setdefault(table, []).append(node)
    yield from found.items()


def rows_of(table: ir.Value) -> int:
    """Return how many rows a table has."""
    data = constant_of(table)
    assert data is not None
    return len(data.numpy())


def alone(table: ir.Value, readers: list[ir.Node]) -> bool:
    """Whether nothing but the readers reads a table."""
    uses = list(table.uses())
    return not table.is_graph_output() and all(
        use.node in readers and use.idx == 0 for use in uses
    )


def saved(table: ir.Value, left: int) -> int:
    """Return bytes that go with all rows but some, less those of a list of places."""
    data = constant_of(table)
    assert data is not None
    size = rows_of(table)
    return int(data.nbytes) // max(1, size) * (size - left) - 4 * size


def cut_rows(
    table: ir.Value,
    readers: list[ir.Node],
    rows: Rows,
    names: Names,
    places: npt.NDArray[np.int32] | None,
) -> None:
    """Leave some rows of a table, in place.

    Args:
        table: The table.
        readers: Its Gathers; nothing else reads it.
        rows: Those that stay, in ascending order.
        names: Names of all graphs.
        places: ``(old rows,)`` int32: where each is from now on; None where it does not move.
    """
    data, graph = constant_of(table), table.graph
    assert data is not None
    assert isinstance(graph, ir.Graph)
    smaller = add_constant(graph, names.free(f"{table.name}.rows"), data.numpy()[rows])
    moved = (
        None
        if places is None
        else add_constant(graph, names.free(f"{table.name}.places"), places)
    )
    for node in readers:
        node.replace_input_with(0, smaller)
        indices = node.inputs[1]
        if moved is None or indices is None:
            continue
        name = names.free(f"{node.outputs[0].name}.place")
        place = ir.node("Gather", [moved, indices], {"axis": 0}, name=name)
        place.outputs[0].name = names.free(name)
        place.outputs[0].type = ir.TensorType(ir.DataType.INT32)
        place.outputs[0].shape = indices.shape
        assert node.graph is not None
        node.graph.insert_before(node, place)
        node.replace_input_with(1, place.outputs[0])
    if not table.uses():
        del graph.initializers[str(table.name)]
