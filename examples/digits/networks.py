"""The networks of the example: small, and each with one job."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN, STD = 0.15, 0.3
"""Of the clean digits; the classifiers begin by taking them out."""


class Standardize(nn.Module):
    """``(x - MEAN) / STD``."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the image with the statistics of clean digits taken out."""
        return (image - MEAN) / STD


def block(before: int, after: int, padding: int = 1) -> list[nn.Module]:
    """Return convolution, batch normalisation and activation."""
    return [
        nn.Conv2d(before, after, 3, padding=padding, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def linear() -> nn.Sequential:
    """Return a classifier of one matrix on a 16x16 average."""
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10))


def cnn_small() -> nn.Sequential:
    """Return a classifier of two convolutions."""
    return nn.Sequential(
        Standardize(),
        *block(1, 8, padding=0),
        nn.MaxPool2d(2),
        *block(8, 16),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(400, 10),
    )


def cnn_large() -> nn.Sequential:
    """Return a classifier of four convolutions."""
    return nn.Sequential(
        Standardize(),
        *block(1, 16, padding=0),
        *block(16, 16),
        nn.MaxPool2d(2),
        *block(16, 32),
        *block(32, 32),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(800, 10),
    )


def monolith() -> nn.Sequential:
    """Return the baseline: one large network for every condition."""
    return nn.Sequential(
        Standardize(),
        *block(1, 32),
        *block(32, 48),
        nn.MaxPool2d(2),
        *block(48, 64),
        *block(64, 64),
        nn.MaxPool2d(2),
        *block(64, 96),
        *block(96, 96),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(96, 10),
    )


class Denoise(nn.Module):
    """Predict the noise and take it out (DnCNN; Zhang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Sequential(
            *block(1, 16),
            *block(16, 16),
            *block(16, 16),
            nn.Conv2d(16, 1, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the image without its noise, in 0..1."""
        return torch.clamp(image - self.noise(image), 0, 1)


class Deskew(nn.Module):
    """Predict the turn and resample upright (Jaderberg et al. 2015, rotations only)."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Sequential(
            nn.AvgPool2d(2),
            *block(1, 16),
            nn.MaxPool2d(2),
            *block(16, 32),
            nn.MaxPool2d(2),
            *block(32, 32),
            nn.Flatten(),
            nn.Linear(512, 1),
            nn.Tanh(),
        )

    def angle(self, image: Tensor) -> Tensor:
        """Return the turn to undo, in radians, within a third of a circle either way."""
        turn: Tensor = self.turn(image)[:, 0] * (math.pi / 3)
        return turn

    def forward(self, image: Tensor) -> Tensor:
        """Return the image upright."""
        angle = self.angle(image)
        cosine, sine, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        theta = torch.stack([cosine, -sine, none, sine, cosine, none], 1).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(image.shape), align_corners=False)
        return functional.grid_sample(image, grid, align_corners=False).clamp(0, 1)


class Contrast(nn.Module):
    """Stretch the greys so that the darkest and lightest patches become black and white."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = nn.Parameter(torch.tensor(0.02))
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, image: Tensor) -> Tensor:
        """Return the stretched image, in 0..1."""
        patches = functional.avg_pool2d(image, 3, stride=1)
        low = patches.amin((1, 2, 3), keepdim=True)
        span = patches.amax((1, 2, 3), keepdim=True) - low
        stretched = (image - low) / (span + self.floor.abs() + 1e-3) * self.gain
        return stretched.clamp(0, 1)
