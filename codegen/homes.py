"""Where each tensor of a program lies: in a caller's buffer, the weights, or the arena."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from suture.codegen.aot import Call, Space, Tensor
from suture.codegen.memory import Buffers, Life, place


@dataclass(frozen=True)
class Placed:
    """A program with every place decided.

    Attributes:
        tensors: As they were seen, in that order.
        calls: As they were, with the places of their workspaces.
        arena_bytes: Size of the arena.
    """

    tensors: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    arena_bytes: int


def find_homes(
    calls: Sequence[Call],
    tensors: Sequence[Tensor],
    buffers: Buffers,
    outputs: Mapping[int, int],
    workspace: Callable[[str], int],
) -> Placed:
    """Give every buffer that is no caller's a place in the arena, and every workspace.

    Args:
        calls: In the order they run.
        tensors: What they name; those of the arena have the number of a buffer, and no place.
        buffers: Those of activations.
        outputs: Which of them, no parts of others, are an output, and which one.
        workspace: Of a kernel, the bytes that it asks for while it runs.
    """
    spans: dict[int, tuple[int, int]] = {}
    for number, call in enumerate(calls):
        for position in call.args:
            tensor = tensors[position]
            if tensor.space == "arena":
                root, _ = buffers.root(tensor.buffer)
                spans[root] = (spans.get(root, (number, number))[0], number)
    roots = [root for root in spans if root not in outputs]
    asked = {number: workspace(call.kernel) for number, call in enumerate(calls)}
    asked = {number: nbytes for number, nbytes in asked.items() if nbytes}
    arena = place(
        [
            *(Life(buffers.nbytes(root), *spans[root]) for root in roots),
            *(Life(nbytes, number, number) for number, nbytes in asked.items()),
        ]
    )
    homes: dict[int, tuple[Space, int, int]] = {
        root: ("output", number, 0) for root, number in outputs.items()
    }
    for root, offset in zip(roots, arena.offsets, strict=False):
        homes[root] = ("arena", 0, offset)
    spaces = dict(zip(asked, arena.offsets[len(roots) :], strict=True))
    return Placed(
        tensors=tuple(_placed(tensor, buffers, homes) for tensor in tensors),
        calls=tuple(
            replace(call, workspace=(spaces[number], asked[number]))
            if number in asked
            else call
            for number, call in enumerate(calls)
        ),
        arena_bytes=arena.nbytes,
    )


def _placed(
    tensor: Tensor, buffers: Buffers, homes: Mapping[int, tuple[Space, int, int]]
) -> Tensor:
    """Return a tensor at its final place; one that no call names lies anywhere."""
    if tensor.space != "arena":
        return tensor
    root, inside = buffers.root(tensor.buffer)
    space, buffer, offset = homes.get(root, ("arena", 0, 0))
    return replace(tensor, space=space, buffer=buffer, offset=offset + inside + tensor.offset)
