"""8-bit convolutions, against the same in wide integers and double precision."""

import dataclasses

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import WIDTHS, ceil_div
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.dot import Finish, Integers, is_mild
from suture.codegen.schedule.int8_conv import Int8Conv, Int8ConvShape
from suture.codegen.schedule.int8_depthwise import Int8Depthwise
from suture.passes.recognise.integer import MOST_TAPS

from .quanta import (
    S8,
    TO_FLOAT,
    TO_S8,
    TO_U8,
    U8,
    arguments,
    constants,
    drawn,
    finished,
    same,
    sample,
)

CONVS = {
    "padded": ConvShape(
        channels=20, height=7, width=9, filters=24, kernel=(3, 3), pads=(1, 1, 1, 1)
    ),
    "few channels, strides": ConvShape(
        channels=3,
        height=13,
        width=12,
        filters=8,
        kernel=(5, 3),
        strides=(2, 2),
        pads=(2, 0, 1, 1),
    ),
    "dilated": ConvShape(
        channels=9, height=9, width=8, filters=5, kernel=(3, 2), dilations=(2, 3)
    ),
    "one tap skips": ConvShape(
        channels=16, height=9, width=7, filters=16, kernel=(1, 1), strides=(2, 2)
    ),
    "one row": ConvShape(channels=33, height=1, width=30, filters=32, kernel=(1, 1)),
    "one pixel": ConvShape(channels=1, height=1, width=1, filters=1, kernel=(1, 1)),
}
DEPTHWISE = {
    name: dataclasses.replace(shape, filters=shape.channels, groups=shape.channels)
    for name, shape in CONVS.items()
}


