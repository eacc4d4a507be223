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
        for call in range(life.first, life.last + 1):
            assert at + life.nbytes <= arena.free_from(call) <= arena.nbytes
    assert arena.nbytes <= sum(aligned(life.nbytes) for life in lives)


def place_one_by_one(lives):
    """Offsets by looking at every buffer that is placed."""
    offsets, placed = {}, []
    order = sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first, i))
    for index in order:
        life, at = lives[index], 0
        rivals = [
            i for i in placed if lives[i].first <= life.last and life.first <= lives[i].last
        ]
        for other in sorted(rivals, key=offsets.get):
            if offsets[other] - at >= aligned(life.nbytes):
                break
            at = max(at, offsets[other] + aligned(lives[other].nbytes))
        offsets[index] = at
        placed.append(index)
    return tuple(offsets[index] for index in range(len(lives)))


@given(LIVES)
def test_places_are_those_of_the_plain_rule(lives):
    assert place(lives).offsets == place_one_by_one(lives)


def test_places_of_many_are_those_of_the_plain_rule():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 600, 800)
    last = first + rng.choice([0, 1, 2, 3, 40, 500], 800)
    sizes = rng.choice([0, 1, 64, 640, 6400], 800)
    lives = [Life(*map(int, each)) for each in zip(sizes, first, last, strict=True)]
    assert place(lives).offsets == place_one_by_one(lives)


def test_behind_what_lives_the_arena_is_free():
    arena = place([Life(640, 0, 1), Life(320, 1, 2), Life(100, 4, 4)])
    assert [arena.free_from(call) for call in range(6)] == [640, 960, 960, 0, 128, 0]


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
