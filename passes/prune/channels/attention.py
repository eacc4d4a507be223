"""Heads of the operator ``Attention``: which go together, and how many are left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from suture.passes.prune.channels.use import Axes, Ids, Tie, Use

COUNTS: Mapping[int, str] = {0: "q_num_heads", 1: "kv_num_heads"}
"""The attributes that count heads, by input."""

OF_KEYS = (1, 2, 4, 5)
"""The inputs that have heads of K and V: those, and what came before them."""


def tie_heads(use: Use) -> Iterator[Tie]:
    """Yield what is tied by heads; rows, and columns within a head, stay whole.

    Where K and V have fewer heads than Q, each of theirs goes with the heads of Q next to
    one another that read it (operator set 23, ``Attention``).
    """
    counts = {at: use.node.attributes.get_int(name, 0) for at, name in COUNTS.items()}
    named = [at for at, value in enumerate(use.node.outputs) if value.name]
    made = dict(zip(named, use.outputs, strict=True))
    mask = use.read(3)
    of_queries = [use.read(0), made.get(0, ()), made.get(3, ())]
    if len(mask) > 2 and len(mask[-3]) != 1:
        of_queries.append((mask[0], *mask[-3:]))
    of_keys = [*map(use.read, OF_KEYS), made.get(1, ()), made.get(2, ())]
    queries, keys = (
        [heads_of(axes, counts[at]) for axes in some if axes]
        for at, some in ((0, of_queries), (1, of_keys))
    )
    count, shared = len(queries[0]), len(keys[0])
    as_many = all(
        len(heads) == len(some[0]) and heads.size for some in (queries, keys) for heads in some
    )
    if not as_many or count % shared:
        return  # of what is not known, nothing may go
    yield queries[0][:, 0], np.repeat(keys[0][:, 0], count // shared)
    for some in (queries, keys):
        for heads in some:
            yield np.repeat(some[0][:, 0], heads.shape[1]), heads.reshape(-1)


def heads_of(axes: Axes, count: int) -> Ids:
    """Return ``(heads, columns)``: the ids of each head, no heads where they are not known.

    Args:
        axes: Of ``[batch, rows, heads · columns]``, or of ``[batch, heads, rows, columns]``,
            whose columns are not heads' own.
        count: How many heads the operator says there are, 0 where it does not.
    """
    if len(axes) == 4:
        return axes[1].reshape(-1, 1)
    if len(axes) != 3 or not count or len(axes[2]) % count:
        return np.zeros((0, 1), np.int64)
    return axes[2].reshape(count, -1)
