import numpy as np
import pytest
from PIL import Image, ImageDraw


@pytest.fixture(scope="session")
def stroke():
    """Draw an upright bar, white on black, and turn it counter-clockwise."""

    def stroke(angle_deg=0.0, size=64):
        image = Image.new("L", (size, size))
        middle, half = size // 2, size // 14
        bar = (middle - half, size // 5, middle + half, size - size // 5)
        ImageDraw.Draw(image).rectangle(bar, fill=255)
        return np.asarray(image.rotate(angle_deg, Image.Resampling.BILINEAR))

    return stroke
