"""Values inside a model, on real requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.compiler.session import open_session
from suture.compiler.verify import Arrays


def observe(
    model: ir.Model, names: Sequence[str], requests: Sequence[Arrays], *, optimize: bool = True
) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield the named values of a model for each request; what they do not need is not run.

    Args:
        model: The model.
        names: Of values of the main graph, inputs among them.
        requests: Arrays by input name.
        optimize: Whether ONNX Runtime may rewrite the graph.
    """
    copy = model.clone()
    made = {value.name: value for node in copy.graph for value in node.outputs}
    wanted = [name for name in dict.fromkeys(names) if name in made]
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(made[name] for name in wanted)
    ir_passes.RemoveUnusedNodesPass()(copy)
    if not wanted:
        yield from ([np.asarray(request[name]) for name in names] for request in requests)
        return
    session = open_session(copy, optimize=optimize)
    inputs = [value.name for value in session.get_inputs()]
    for request in requests:
        feed = {name: request[name] for name in inputs if name in request}
        found = dict(zip(wanted, session.run(wanted, feed), strict=True))
        yield [found[name] if name in found else request[name] for name in names]
