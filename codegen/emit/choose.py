"""Emit the choice between the results of an If's branches."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, s_tir, te, tirx

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.schedule.base import finished

CHOICE = "suture.choice"
"""Marks a kernel that the program's plan does not call: it copies the result of the branch
that was taken. The value tells which If it is of."""


def emit_choose(emitter: Emitter, operator: Operator) -> Any:
    """Emit what the walk knows as a choice."""
    _, then, _ = operator.inputs
    shape, dtype, of = dims(then), str(then.ty.dtype.dtype), operator.attributes["of"]
    function = emitter.function(
        ("choose", of, shape, dtype), lambda: choose(shape, dtype).with_attr(CHOICE, of)
    )
    kind = relax.TensorType(shape, dtype)
    return emitter.builder.emit(relax.call_tir(function, list(operator.inputs), kind))


def choose(shape: tuple[int, ...], dtype: str) -> tvm.tirx.PrimFunc:
    """Return a choice between two tensors, as what it means."""
    condition = te.placeholder((), "bool", name="condition")
    branches = [te.placeholder(shape, dtype, name=name) for name in ("then", "otherwise")]
    taken = te.compute(
        shape,
        lambda *i: tirx.if_then_else(condition(), branches[0](*i), branches[1](*i)),
        name="taken",
    )
    return finished(s_tir.Schedule(te.create_prim_func([condition, *branches, taken])))
