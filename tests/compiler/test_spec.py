from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.spec import SpecError, build_spec, did_you_mean, format_spec, parse_spec


@dataclass(frozen=True)
class Options:
    kind: ClassVar[str] = "never an option"
    is_on: bool = False
    count: int = 3
    scale_by: float = 0.5
    mode: str = "linear"

    def __post_init__(self):
        if self.count > 10**6:
            raise ValueError("count is too large")


@dataclass(frozen=True)
class Odd:
    sizes: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("plain", "plain", {}),
        ("  my-pass.v2  ", "my-pass.v2", {}),
        ("a{}", "a", {}),
        ("a{b=1}", "a", {"b": "1"}),
        ("a { b = 1 , long-key=x y, }", "a", {"b": "1", "long_key": "x y"}),
        ("a{b=c=d}", "a", {"b": "c=d"}),
        ("a{b=}", "a", {"b": ""}),
    ],
)
def test_parse(text, name, options):
    assert parse_spec(text) == (name, options)


@pytest.mark.parametrize("text", ["", "{a=1}", "a{b=1", "a}b", "a{b={c=1}}", "a b", "a{b=1}c"])
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(SpecError, match="not of the form name"):
        parse_spec(text)


def test_an_option_without_a_value_is_refused():
    with pytest.raises(SpecError, match="option 'fast' of 'a' has no value"):
        parse_spec("a{b=1,fast}")


@given(
    st.builds(
        Options,
        is_on=st.booleans(),
        count=st.integers(-(10**9), 10**6),
        scale_by=st.floats(allow_nan=False),
        mode=st.from_regex(r"[A-Za-z0-9_./-]*", fullmatch=True),
    )
)
def test_text_gives_the_same_value_back(value):
    name, options = parse_spec(format_spec("opts", value))
    assert build_spec(Options, name, options) == value


def test_format():
    assert format_spec("opts", Options(is_on=True)) == (
        "opts{is-on=true,count=3,scale-by=0.5,mode=linear}"
    )


def test_defaults_fill_what_is_not_said():
    assert build_spec(Options, "opts", {"count": "7"}) == Options(count=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuont": "1"}, "'opts' has no option 'cuont'; did you mean 'count'?"),
        ({"kind": "x"}, "no option 'kind'; it knows count, is_on, mode, scale_by"),
        ({"is_on": "yes"}, "opts.is_on is true or false, not 'yes'"),
        ({"count": "1.5"}, "opts.count is of type int, not '1.5'"),
        ({"scale_by": "half"}, "opts.scale_by is of type float, not 'half'"),
        ({"count": "1000001"}, "'opts': count is too large"),
    ],
)
def test_an_option_that_does_not_fit(options, message):
    with pytest.raises(SpecError) as caught:
        build_spec(Options, "opts", options)
    assert message in str(caught.value)


def test_a_field_that_text_cannot_hold():
    with pytest.raises(SpecError, match=r"odd\.sizes of type .* cannot be written as text"):
        build_spec(Odd, "odd", {"sizes": "1"})


def test_did_you_mean():
    assert did_you_mean("fold-constant", ["fold-constants", "prune"]) == (
        "; did you mean 'fold-constants'?"
    )
    assert did_you_mean("zzz", ["b", "a"]) == "; it knows a, b"
    assert did_you_mean("zzz", []) == ""
