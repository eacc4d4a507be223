"""How much goes, by accuracies that are known beforehand."""

import pytest

from suture.passes.prune.channels.trial import STEPS, Amounts, Trial


class Known(Amounts):
    """Trials whose accuracy falls, by half, from a step on."""

    def __init__(self, falls):
        self.falls = falls

    def attempt(self, step, budget):
        drop, held_out = (0.1 if step >= fall else 0.001 for fall in self.falls)
        return Trial(
            part=1 - step / STEPS,
            flops=(STEPS, STEPS - step),
            drop=drop,
            held_out=(0.9, 0.9 - held_out),
            samples=4,
        )


@pytest.mark.parametrize(
    ("falls", "step", "refused"),
    [((20, 40), 19, None), ((40, 20), 19, 39), ((1, 9), None, None), ((9, 1), None, None)],
)
def test_the_greatest_cut_that_both_halves_allow(falls, step, refused):
    chosen = Known(falls).find(0.005)
    if step is None:
        assert chosen is None
        return
    assert chosen.flops[1] == STEPS - step
    assert (chosen.refused.flops[1] if refused else chosen.refused) == (
        STEPS - refused if refused else None
    )


def test_it_is_told_with_what_was_refused():
    assert str(Known((40, 20)).find(0.005)) == (
        "64 FLOPs to 45, 29.7% fewer; accuracy falls by 0.0010 where it was chosen, "
        "from 0.9000 to 0.8990 on 4 held-out samples, which refused 60.9% for a fall of 0.1000"
    )
