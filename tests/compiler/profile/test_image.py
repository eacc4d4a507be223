from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from suture.compiler.plan.evaluate import read_evaluation
from suture.compiler.profile.analyze import analyze
from suture.compiler.profile.image import (
    ImageAnalyzer,
    box_mean,
    noise_sigma,
    otsu,
    sharpness,
    skew_deg,
    to_luma,
)
from suture.errors import RequestError

EVALUATION = Path(__file__).parents[3] / "examples" / "digits" / "eval.npz"


def features(image):
    return analyze(image, "image/gray").features


def noisy(image, sigma, seed=0):
    """The image in mid greys, where noise is not clipped."""
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.round(image * 0.4 + 75 + noise), 0, 255).astype(np.uint8)


def blurred(image, radius):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_is_measured_in_its_standard_deviation(stroke, sigma):
    measured = features(noisy(stroke(size=128), sigma))["noise_sigma"] * 255
    assert measured == pytest.approx(sigma, rel=0.05)


def test_strokes_and_slopes_are_no_noise(stroke):
    assert features(stroke())["noise_sigma"] == 0
    slope = np.add.outer(np.arange(64), np.arange(64)) / 128
    assert noise_sigma(slope) < 1e-12


def test_blur_takes_sharpness_step_by_step(stroke):
    values = [sharpness(to_luma(blurred(stroke(), radius))) for radius in (0, 1, 2, 3, 4)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)


def test_noise_does_not_pass_for_sharpness(stroke):
    """Single noisy pixels are averaged away."""
    soft = blurred(stroke(), 3)
    assert features(noisy(soft, 5))["sharpness"] < features(stroke())["sharpness"] / 1.5


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.2])
def test_contrast_is_the_spread_of_greys(stroke, gain):
    image = (stroke() * gain + 20 * (1 - gain)).round().astype(np.uint8)
    assert features(image)["contrast"] == pytest.approx(gain, abs=0.01)


def test_a_single_bright_pixel_is_no_contrast(stroke):
    image = np.full((64, 64), 90, np.uint8)
    image[:, 30:34] = 120
    image[0, 0] = 255
    assert features(image)["contrast"] == pytest.approx(30 / 255)


@pytest.mark.parametrize("angle", [10, 30, 45, 60, 80])
@pytest.mark.parametrize("ground", ["black", "white"])
def test_skew_is_the_lean_and_changes_sign_in_the_mirror(stroke, angle, ground):
    image = stroke(angle) if ground == "black" else 255 - stroke(angle)
    lean = features(image)["skew_deg"]
    assert abs(lean) == pytest.approx(angle, abs=1)
    assert features(image[:, ::-1])["skew_deg"] == pytest.approx(-lean, abs=1)
    assert features(stroke(angle - 180))["skew_deg"] == pytest.approx(lean, abs=1)


def test_upright_and_round_shapes_do_not_lean(stroke):
    assert features(stroke())["skew_deg"] == 0
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - 32) ** 2 + (columns - 32) ** 2 < 300) * np.uint8(255)
    assert features(disc)["skew_deg"] == 0


def test_a_lean_survives_noise(stroke):
    clean, spoilt = stroke(35), noisy(stroke(35), 25)
    assert features(spoilt)["skew_deg"] == pytest.approx(skew_deg(to_luma(clean)), abs=5)


@pytest.mark.parametrize(
    ("spoil", "steps"),
    [
        (lambda image: image, ()),
        (lambda image: image // 5 + 60, ("normalize-contrast",)),
        (lambda image: noisy(image, 40), ("denoise",)),
        (lambda image: blurred(image, 4), ("sharpen",)),
        (lambda image: np.asarray(Image.fromarray(image).rotate(40)), ("deskew",)),
        (
            lambda image: np.asarray(
                Image.fromarray(image // 5 + 60).rotate(40, fillcolor=60)
            ),
            ("normalize-contrast", "deskew"),
        ),
    ],
)
def test_what_is_spoilt_calls_for_its_cure(stroke, spoil, steps):
    assert analyze(spoil(stroke()), "image/gray").steps == steps


def test_thresholds_are_options(stroke):
    image = stroke(15)
    assert ImageAnalyzer().analyze(image, "image/gray").bucket == "plain"
    strict = ImageAnalyzer(skewed_deg=10.0)
    assert strict.analyze(image, "image/gray").bucket == "deskew"


def test_conditions_of_the_example_land_in_their_buckets():
    data = read_evaluation(EVALUATION, "image/gray")
    expected = {
        "clean": "plain",
        "rotated": "deskew",
        "blurred": "sharpen",
        "noisy": "denoise",
        "low_contrast": "normalize-contrast",
        "noisy_rotated": "denoise+deskew",
        "low_contrast_rotated": "normalize-contrast+deskew",
    }
    assert set(data.conditions) == set(expected)
    for condition, bucket in expected.items():
        share = np.mean(data.buckets[data.conditions == condition] == bucket)
        assert share >= 0.85, condition


def test_profile_of_a_colour_image(stroke):
    image = np.stack([stroke()] * 3, axis=-1)[:, :40]
    profile = analyze(image, "image/rgb")
    assert (profile.kind, profile.shape, profile.dtype) == ("image/rgb", (64, 40, 3), "uint8")
    sizes = [profile.features[name] for name in ("height", "width", "channels")]
    assert sizes == [64, 40, 3]
    assert features(stroke()[:, :40])["mean"] == pytest.approx(profile.features["mean"])


def test_luma_weighs_green_most():
    primaries = np.eye(3, dtype=np.uint8)[None] * 255
    np.testing.assert_allclose(to_luma(primaries)[0], [0.299, 0.587, 0.114])
    alpha = np.concatenate([primaries, np.zeros((1, 3, 1), np.uint8)], axis=-1)
    np.testing.assert_allclose(to_luma(alpha), to_luma(primaries))


def test_means_over_neighbours_repeat_the_edge():
    plane = np.zeros((3, 4))
    plane[0, 0] = 9
    expected = [[4, 2, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(box_mean(plane), expected)


def test_otsu_parts_two_greys():
    plane = np.concatenate([np.full(300, 0.2), np.full(100, 0.7)])
    plane += np.random.default_rng(0).normal(0, 0.02, 400)
    assert 0.25 < otsu(plane) < 0.65


@pytest.mark.parametrize("shape", [(2, 2), (1, 40), (4, 4), (3, 3, 1)])
def test_tiny_images_have_finite_features(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.isfinite(list(features(image).values())).all()
    assert features(image[:2])["noise_sigma"] == 0


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((4, 4), np.float32),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.array("text"),
    ],
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(RequestError, match="an image is uint8"):
        analyze(data, "image/gray")


@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (8, 8, 3)])
@pytest.mark.parametrize("grey", [0, 7, 255])
def test_blank_images_have_finite_features(shape, grey):
    profile = analyze(np.full(shape, grey, np.uint8), "image/gray")
    assert np.isfinite(list(profile.features.values())).all()
    assert profile.features["skew_deg"] == 0


def test_a_lean_to_the_right_is_positive():
    image = np.zeros((64, 64), np.uint8)
    for row in range(12, 52):
        column = 48 - row // 2  # the top lies to the right
        image[row, column - 3 : column + 4] = 255
    assert features(image)["skew_deg"] == pytest.approx(26.6, abs=2)
