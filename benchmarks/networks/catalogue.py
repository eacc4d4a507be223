"""The networks by name, in sets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import light
import onnx_ir as ir
from convolutional import mobilenet_v2, resnext50, unet
from quantised import QUANTISED
from transformers import bert, vit_tiny

from suture.compiler.model import load_model

FACE = "face-slim-320"
BUILT = {
    "mobilenet_v2": mobilenet_v2,
    "bert": bert,
    "vit_tiny": vit_tiny,
    "unet": unet,
}
SETS = {"light": light.NAMES, "built": (*BUILT, FACE), "quantised": tuple(QUANTISED)}
ALL = ("light", "built")
"""The sets in float32."""

EXTRA = {"bert_masked": partial(bert, masked=True), "resnext50": resnext50}
"""Networks in no set, for those who ask by name."""


def build(name: str, face: Path) -> ir.Model:
    """Return a network; equal names give equal weights.

    Args:
        name: One of a set or ``EXTRA``, or the path of an ONNX file.
        face: Where the file of ``FACE`` lies.
    """
    if name == FACE:
        return load_model(face)
    if name in light.NAMES:
        return light.light(name)
    made = BUILT | EXTRA | QUANTISED
    if name in made:
        return made[name]()
    return load_model(Path(name))
