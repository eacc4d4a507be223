from suture.codegen.choose.base import BY_FORMULA


def test_by_formula_takes_the_first_that_can_be_built(sums, ask):
    Sum, _ = sums  # noqa: N806
    choice = BY_FORMULA.choose(ask(Sum(fault="raises"), Sum(times=2), Sum(times=3)))
    assert choice.schedule == Sum(times=2)
    assert [trial.schedule for trial in choice.trials] == [
        "sum{times=2,fault=}",
        "sum{times=3,fault=}",
    ]
    assert choice.notes == ("sum{times=1,fault=raises} discarded: ValueError no such tile",)


def test_questions_about_equal_kernels_are_equal(sums, ask):
    Sum, _ = sums  # noqa: N806
    assert hash(ask(Sum(times=2))) == hash(ask(Sum(times=2)))
    assert ask(Sum(times=2)) == ask(Sum(times=2)) != ask(Sum(times=3))
    assert BY_FORMULA.choose(ask(Sum())) == BY_FORMULA.choose(ask(Sum()))
