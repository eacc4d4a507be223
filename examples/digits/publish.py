"""Put the trained models into ``library/`` as components, and two requests beside it.

    python examples/digits/publish.py

A component that is there with other content is replaced: this is its source.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from suture.compiler.component import Component, Metric, Port
from suture.compiler.library import Library, describe

HERE = Path(__file__).parent
MODELS = HERE / "models"
LIBRARY = HERE / "library"
PROVENANCE = (
    "examples/digits/train.py on scikit-learn's load_digits, the test part of the UCI Optical "
    "Recognition of Handwritten Digits data set (CC BY 4.0)"
)
PROVIDES = {
    "digit-contrast": "normalize-contrast",
    "digit-denoise": "denoise",
    "digit-deskew": "deskew",
}
"""Capabilities of the filters; every other model classifies."""


def component(path: Path, metrics: dict[str, dict[str, float]]) -> Component:
    """Return a trained model as a component."""
    name = path.stem
    described = describe(
        path,
        name=name,
        provides=PROVIDES.get(name, "classify"),
        metrics=tuple(
            Metric(dataset, metric, value)
            for dataset, values in metrics.items()
            for metric, value in values.items()
        ),
        licence="Apache-2.0",
        provenance=PROVENANCE,
    )

    def image(port: Port) -> Port:
        return replace(port, kind="image/gray", layout="NCHW", range=(0.0, 1.0))

    (entry,), (answer,) = described.inputs, described.outputs
    answer = image(answer) if name in PROVIDES else replace(answer, kind="logits/digit")
    return replace(described, inputs=(image(entry),), outputs=(answer,))


def write_samples() -> None:
    """Write one clean and one spoilt digit of the evaluation set as image files."""
    data = np.load(HERE / "eval.npz")
    for name, condition in (("clean", "clean"), ("spoilt", "noisy_rotated")):
        first = int(np.flatnonzero(data["conditions"] == condition)[0])
        Image.fromarray(data["inputs"][first]).save(HERE / f"{name}.png")
        print(f"{name}.png: a {data['labels'][first]}")


def main() -> None:
    """Write the library and the samples anew."""
    metrics = json.loads((MODELS / "metrics.json").read_text("utf-8"))
    shutil.rmtree(LIBRARY, ignore_errors=True)
    for path in sorted(MODELS.glob("*.onnx")):
        added = Library(LIBRARY).add(component(path, metrics[path.stem]))
        print(f"{added.ref}: {added.path.stat().st_size} bytes")
    write_samples()


if __name__ == "__main__":
    main()
