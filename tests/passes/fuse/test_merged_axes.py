from itertools import permutations

import numpy as np
import pytest

from suture.passes.fuse.merged_axes import turned_before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, 3, 4, 5), (2, 12, 5)),
        ((2, 3, 4, 5), (6, 20)),
        ((2, 1, 3, 1), (2, 3)),
        ((1, 2, 3), (1, 6, 1)),
        ((4, 3), (1, 4, 3)),
        ((2, 3), (2, 3)),
    ],
)
def test_turning_first_gives_the_same_numbers(before, after):
    x = np.arange(np.prod(before)).reshape(before)
    for perm in permutations(range(len(after))):
        order = turned_before(before, after, perm)
        assert sorted(order) == list(range(len(before)))
        wanted = x.reshape(after).transpose(perm)
        np.testing.assert_array_equal(x.transpose(order).reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("before", "after"),
    [((6, 4), (3, 8)), ((12,), (3, 4)), ((4, 6), (8, 3)), ((2, 3), (3, 2))],
)
def test_there_is_no_order_where_axes_are_taken_apart(before, after):
    assert turned_before(before, after, range(len(after))[::-1]) is None