def check_conv(tile, shape, finish, processor, run, *, seed=0):
    vectors, target = processor
    rng = np.random.default_rng(seed)
    conv, source, lanes = shape.conv, shape.source, vectors.lanes
    image = drawn(rng, (conv.channels, conv.height, conv.width), *source.bounds, source.dtype)
    most = 64 if shape.mild else 128
    whole = (conv.filters, conv.channels // conv.groups, *conv.kernel)
    weights = drawn(rng, whole, -most, most - 1, np.int8)
    assert not shape.mild or is_mild(weights, 1)
    top, left, bottom, right = conv.pads
    padded = np.pad(
        image.astype(np.int64) - source.zero, ((0, 0), (top, bottom), (left, right))
    )
    (high, wide), groups = conv.out, conv.groups
    sums = np.zeros((conv.filters, high, wide), np.int64)
    for y in range(conv.kernel[0]):
        for x in range(conv.kernel[1]):
            i, j = y * conv.dilations[0], x * conv.dilations[1]
            seen = padded[:, i :: conv.strides[0], j :: conv.strides[1]][:, :high, :wide]
            taps = weights[:, :, y, x].astype(np.int64).reshape(groups, -1, whole[1])
            image_parts = seen.reshape(groups, whole[1], high, wide)
            sums += np.einsum("gfc,gcij->gfij", taps, image_parts).reshape(sums.shape)
    scale, bias = constants(rng, sums, finish, conv.filters)
    wanted = finished(sums, scale[:, None, None], bias[:, None, None], finish)
    blocks, seen = ceil_div(conv.filters, lanes), ceil_div(conv.channels, lanes)
    blocked = np.full((seen * lanes, conv.height, conv.width), 77, source.dtype)
    blocked[: conv.channels] = image
    blocked = blocked.reshape(seen, lanes, conv.height, conv.width).transpose(0, 2, 3, 1)
    packed = tile.pack(weights, shape, vectors)
    arrays = [blocked, *arguments(packed, scale, bias, blocks * lanes)]
    out = run(
        tile.kernel(shape, finish, vectors),
        arrays,
        (blocks, high, wide, lanes),
        target,
        finish.dtype,
    )
    plain = out.transpose(0, 3, 1, 2).reshape(-1, high, wide)[: conv.filters]
    same(plain, wanted, finish)


@pytest.mark.parametrize("name", CONVS)
def test_every_tile_of_convolutions(name, processor, run):
    for source, finish, mild in ((U8, TO_U8, False), (S8, TO_S8, True), (U8, TO_FLOAT, True)):
        shape = Int8ConvShape(conv=CONVS[name], source=source, mild=mild)
        space = Int8Conv.space(shape, processor[0])
        assert len(set(space)) == len(space) > 0
        for tile in sample(space):
            check_conv(tile, shape, finish, processor, run)


@pytest.mark.parametrize("name", DEPTHWISE)
def test_every_tile_of_depthwise_convolutions(name, processor, run):
    for source, finish in ((U8, TO_U8), (S8, TO_S8), (U8, TO_FLOAT)):
        shape = Int8ConvShape(conv=DEPTHWISE[name], source=source, mild=False)
        space = Int8Depthwise.space(shape, processor[0])
        assert len(set(space)) == len(space) > 0
        for tile in space[::3]:
            check_conv(tile, shape, finish, processor, run)


def test_sums_of_the_largest_windows_are_exact(processor, run):
    """Every product at its most; one tap more and float32 might not hold the sum."""
    lanes = processor[0].lanes
    conv = ConvShape(
        channels=lanes,
        height=MOST_TAPS,
        width=1,
        filters=lanes,
        kernel=(MOST_TAPS, 1),
        groups=lanes,
    )
    shape = Int8ConvShape(conv=conv, source=Integers(dtype="uint8", zero=0), mild=False)
    tile = Int8Depthwise.space(shape, processor[0])[0]
    weights = tile.pack(np.full((lanes, 1, *conv.kernel), -128, np.int8), shape, processor[0])
    weights.weights[0, -1] = -127  # an odd sum
    image = np.full((1, MOST_TAPS, 1, lanes), 255, np.uint8)
    arrays = [image, weights.weights, np.ones(lanes, np.float32), np.zeros(lanes, np.float32)]
    kernel = tile.kernel(shape, TO_FLOAT, processor[0])
    out = run(kernel, arrays, (1, 1, 1, lanes), processor[1])
    assert (out == -255 * (128 * MOST_TAPS - 1)).all()
    assert 255 * 128 * MOST_TAPS <= 2**24 < 255 * 128 * (MOST_TAPS + 1)


def test_blocks_smaller_than_the_image(processor, run):
    shape = Int8ConvShape(conv=CONVS["padded"], source=U8, mild=False)
    row = Int8ConvShape(conv=CONVS["one row"], source=U8, mild=False)
    dot = processor[0].dots[-1]
    for rows, block in ((4, 1), (3, 2), (6, 5)):
        tile = Int8Conv(rows, processor[0].lanes, block, dot)
        check_conv(tile, shape, TO_U8, processor, run)
        check_conv(tile, row, TO_U8, processor, run)


def test_without_instructions_of_its_own(processor, run):
    plain = dataclasses.replace(processor[0], dots=("plain",))
    for name in CONVS:
        shape = Int8ConvShape(conv=CONVS[name], source=S8, mild=False)
        check_conv(Int8Conv.space(shape, plain)[0], shape, TO_U8, (plain, processor[1]), run)


def test_threads_share_tiles(processor, run):
    two = (dataclasses.replace(processor[0], threads=2), processor[1])
    for name in ("padded", "one row"):
        shape = Int8ConvShape(conv=CONVS[name], source=U8, mild=False)
        check_conv(Int8Conv.space(shape, two[0])[0], shape, TO_U8, two, run)


@settings(max_examples=12, deadline=None)
@given(
    channels=st.integers(1, 30),
    filters=st.integers(1, 40),
    size=st.integers(1, 9),
    taps=st.integers(1, 3),
    pad=st.integers(0, 2),
    stride=st.integers(1, 2),
    zero=st.integers(-128, 127),
    mild=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_convolution(
    processor, run, channels, filters, size, taps, pad, stride, zero, mild, seed
):
    conv = ConvShape(
        channels=channels,
        height=size + taps,
        width=size + 2,
        filters=filters,
        kernel=(taps, min(taps, size + 2)),
        strides=(stride, stride),
        pads=(pad, 0, 0, pad),
    )
    source = Integers(dtype="int8", zero=zero)
    shape = Int8ConvShape(conv=conv, source=source, mild=mild)
    tile = Int8Conv.space(shape, processor[0])[0]
    finish = Finish(out=Integers(dtype="uint8", zero=zero + 128), low=0.0)
    check_conv(tile, shape, finish, processor, run, seed=seed)


@settings(max_examples=12, deadline=None)
@given(
    channels=st.integers(1, 30),
    size=st.integers(1, 9),
    taps=st.integers(1, 5),
    pad=st.integers(0, 2),
    stride=st.integers(1, 2),
    zero=st.integers(0, 255),
    seed=st.integers(0, 99),
)
def test_any_depthwise_convolution(
    processor, run, channels, size, taps, pad, stride, zero, seed
):
    conv = ConvShape(
        channels=channels,
        height=size + taps,
        width=size + 2,
        filters=channels,
        kernel=(taps, min(taps, size + 2)),
        strides=(stride, stride),
        pads=(pad, 0, 0, pad),
        groups=channels,
    )
    source = Integers(dtype="uint8", zero=zero)
    shape = Int8ConvShape(conv=conv, source=source, mild=False)
    finish = Finish(out=S8, low=-60.0, high=61.0)
    tile = Int8Depthwise.space(shape, processor[0])[0]
    check_conv(tile, shape, finish, processor, run, seed=seed)


@pytest.mark.parametrize(
    ("mcpu", "triple", "instruction"),
    [
        ("cascadelake", "x86_64-linux-gnu", "vpdpbusd"),
        ("x86-64-v4", "x86_64-linux-gnu", "vpmaddubsw"),
        ("neoverse-n1", "aarch64-linux-gnu", "sdot"),
    ],
)
def test_other_processors_get_their_instruction(mcpu, triple, instruction):
    target = tvm.target.Target({"kind": "llvm", "mcpu": mcpu, "mtriple": triple})
    shape = Int8ConvShape(conv=CONVS["padded"], source=U8, mild=True)
    kernel = Int8Conv.space(shape, WIDTHS[mcpu])[0].kernel(shape, TO_U8, WIDTHS[mcpu])
    named = tvm.IRModule({"main": kernel.with_attr("global_symbol", "main")})
    assert instruction in tvm.tirx.build(named, target=target).inspect_source("asm")


def test_mild_weights_are_told_from_others():
    assert is_mild(np.array([[64, 64, -64, -64, 127]], np.int8), 1)
    assert not is_mild(np.array([[65, 64]], np.int8), 1)
    assert not is_mild(np.array([[-65], [-64]], np.int8), 0)
    assert is_mild(np.array([[127, -128, 1, 0]], np.int8), 1)
