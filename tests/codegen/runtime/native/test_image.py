"""Pictures decoded in C, against Pillow."""

import io
import itertools
import os
import shutil
import struct
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from suture.codegen.decoder import decoder_source, image_object
from suture.codegen.emulate import find_emulator
from suture.codegen.zig import compile_c

HERE = Path(__file__).parent
RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
PROGRAM = ("image_test.c", "exact_buffer.c")
DONE, BROKEN, TOO_LARGE, NO_MEMORY = range(4)
MODES = {1: "L", 3: "RGB"}
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples by PNG's colour type: gray, RGB, palette, gray with alpha, RGB with alpha."""
KINDS = [
    *((0, depth) for depth in (1, 2, 4, 8)),
    *((3, depth) for depth in (1, 2, 4, 8)),
    *itertools.product((2, 4, 6), (8, 16)),
]
"""Colour types and bit depths there are (PNG specification, table 11.1), but (0, 16)."""


class Decoder:
    """The test program, and where it finds files."""

    def __init__(self, folder, *command):
        self.file = folder / "picture"
        self.command = command

    def run(self, what, channels, data, *more):
        self.file.write_bytes(data)
        command = [*self.command, what, str(channels), str(self.file), *map(str, more)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=300)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    def decode(self, data, channels=3, limit=0):
        """Return the outcome, and pixels as they are in memory or None."""
        head, _, pixels = self.run("pixels", channels, data, limit).partition(b"\n")
        outcome, height, width = map(int, head.split())
        if outcome != DONE:
            assert (height, width, pixels) == (-1, -1, b"")
            return outcome, None
        return outcome, np.frombuffer(pixels, np.uint8).reshape(height, width, channels)

    def outcome(self, data, **more):
        return self.decode(data, **more)[0]


@pytest.fixture(scope="session")
def decoder(tmp_path_factory):
    """Decoder and runtime, compiled so that they stop at any access out of bounds."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no gcc or clang here, whose sanitizers this needs")
    folder = tmp_path_factory.mktemp("image")
    (folder / "wuffs.c").write_bytes(decoder_source())
    sources = [RUNTIME / "image.c", *(HERE / name for name in PROGRAM)]
    command = [
        *(compiler, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *("-isystem", folder, "-I", RUNTIME, *sources, "-o", folder / "program"),
    ]
    subprocess.run(command, check=True, env={**os.environ, "TMPDIR": str(folder)})
    return Decoder(folder, folder / "program")


def pillow(data, channels):
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert(MODES[channels]))
        return pixels.reshape(image.height, image.width, channels)


def assert_as_pillow(decoder, data):
    for channels in MODES:
        outcome, pixels = decoder.decode(data, channels)
        assert outcome == DONE
        np.testing.assert_array_equal(pixels, pillow(data, channels))


def samples(colour, depth, height, width, *, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**depth, (height, width, SAMPLES[colour]))


def picture(height, width):
    """Smooth shapes and some noise, as photographs have."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack(
        [np.sin(x / 17 + y / 29), np.cos(x / 23 - y / 11), np.sin(x * y / 997)], -1
    )
    noise = np.random.default_rng(0).normal(0, 6, waves.shape)
    return Image.fromarray((128 + 90 * waves + noise).clip(0, 255).astype(np.uint8))


def jpeg(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_png_as_pillow(decoder, png, colour, depth, interlaced):
    for height, width in ((1, 1), (13, 17), (8, 33)):
        pixels = samples(colour, depth, height, width)
        assert_as_pillow(decoder, png.file(pixels, colour, depth, interlaced=interlaced))


@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    interlaced=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_png_of_any_size_as_pillow(decoder, png, kind, height, width, interlaced, seed):
    pixels = samples(*kind, height, width, seed=seed)
    assert_as_pillow(decoder, png.file(pixels, *kind, interlaced=interlaced, seed=seed))


@pytest.mark.parametrize("interlaced", [False, True])
def test_gray_of_16_bits_keeps_its_high_byte(decoder, png, interlaced):
    """Pillow clips such numbers to 255, which leaves white of nearly any picture."""
    pixels = samples(0, 16, 13, 17)
    data = png.file(pixels, 0, 16, interlaced=interlaced)
    assert np.array_equal(decoder.decode(data, 1)[1], pixels >> 8)
    assert np.array_equal(decoder.decode(data, 3)[1], np.repeat(pixels >> 8, 3, axis=2))


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize(
    ("colour", "depth", "transparent"),
    [
        *((0, depth, b"\0\1") for depth in (1, 2, 4, 8)),
        *((2, depth, b"\0\1\0\2\0\3") for depth in (8, 16)),
        *((3, depth, b"\0\x80") for depth in (1, 8)),
    ],
)
def test_transparent_colours_stay(decoder, png, colour, depth, transparent):
    pixels = samples(colour, depth, 9, 11)
    if colour != 3:
        pixels[::2] = np.frombuffer(transparent, ">u2")
    assert_as_pillow(decoder, png.file(pixels, colour, depth, transparent=transparent))


@pytest.mark.parametrize("default_image", [False, True])
def test_an_animation_shows_its_default_picture(decoder, default_image):
    stream, first = io.BytesIO(), picture(40, 60)
    frames = [first.rotate(90), first.rotate(180)]
    options = {"save_all": True, "append_images": frames, "default_image": default_image}
    first.save(stream, "PNG", **options)
    assert_as_pillow(decoder, stream.getvalue())


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 85, 100])
def test_jpeg_as_pillow(decoder, quality, subsampling, progressive):
    """To the bit: Wuffs computes the transform and the chroma as libjpeg-turbo does."""
    for size in ((1, 1), (3, 7), (16, 16), (151, 203)):
        options = {"subsampling": subsampling, "progressive": progressive}
        assert_as_pillow(decoder, jpeg(picture(*size), quality=quality, **options))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(picture(60, 90).convert("L")), id="gray"),
        pytest.param(
            jpeg(picture(60, 90).convert("L"), progressive=True), id="gray, progressive"
        ),
        pytest.param(jpeg(picture(60, 90).convert("CMYK")), id="CMYK"),
        pytest.param(jpeg(picture(60, 90), keep_rgb=True), id="RGB"),
        pytest.param(jpeg(picture(60, 90), optimize=True), id="tables of its own"),
        pytest.param(jpeg(picture(60, 90), restart_marker_blocks=3), id="restarts"),
        pytest.param(jpeg(picture(60, 90), comment=b"x" * 999), id="comment"),
    ],
)
def test_other_jpeg_as_pillow(decoder, data):
    assert_as_pillow(decoder, data)


