"""Chains of adapters between two ports, and why there is none."""

import numpy as np
import pytest
from PIL import Image

from suture.compiler.adapters import ADAPTERS, join, mismatch, parse_adapter
from suture.compiler.library import Library
from suture.compiler.task import read_task
from suture.errors import PlanError

NCHW = {"layout": "NCHW", "span": (0.0, 1.0)}
BYTES = {"dtype": "uint8", "span": (0.0, 255.0)}


@pytest.fixture
def follow(apply):
    """The array that leaves a chain."""

    def follow(chain, have, x):
        for adapter in chain:
            x = apply(adapter, have, x)
            have = adapter.output(have)
        return x

    return follow


def names(joint):
    return [adapter.name for adapter in joint.chain]


def test_ports_that_fit_need_nothing(port):
    have, want = port(1, 1, 32, 32, **NCHW), port("N", 1, 32, 32, **NCHW)
    assert join(have, want) == join(have, have)
    assert (join(have, want).chain, join(have, want).gap) == ((), None)


def test_a_photo_becomes_a_normalised_grey_square(port, follow, rng):
    have = port("h", "w", 3, layout="HWC", kind="image/rgb", **BYTES)
    want = port("N", 1, 8, 8, layout="NCHW", span=(-1.0, 1.0))
    joint = join(have, want)
    assert joint.gap is None
    assert names(joint) == ["layout", "cast", "to-gray", "resize", "rescale"]
    pixels = rng.integers(0, 256, (4, 5, 3), np.uint8)
    y = follow(joint.chain, have, pixels)
    assert y.shape == (1, 1, 8, 8)
    luma = Image.fromarray(pixels.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]))
    expected = np.asarray(luma.resize((8, 8), Image.Resampling.BILINEAR)) / 127.5 - 1
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-5, atol=1e-5)


def test_a_grey_image_becomes_a_colour_one(port, follow, rng):
    have = port(4, 4, layout="HW", **BYTES)
    want = port("N", 3, 4, 4, kind="image/rgb", **NCHW)
    joint = join(have, want)
    assert names(joint) == ["layout", "cast", "to-rgb", "rescale"]
    pixels = rng.integers(0, 256, (4, 4), np.uint8)
    y = follow(joint.chain, have, pixels)
    np.testing.assert_allclose(y, np.stack([pixels] * 3)[None] / 255, rtol=1e-5)


def test_scores_become_probabilities(port):
    have = port("N", 10, kind="logits/digit")
    joint = join(have, port("N", 10, kind="class/digit", span=(0.0, 1.0)))
    assert (names(joint), joint.gap) == (["softmax"], None)


def test_requests_of_the_example_reach_every_classifier(digits):
    task = read_task(digits / "task.toml")
    for component in Library(digits / "library"):
        joint = join(task.input, component.inputs[0])
        assert joint.gap is None
        assert "cast" in names(joint)


@pytest.mark.parametrize(
    ("have", "want", "gap"),
    [
        (("N", 4, {}), ("N", 4, {"kind": "text"}), "kind image/gray is not text"),
        (("N", 4, {}), ("N", 4, {"dtype": "int8"}), "float32 is not int8"),
        (("N", 4, {}), ("N", 4, 4, {}), "2 axes are not 3"),
        ((4, 4, {"layout": "HW"}), (4, 4, {"layout": "WT"}), "layout HW is not WT"),
        (("N", 4, {}), ("N", 5, {}), "axis 1 is 4, not 5"),
        (("N", 4, {}), (1, 4, {}), "axis 0 is N, not 1"),
        (
            (4, {"span": (0, 9), "dtype": "int8"}),
            (4, {"span": (0, 1), "dtype": "int8"}),
            "values 0..9 are not within 0..1",
        ),
    ],
)
def test_a_gap_is_told(port, have, want, gap):
    mine, wanted = (port(*sizes, **more) for *sizes, more in (have, want))
    assert mismatch(mine, wanted) == gap
    assert join(mine, wanted).gap.startswith(gap)


def test_a_gap_tells_how_near_the_chain_came(port):
    have = port("h", "w", layout="HW", **BYTES)
    joint = join(have, port("N", 2, 8, 8, **NCHW))
    assert joint.gap.startswith(
        "axis 1 is 1, not 2 (nearest: layout{source=HW,target=NCHW} > "
    )
    assert "resize{height=8,width=8}" in joint.gap
    assert joint.gap.endswith("which gives p:image/gray float32[1,1,8,8] NCHW)")


def test_what_is_not_known_does_not_hinder(port):
    known = port("N", 4, layout="NC", span=(0, 1))
    for unknown in (port("N", 4), port("M", "c")):
        assert mismatch(known, unknown) is None


def test_each_adapter_is_parsed_by_its_name():
    assert {kind.name for kind in ADAPTERS} == {
        *("cast", "layout", "rescale", "resize", "softmax", "to-gray", "to-rgb")
    }
    assert type(parse_adapter("softmax")).name == "softmax"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("soft-max", "no adapter 'soft-max'; did you mean 'softmax'?"),
        ("resize{height=8,widht=8}", "'resize' has no option 'widht'; did you mean 'width'?"),
        ("resize{height=8.5,width=8}", "resize.height is of type int, not '8.5'"),
        ("resize{height=8}", "missing 1 required positional argument: 'width'"),
        ("cast{to}", "option 'to' of 'cast' has no value"),
        ("cast to=float32", "is not of the form name{key=value}"),
    ],
)
def test_a_step_that_names_no_adapter(spec, message):
    with pytest.raises(PlanError) as caught:
        parse_adapter(spec)
    assert message in caught.value.message
    assert caught.value.at.component == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("layout{source=HW,target=HW}", "HW cannot become HW"),
        ("layout{source=HWC,target=HW}", "HWC cannot become HW"),
        ("cast{to=flaot}", "'flaot' is not an element type"),
        ("resize{height=0,width=3}", "0x3 is not a size"),
        ("rescale{low=1,high=1,to-low=0,to-high=1}", "1..1 is not a range"),
    ],
)
def test_a_step_that_cannot_be(spec, message):
    with pytest.raises(PlanError) as caught:
        parse_adapter(spec)
    assert message in caught.value.message
    assert caught.value.at.component == spec
