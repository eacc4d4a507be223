from dataclasses import dataclass
from typing import ClassVar

import pytest

from suture.errors import Location, PassError
from suture.passes.base import GraphPass, PassResult
from suture.passes.order import check_order, in_order
from suture.passes.pipeline import PIPELINES, parse_pipeline


@dataclass(frozen=True)
class Plain(GraphPass):
    name: ClassVar[str] = "plain"

    def apply(self, model, ctx):
        return PassResult(model)


def declared(name, **declares):
    return type("Declared", (Plain,), {"name": name, **declares})()


A, B = declared("a"), declared("b", after=("a",))
EARLY = declared("early", before=("l*",))
LATE, LAST = declared("late"), declared("last")
NEEDS = declared("needs", needs=("a*",))


@pytest.mark.parametrize(
    "passes",
    [
        (),
        (A, B),
        (B,),
        (A, B, A),
        (A, B, A, B),
        (EARLY, LATE, LAST),
        (LAST, LATE),
        (EARLY, LATE, EARLY),
        (A, NEEDS),
        (B, B),
    ],
    ids=lambda passes: ",".join(map(str, passes)) or "nothing",
)
def test_what_is_declared_holds(passes):
    check_order(passes)


@pytest.mark.parametrize(
    ("passes", "culprit", "hint"),
    [
        ((B, A), "b", "put a first"),
        ((B, A, B), "b", "put a first"),
        ((LATE, EARLY), "late", "put early first"),
        ((EARLY, LAST, LATE, NEEDS), "needs", "put a* before it"),
        ((NEEDS, A), "needs", "put a* before it"),
    ],
    ids=lambda each: ",".join(map(str, each)) if isinstance(each, tuple) else None,
)
def test_a_wrong_order_is_told_with_the_way_out(passes, culprit, hint):
    with pytest.raises(PassError) as caught:
        check_order(passes)
    assert caught.value.at == Location("--passes", culprit)
    assert caught.value.hint == hint


def test_what_matches_a_pattern_of_its_own_is_not_before_itself():
    check_order([declared("fuse-a", after=("fuse-*",)), declared("none")])


def test_selected_passes_are_put_in_order():
    assert in_order([LATE, B, LAST, EARLY, A]) == (A, EARLY, B, LAST, LATE)
    assert in_order([B, A, NEEDS]) == (A, B, NEEDS)


def test_an_order_that_goes_round_is_told():
    first, second = declared("first", after=("second",)), declared("second", after=("first",))
    with pytest.raises(PassError, match="round in a circle: first before second before first"):
        in_order([first, second])


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_named_pipelines_keep_to_what_their_passes_declare(name):
    parse_pipeline(name)


def test_ours_are_checked_too():
    with pytest.raises(PassError) as caught:
        parse_pipeline("fold-batch-norm,fold-constants")
    assert caught.value.at == Location("--passes", "fold-batch-norm")
    assert caught.value.hint == "put fold-constants first"