def test_large_pictures_as_pillow(decoder):
    large, stream = picture(1200, 1601), io.BytesIO()
    large.save(stream, "PNG", compress_level=1)
    for data in (stream.getvalue(), jpeg(large), jpeg(large, progressive=True)):
        assert_as_pillow(decoder, data)


SMALL = ("baseline", "progressive", "png", "interlaced")


@pytest.fixture(scope="session")
def small(png):
    """Files of some hundred bytes, one of each kind."""
    palette = samples(3, 4, 9, 7)
    files = (
        jpeg(picture(20, 25)),
        jpeg(picture(20, 25), progressive=True),
        png.file(samples(2, 8, 9, 7), 2, 8),
        png.file(palette, 3, 4, interlaced=True, transparent=b"\1\2"),
    )
    return dict(zip(SMALL, files, strict=True))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", MODES)
def test_a_file_cut_anywhere_is_broken(decoder, small, png, name, channels):
    data = small[name]
    end = len(b"\xff\xd9") if data[0] == 0xFF else len(png.chunk(b"IEND", b""))
    outcomes = decoder.run("cuts", channels, data).decode()
    assert len(outcomes) == len(data)
    assert set(outcomes[:-end]) == {str(BROKEN)}
    assert set(outcomes[-end:]) <= {str(BROKEN), str(DONE)}


@pytest.mark.parametrize("name", SMALL)
def test_damage_is_broken_or_shows(decoder, small, name):
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(small[name])
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        assert decoder.outcome(bytes(data)) in {DONE, BROKEN, TOO_LARGE}


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a" + bytes(99), b"BM", b"{}"],
)
def test_other_files_are_broken(decoder, data):
    assert decoder.outcome(data) == BROKEN


@pytest.mark.parametrize(
    ("height", "width", "outcome"),
    [
        (8001, 8000, TOO_LARGE),
        (100_000, 100_000, TOO_LARGE),
        (8000, 8000, BROKEN),
        (0, 5, BROKEN),
        (2**32 - 1, 2**32 - 1, BROKEN),
    ],
)
def test_png_that_says_it_is_huge(decoder, png, height, width, outcome):
    data = png.header(width, height) + png.chunk(b"IDAT", b"x\x9c")
    assert decoder.outcome(data) == outcome


@pytest.mark.parametrize("name", ["baseline", "progressive"])
@pytest.mark.parametrize(
    ("height", "width", "outcome"),
    [
        (65_000, 65_000, TOO_LARGE),
        (8001, 8000, TOO_LARGE),
        (8000, 8000, BROKEN),
        (20, 0, BROKEN),
    ],
)
def test_jpeg_that_says_it_is_huge(decoder, small, name, height, width, outcome):
    sizes = [struct.pack(">HH", *size) for size in ((20, 25), (height, width))]
    assert small[name].count(sizes[0]) == 1
    assert decoder.outcome(small[name].replace(*sizes)) == outcome


@pytest.mark.parametrize("name", SMALL)
def test_too_little_memory_is_told(decoder, small, name):
    height, width = decoder.decode(small[name])[1].shape[:2]
    assert decoder.outcome(small[name], limit=4 * height * width) == DONE
    assert decoder.outcome(small[name], limit=4 * height * width - 1) == NO_MEMORY


@pytest.mark.emulator
def test_arm64_decodes_as_pillow(small, arm64, zig_cache, tmp_path):
    built = build(arm64, zig_cache, tmp_path)
    program = Decoder(tmp_path, *find_emulator(arm64.arch).command, built)
    for name in ("baseline", "progressive", "png"):
        assert_as_pillow(program, small[name])


def test_what_ships_decodes_as_pillow(small, target, zig_cache, tmp_path):
    """With the loops for this processor that a sanitizer's build may not have taken."""
    if not target.runs_here:
        pytest.skip(f"no {target.arch} here")
    program = Decoder(tmp_path, build(target, zig_cache, tmp_path))
    large = jpeg(picture(151, 203)), jpeg(picture(151, 203), progressive=True)
    for data in (*(small[name] for name in ("baseline", "progressive", "png")), *large):
        assert_as_pillow(program, data)


def build(target, cache, folder):
    """Return the test program around the object that packages get."""
    shutil.copy(image_object(target, cache), folder / "image.o")
    for path in (*(HERE / name for name in PROGRAM), RUNTIME / "text.h", RUNTIME / "image.h"):
        shutil.copy(path, folder)
    arguments = ["-O2", "-s", "-Wl,--gc-sections", "image.o", *PROGRAM]
    return compile_c(arguments, "program", target, workdir=folder, cache=cache)
