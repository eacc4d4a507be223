"""Real handwritten digits under the conditions of a careless camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits

Grey = npt.NDArray[np.uint8]

SIZE = 32
CONDITIONS = (
    "clean",
    "rotated",
    "blurred",
    "noisy",
    "low_contrast",
    "noisy_rotated",
    "low_contrast_rotated",
)


def splits() -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Return scans (8x8, 0..16) and labels of ``train`` and ``test``; no scan is in both."""
    scans = load_digits()
    order = np.random.default_rng(0).permutation(len(scans.images))
    cut = 1200
    return {
        "train": (scans.images[order[:cut]], scans.target[order[:cut]]),
        "test": (scans.images[order[cut:]], scans.target[order[cut:]]),
    }


def enlarge(scan: npt.NDArray[Any]) -> Image.Image:
    """Return an 8x8 scan as a 32x32 grey image with a margin for turning."""
    grey = Image.fromarray(np.round(scan * (255 / 16)).astype(np.uint8))
    canvas = Image.new("L", (SIZE, SIZE))
    canvas.paste(grey.resize((24, 24), Image.Resampling.BICUBIC), (4, 4))
    return canvas


def render(
    scan: npt.NDArray[Any], condition: str, rng: np.random.Generator, *, lean_deg: float = 0.0
) -> Grey:
    """Return one scan as a camera in this condition would give it.

    Args:
        scan: ``(8, 8)``, 0..16.
        condition: One of ``CONDITIONS``.
        rng: Where the camera's whims come from.
        lean_deg: A turn on top, for augmentation.
    """
    image = enlarge(scan)
    angle = lean_deg
    if "rotated" in condition:
        angle += rng.choice([-1, 1]) * rng.uniform(25, 50)
    shift = tuple(rng.integers(-1, 2, 2))
    image = image.rotate(angle, Image.Resampling.BILINEAR, translate=shift)
    if condition == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 2.2)))
    light = np.asarray(image, np.float64) * rng.uniform(0.9, 1.0)
    if "low_contrast" in condition:
        light = light * rng.uniform(0.15, 0.25) + rng.uniform(60, 150)
    sigma = rng.uniform(55, 80) if "noisy" in condition else rng.uniform(0, 2)
    light = light + rng.normal(0, sigma, light.shape)
    return np.clip(np.round(light), 0, 255).astype(np.uint8)


def batch(
    scans: npt.NDArray[Any],
    conditions: Sequence[str],
    rng: np.random.Generator,
    *,
    lean_deg: float = 0.0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return images of random conditions, and the same scans upright and clean.

    Both are ``(n, 1, 32, 32)`` in 0..1; the second is what a perfect filter would return.
    """
    drawn = rng.choice(list(conditions), len(scans))
    spoilt = [
        render(scan, str(condition), rng, lean_deg=rng.uniform(-lean_deg, lean_deg))
        for scan, condition in zip(scans, drawn, strict=True)
    ]
    clean = [np.asarray(enlarge(scan)) for scan in scans]
    return _scaled(spoilt), _scaled(clean)


def _scaled(images: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    return (np.stack(images)[:, None] / 255).astype(np.float32)
