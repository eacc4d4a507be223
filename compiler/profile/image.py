"""Size, contrast, blur, noise and skew of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from suture.compiler.profile.base import Array, RequestProfile
from suture.errors import RequestError

Plane = npt.NDArray[np.float64]
LUMA = (0.299, 0.587, 0.114)
BINS = 256


@dataclass(frozen=True, kw_only=True)
class ImageAnalyzer:
    """Measures an image and says what it calls for.

    Attributes:
        low_contrast: Spread of the greys, 0..1, below which contrast is to be stretched.
        noisy: Noise relative to contrast above which the image is to be denoised.
        skewed_deg: Lean of the foreground above which it is to be turned upright.
        blurred: Sharpness below which the image is to be sharpened.
    """

    low_contrast: float = 0.45
    noisy: float = 0.12
    skewed_deg: float = 20.0
    blurred: float = 0.205

    def accepts(self, kind: str) -> bool:
        """Accept ``image/...``."""
        return kind.partition("/")[0] == "image"

    def analyze(self, data: Array, kind: str) -> RequestProfile:
        """Return the profile of ``(height, width)`` or ``(height, width, channels)`` uint8."""
        if data.ndim not in (2, 3) or 0 in data.shape or data.dtype != np.uint8:
            raise RequestError(
                f"an image is uint8 (height, width[, channels]), not {data.dtype} "
                f"{list(data.shape)}"
            )
        plane = to_luma(data)
        low, high = np.percentile(plane, (1, 99))
        contrast = float(high - low)
        sigma = noise_sigma(plane)
        noise = sigma / max(contrast, 1 / BINS)
        features = {
            "height": float(data.shape[0]),
            "width": float(data.shape[1]),
            "channels": float(data.shape[2]) if data.ndim == 3 else 1.0,
            "mean": float(plane.mean()),
            "contrast": contrast,
            "noise_sigma": sigma,
            "noise_ratio": float(noise),
            "sharpness": sharpness(plane),
            "skew_deg": skew_deg(plane),
        }
        return RequestProfile(
            kind=kind,
            shape=data.shape,
            dtype=str(data.dtype),
            features=features,
            steps=self._steps(features),
        )

    def _steps(self, features: dict[str, float]) -> tuple[str, ...]:
        wanted = (
            ("normalize-contrast", features["contrast"] < self.low_contrast),
            ("denoise", features["noise_ratio"] > self.noisy),
            ("deskew", abs(features["skew_deg"]) > self.skewed_deg),
            ("sharpen", features["sharpness"] < self.blurred),
        )
        return tuple(name for name, needed in wanted if needed)


def to_luma(data: npt.NDArray[Any]) -> Plane:
    """Return the luma of an image in 0..1 (weights of ITU-R BT.601)."""
    scaled = data.astype(np.float64) / 255
    if scaled.ndim == 2:
        return scaled
    if scaled.shape[2] >= 3:
        return np.asarray(scaled[..., :3] @ np.array(LUMA))
    return np.asarray(scaled[..., 0])


def noise_sigma(plane: Plane) -> float:
    """Return the standard deviation of white noise (Immerkær 1996, Fast Noise Variance).

    The mask is blind to planes and edges of low order. The median
    of its response stands in for Immerkær's mean, so that strokes do not count as noise.
    """
    if min(plane.shape) < 3:
        return 0.0
    rows = plane[:-2] - 2 * plane[1:-1] + plane[2:]
    response = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    # |N(0, 6 sigma)| has its median at 0.6745 * 6 sigma.
    return float(np.median(response) / (6 * 0.6745))


def sharpness(plane: Plane) -> float:
    """Return the steepest step between neighbours as a fraction of the contrast, 0..1.

    The 99th percentile of the gradient of a 3x3 mean, so that single noisy pixels do not
    look sharp (after Ferzli and Karam 2009: blur is the width of an edge).
    """
    if min(plane.shape) < 5:
        return 1.0
    smooth = box_mean(plane)
    across = np.abs(np.diff(smooth, axis=1))
    spread = float(np.ptp(smooth))
    return float(np.percentile(across, 99) / spread) if spread > 0 else 1.0


def skew_deg(plane: Plane) -> float:
    """Return the lean of the foreground from the upright, -90..90, positive to the right.

    The axis of the second-order central moments (Hu 1962) of the pixels that Otsu's threshold
    (1979) takes from the ground; the ground is what most of the border is. A shape without
    a longer axis has no lean: 0.
    """
    smooth = box_mean(plane)
    mask = smooth > otsu(smooth)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if border.mean() > 0.5:
        mask = ~mask
    rows, columns = np.nonzero(mask)
    if len(rows) < 8:
        return 0.0
    y, x = rows - rows.mean(), columns - columns.mean()
    xx, yy, xy = float((x * x).mean()), float((y * y).mean()), float((x * y).mean())
    longer = math.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-9)
    if longer < 0.15:
        return 0.0
    axis = 0.5 * math.atan2(2 * xy, xx - yy)  # from the x axis, y pointing down
    lean = math.degrees(axis) - 90 if axis > 0 else math.degrees(axis) + 90
    return lean if abs(lean) < 90 else 0.0


def box_mean(plane: Plane) -> Plane:
    """Return the mean over 3x3 neighbours, edges repeated."""
    padded = np.pad(plane, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9)


def otsu(plane: Plane) -> float:
    """Return the threshold that parts the greys into the two most different classes.

    A plane of one grey has one class: the threshold is that grey.
    """
    counts, edges = np.histogram(plane, BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    if np.isnan(between).all():
        return float(plane.flat[0])
    return float(centres[int(np.nanargmax(between))])
