import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from suture.codegen.memory import Buffers, Life, aligned, place

LIVES = st.lists(
    st.tuples(st.integers(1, 500), st.integers(0, 9), st.integers(0, 9)).map(
        lambda t: Life(t[0], min(t[1:]), max(t[1:]))
    ),
    max_size=12,
)


@given(LIVES)
def test_what_lives_at_one_time_does_not_overlap(lives):
    arena = place(lives)
    for (a, at), (b, bt) in itertools.combinations(zip(lives, arena.offsets, strict=True), 2):
        if a.first <= b.last and b.first <= a.last:
            assert at + a.nbytes <= bt or bt + b.nbytes <= at
    assert all(at % 64 == 0 for at in arena.offsets)
    for life, at in zip(lives, arena.offsets, strict=True):
        assert at + life.nbytes <= arena.nbytes
    assert arena.nbytes <= sum(aligned(life.nbytes) for life in lives)


def test_a_chain_needs_two_buffers():
    lives = [Life(640, n, n + 1) for n in range(10)]
    assert place(lives).nbytes == 2 * 640


def test_a_small_buffer_fills_a_hole():
    lives = [Life(640, 0, 2), Life(640, 0, 9), Life(128, 3, 4), Life(512, 4, 5)]
    arena = place(lives)
    assert arena.nbytes == 2 * 640
    assert arena.offsets[2] != arena.offsets[3]


def test_parts_lie_in_the_whole():
    buffers = Buffers()
    a, b, ab, c, abc = (buffers.add(size) for size in (64, 128, 192, 64, 256))
    assert buffers.join(a, ab, 0)
    assert buffers.join(b, ab, 64)
    assert buffers.join(ab, abc, 0)
    assert buffers.join(c, abc, 192)
    assert buffers.root(b) == (abc, 64)
    assert [buffers.root(x)[1] for x in (a, b, ab, c)] == [0, 64, 0, 192]


def test_a_part_has_one_whole():
    buffers = Buffers()
    part, whole, other = (buffers.add(size) for size in np.array([64, 128, 128]))
    assert buffers.join(part, whole, 0)
    assert not buffers.join(part, whole, 64)
    assert not buffers.join(part, other, 0)
    assert not buffers.join(whole, part, 0)
