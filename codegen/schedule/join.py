"""Tensors one behind the other: the concatenation that needs no kernel."""

from __future__ import annotations

from collections.abc import Sequence

import tvm
from tvm import s_tir, te, topi

from suture.codegen.schedule.base import finished

JOIN = "suture.join"
"""Marks a kernel whose arguments lie one behind the other in its result. The program's plan
lets their makers write there, and calls nothing."""


def join(shapes: Sequence[tuple[int, ...]], axis: int, dtype: str) -> tvm.tirx.PrimFunc:
    """Return a concatenation along the first axis longer than one, as what it means."""
    parts = [te.placeholder(shape, dtype, name=f"part{n}") for n, shape in enumerate(shapes)]
    whole = topi.concatenate(parts, axis)
    kernel = finished(s_tir.Schedule(te.create_prim_func([*parts, whole])))
    return kernel.with_attr(JOIN, True)
