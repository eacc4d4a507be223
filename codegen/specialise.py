"""Several programs of one model, each for sizes of its own, in one library.

What is equal in them is there once: constants, whatever program packs them alike, and kernels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import tvm
import tvm_ffi

from suture.codegen.aot import OWN, AotPlan, Tensor
from suture.codegen.lower import Lowered
from suture.codegen.memory import aligned


@dataclass(frozen=True, kw_only=True)
class Library:
    """Programs that share weights and kernels.

    Attributes:
        kernels: The kernels in TensorIR, by name.
        plans: One a program; all have the same weights.
    """

    kernels: tvm.IRModule
    plans: tuple[AotPlan, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the compiled kernels that any plan uses, sorted."""
        return tuple(sorted({name for plan in self.plans for name in plan.kernels}))

    @property
    def weights(self) -> bytes:
        """The constants of all programs."""
        return self.plans[0].weights


def share(lowered: Sequence[Lowered], plans: Sequence[AotPlan]) -> Library:
    """Return programs with what is equal in them there once; one program stays as it is.

    Args:
        lowered: The kernels of each program.
        plans: Its plan.
    """
    if len(plans) == 1:
        return Library(kernels=lowered[0].module, plans=tuple(plans))
    kernels, named = _share_kernels(lowered, plans)
    return Library(kernels=kernels, plans=_share_weights(named))


def _share_kernels(
    lowered: Sequence[Lowered], plans: Sequence[AotPlan]
) -> tuple[tvm.IRModule, list[AotPlan]]:
    """Give each kernel a name of its own in the library, and equal ones the same."""
    kept: dict[int, list[tuple[str, tvm.tirx.PrimFunc]]] = {}
    functions: dict[str, tvm.tirx.PrimFunc] = {}
    renamed = []
    for number, (program, plan) in enumerate(zip(lowered, plans, strict=True)):
        names = {name: name for name in OWN}
        for name in plan.kernels:
            function = program.module[name].without_attr("global_symbol")
            alike = kept.setdefault(tvm_ffi.structural_hash(function), [])
            same = (n for n, f in alike if tvm_ffi.structural_equal(f, function))
            names[name] = next(same, f"{name}_of_{number}")
            if names[name] not in functions:
                functions[names[name]] = function.with_attr("global_symbol", names[name])
                alike.append((names[name], function))
        calls = tuple(replace(call, kernel=names[call.kernel]) for call in plan.calls)
        renamed.append(replace(plan, calls=calls))
    return tvm.IRModule(functions), renamed


def _share_weights(plans: Sequence[AotPlan]) -> tuple[AotPlan, ...]:
    """Put the constants of all plans into one block, equal bytes once."""
    block = bytearray()
    offsets: dict[bytes, int] = {}

    def moved(tensor: Tensor, weights: bytes) -> Tensor:
        if tensor.space != "weights":
            return tensor
        data = weights[tensor.offset : tensor.offset + tensor.nbytes]
        digest = hashlib.sha256(data).digest()
        if digest not in offsets:
            block.extend(bytes(aligned(len(block)) - len(block)))
            offsets[digest] = len(block)
            block.extend(data)
        return replace(tensor, offset=offsets[digest])

    placed = [tuple(moved(tensor, plan.weights) for tensor in plan.tensors) for plan in plans]
    return tuple(
        replace(plan, tensors=tensors, weights=bytes(block))
        for plan, tensors in zip(plans, placed, strict=True)
    )
