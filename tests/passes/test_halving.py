"""Which step is chosen, and how many are measured on the way."""

import pytest

from suture.passes.halving import Fall, choose

OVER = 33


def measured(falls, asked):
    """Steps of which either half refuses those from its number on."""

    def attempt(step):
        asked.append(step)
        drop, held_out = (0.1 if step >= fall else 0.0 for fall in falls)
        after = None if drop > 0.01 else (0.9, 0.9 - held_out)
        return Fall(drop=drop, held_out=after, samples=4)

    return attempt


@pytest.mark.parametrize("all_first", [False, True])
@pytest.mark.parametrize(
    "falls", [(99, 99), (33, 33), (32, 99), (99, 32), (20, 9), (9, 20), (1, 9), (9, 1), (2, 2)]
)
def test_the_greatest_step_that_both_halves_allow(falls, all_first):
    asked = []
    found = choose(OVER, measured(falls, asked), 0.01, all_first=all_first)
    assert len(asked) == len(set(asked))
    want = min(*falls, OVER) - 1
    if want == 0:
        assert found is None
        return
    chosen, refused = found
    assert chosen.keeps(0.01)
    repeated = measured(falls, [])
    assert not (want + 1 < OVER and repeated(want + 1).keeps(0.01))
    assert (refused is not None) == (falls[1] < min(falls[0], OVER))
    if refused is not None:
        assert refused.held_out_drop > 0.01


def test_beginning_with_all_is_enough_where_all_may():
    asked = []
    choose(OVER, measured((99, 99), asked), 0.01, all_first=True)
    assert asked == [OVER - 1]
    asked.clear()
    choose(OVER, measured((99, 99), asked), 0.01)
    assert len(asked) == 6


def test_of_one_step_there_is_nothing_to_halve():
    asked = []
    assert choose(1, measured((1, 1), asked), 0.01, all_first=True) is None
    assert asked == []
