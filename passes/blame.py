"""Which node first computes something else than before."""

from __future__ import annotations

import onnx_ir as ir

from suture.compiler.verify import Arrays, assert_equal, run_reference
from suture.errors import SutureError


def first_difference(
    before: ir.Model, after: ir.Model, inputs: Arrays, *, rtol: float
) -> str | None:
    """Return the first node, in the order of the model after, whose value is another one.

    Values are told apart by name, so that one which a pass moved to another place in the sum
    may be named where the answer is right; it is a hint for who looks at a wrong answer.

    Args:
        before: The model before a pass.
        after: The model after it.
        inputs: A request.
        rtol: Largest difference as a fraction of a value's magnitude.
    """
    makers = {
        value.name: node.name or node.op_type
        for node in after.graph
        for value in node.outputs
        if value.name
    }
    names = {value.name for node in before.graph for value in node.outputs}
    shared = [name for name in makers if name in names]
    try:
        old = run_reference(_telling(before, shared), inputs)
        new = run_reference(_telling(after, shared), inputs)
    except SutureError:
        return None  # what cannot run cannot be looked into
    for name in shared:
        try:
            assert_equal({name: old[name]}, new, what="", rtol=rtol)
        except SutureError:
            return makers[name]
    return None


def _telling(model: ir.Model, names: list[str]) -> ir.Model:
    """Return a copy of a model that also puts out some of its values."""
    copy = model.clone()
    known = {value.name for value in copy.graph.outputs}
    for node in copy.graph:
        for value in node.outputs:
            if value.name in names and value.name not in known:
                copy.graph.outputs.append(value)
    return copy
