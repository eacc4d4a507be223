from suture.codegen.aot import COPY, SKIP_IF, SKIP_UNLESS, Call
from suture.codegen.lazy import Result, Step, branch


def call(name, *needs):
    return Step(needs=needs, call=Call(name, ()))


def choice(condition, then, otherwise, target, *needs):
    return Step(
        needs=needs, condition=condition, branches=((then,), (otherwise,)), targets=(target,)
    )


def test_what_one_branch_needs_is_left_out_with_it():
    steps = (
        call("input"),
        call("for_true", 0),
        call("for_false", 0),
        choice(7, Result(11, (1,)), Result(12, (2,)), 13),
        call("after", 0, 3),
    )
    assert branch(steps, {4}) == (
        Call("input", ()),
        Call(SKIP_UNLESS, (7,), 2),
        Call("for_true", ()),
        Call(COPY, (11, 13)),
        Call(SKIP_IF, (7,), 2),
        Call("for_false", ()),
        Call(COPY, (12, 13)),
        Call("after", ()),
    )


def test_what_the_condition_needs_comes_first_and_the_dead_goes():
    steps = (
        call("dead"),
        call("condition"),
        choice(7, Result(1, ()), Result(2, ()), 3, 1),
    )
    assert branch(steps, {2}) == (
        Call("condition", ()),
        Call(SKIP_UNLESS, (7,), 1),
        Call(COPY, (1, 3)),
        Call(SKIP_IF, (7,), 1),
        Call(COPY, (2, 3)),
    )


def test_what_both_branches_need_is_in_both_and_runs_once():
    steps = (
        call("both"),
        call("for_true", 0),
        choice(7, Result(1, (1,)), Result(2, (0,)), 3),
    )
    assert [each.kernel for each in branch(steps, {2})] == [
        *(SKIP_UNLESS, "both", "for_true", COPY),
        *(SKIP_IF, "both", COPY),
    ]


def test_what_two_choices_need_is_done_once_for_both():
    steps = (
        call("shared"),
        choice(7, Result(1, (0,)), Result(2, ()), 3),
        choice(8, Result(1, (0,)), Result(2, ()), 4),
    )
    kernels = [each.kernel for each in branch(steps, {1, 2})]
    assert kernels == ["shared", *(SKIP_UNLESS, COPY, SKIP_IF, COPY) * 2]


def test_a_choice_within_a_branch_is_left_out_with_all_of_its_calls():
    steps = (
        call("inner"),
        choice(8, Result(1, (0,)), Result(2, ()), 3),
        choice(7, Result(3, (1,)), Result(4, ()), 5),
    )
    assert branch(steps, {2}) == (
        Call(SKIP_UNLESS, (7,), 6),
        Call(SKIP_UNLESS, (8,), 2),
        Call("inner", ()),
        Call(COPY, (1, 3)),
        Call(SKIP_IF, (8,), 1),
        Call(COPY, (2, 3)),
        Call(COPY, (3, 5)),
        Call(SKIP_IF, (7,), 1),
        Call(COPY, (4, 5)),
    )
