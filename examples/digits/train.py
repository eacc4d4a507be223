"""Train every component of the example, and measure each on scans it has not seen.

    pip install -e '.[train]'
    python examples/digits/train.py
    python examples/digits/publish.py

Seeded; about seven minutes on two cores. Writes ``models/*.onnx``, ``models/metrics.json`` and
``eval.npz``, then prints accuracy by condition and chain of components; ``publish.py`` makes
the library of what is in ``models``, which is not kept.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnxruntime as ort
import torch
from conditions import CONDITIONS, batch, render, splits
from export import write_classifier, write_contrast, write_denoise, write_deskew
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).parent
MODELS = HERE / "models"
EVAL_PER_CONDITION = 120

SEEDS = {
    "digit-linear": 1,
    "digit-cnn-small": 2,
    "digit-cnn-large": 3,
    "digit-monolith": 4,
    "digit-denoise": 5,
    "digit-contrast": 6,
    "digit-deskew": 7,
}
"""Every component and what seeds its training."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def fit(
    network: nn.Module,
    loss: Loss,
    *,
    seen: Sequence[str],
    epochs: int,
    lean_deg: float,
    seed: int,
    rate: float = 3e-3,
) -> None:
    """Train a network on renderings drawn anew each epoch."""
    scans, labels = splits()["train"]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    steps = epochs * (len(scans) // 100)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    started = time.monotonic()
    network.train()
    for _ in range(epochs):
        order = rng.permutation(len(scans))
        for part in np.array_split(order, len(scans) // 100):
            spoilt, clean = batch(scans[part], seen, rng, lean_deg=lean_deg)
            value = loss(
                torch.from_numpy(spoilt),
                torch.from_numpy(clean),
                torch.from_numpy(labels[part]),
            )
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    seconds = time.monotonic() - started
    print(f"{type(network).__name__:10s} loss {value.item():.4f} {seconds:.0f} s")


def classifier_loss(network: nn.Module) -> Loss:
    """Return cross-entropy of a classifier."""
    return lambda spoilt, _clean, label: functional.cross_entropy(network(spoilt), label)


def restore_loss(network: nn.Module) -> Loss:
    """Return the squared error of a filter against the clean image."""
    return lambda spoilt, clean, _label: functional.mse_loss(network(spoilt), clean)


def train_deskew(seed: int) -> networks.Deskew:
    """Train the deskewer on known turns."""
    network = networks.Deskew()
    scans, _ = splits()["train"]
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-3)
    epochs, size = 60, 100
    steps = epochs * (len(scans) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for part in np.array_split(rng.permutation(len(scans)), len(scans) // size):
            turns = rng.uniform(-55, 55, len(part)) * (rng.random(len(part)) < 0.8)
            images = np.stack(
                [
                    render(scan, "clean", rng, lean_deg=turn)
                    for scan, turn in zip(scans[part], turns, strict=True)
                ]
            )
            image = torch.from_numpy((images[:, None] / 255).astype(np.float32))
            image = image + torch.randn_like(image) * 0.05 * torch.rand(len(part), 1, 1, 1)
            wanted = torch.from_numpy(np.deg2rad(-turns).astype(np.float32))
            value = functional.smooth_l1_loss(network.angle(image), wanted, beta=0.1)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    print(f"Deskew     loss {value.item():.4f}")
    return network


def write_evaluation(path: Path) -> None:
    """Render the held-out scans, the same number in each condition."""
    scans, labels = splits()["test"]
    rng = np.random.default_rng(2026)
    inputs, answers, names = [], [], []
    for condition in CONDITIONS:
        for pick in rng.choice(len(scans), EVAL_PER_CONDITION, replace=False):
            inputs.append(render(scans[pick], condition, rng))
            answers.append(labels[pick])
            names.append(condition)
    np.savez_compressed(
        path,
        inputs=np.stack(inputs),
        labels=np.array(answers, np.int64),
        conditions=np.array(names),
    )


def session(name: str) -> ort.InferenceSession:
    """Return a component as ONNX Runtime runs it."""
    return ort.InferenceSession(MODELS / f"{name}.onnx", providers=["CPUExecutionProvider"])


def run(names: Sequence[str], images: np.ndarray) -> np.ndarray:
    """Run components one after the other."""
    for name in names:
        (images,) = session(name).run(None, {"image": images})
    return images


CLASSIFIERS = ("digit-linear", "digit-cnn-small", "digit-cnn-large", "digit-monolith")
FILTERS = ("digit-denoise", "digit-deskew", "digit-contrast")


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Return metrics on the held-out scans by component and data set."""
    data = np.load(HERE / "eval.npz")
    images = (data["inputs"][:, None] / np.float32(255)).astype(np.float32)
    labels, conditions = data["labels"], data["conditions"]
    metrics: dict[str, dict[str, dict[str, float]]] = {}
    for name in CLASSIFIERS:
        right = run([name], images).argmax(1) == labels
        metrics[name] = {"digits-test": {"accuracy": float(right.mean())}}
        for condition in CONDITIONS:
            value = float(right[conditions == condition].mean())
            metrics[name][f"digits-test/{condition}"] = {"accuracy": value}
    for name, condition in zip(FILTERS, ("noisy", "rotated", "low_contrast"), strict=True):
        rescued = run([name, "digit-cnn-small"], images[conditions == condition]).argmax(1)
        value = float((rescued == labels[conditions == condition]).mean())
        metrics[name] = {f"digits-test/{condition}": {"rescued_accuracy": value}}
    return metrics


def table() -> str:
    """Return accuracy by condition and chain as a Markdown table."""
    data = np.load(HERE / "eval.npz")
    images = (data["inputs"][:, None] / np.float32(255)).astype(np.float32)
    labels, conditions = data["labels"], data["conditions"]
    chains = [(name,) for name in CLASSIFIERS]
    chains += [(f, c) for f in FILTERS for c in CLASSIFIERS[:3]]
    chains += [("digit-denoise", "digit-deskew", "digit-cnn-small")]
    chains += [("digit-contrast", "digit-deskew", "digit-cnn-small")]
    lines = ["| chain | " + " | ".join(CONDITIONS) + " |", "|---|" + "---|" * len(CONDITIONS)]
    for chain in chains:
        right = run(chain, images).argmax(1) == labels
        cells = [f"{right[conditions == condition].mean():.3f}" for condition in CONDITIONS]
        title = " > ".join(name.removeprefix("digit-") for name in chain)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def upright_loss(network: nn.Module) -> Loss:
    """Return the error of a denoiser on clean and turned images with noise laid on here.

    The noise is added to a target that is turned like the input, which ``batch`` cannot give.
    """

    def loss(_spoilt: Tensor, clean: Tensor, _label: Tensor) -> Tensor:
        angle = (torch.rand(len(clean)) * 2 - 1) * 0.9
        angle = angle * (torch.rand(len(clean)) < 0.5)
        cosine, sine, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        theta = torch.stack([cosine, -sine, none, sine, cosine, none], 1).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(clean.shape), align_corners=False)
        target = functional.grid_sample(clean, grid, align_corners=False)
        sigma = torch.rand(len(clean), 1, 1, 1) * 0.33
        noisy = (target + torch.randn_like(target) * sigma).clamp(0, 1)
        return functional.mse_loss(network(noisy), target)

    return loss


def build(name: str) -> None:
    """Train one component and write it."""
    torch.manual_seed(SEEDS[name])
    path, seed = MODELS / f"{name}.onnx", SEEDS[name]
    clean: dict[str, Any] = {"seen": ["clean"], "lean_deg": 8.0, "seed": seed}
    match name:
        case "digit-linear":
            network = networks.linear()
            fit(network, classifier_loss(network), epochs=60, rate=3e-2, **clean)
        case "digit-cnn-small":
            network = networks.cnn_small()
            fit(network, classifier_loss(network), epochs=40, **clean)
        case "digit-cnn-large":
            network = networks.cnn_large()
            fit(network, classifier_loss(network), epochs=40, **clean)
        case "digit-monolith":
            network = networks.monolith()
            seen = {**clean, "seen": CONDITIONS}
            fit(network, classifier_loss(network), epochs=40, **seen)
        case "digit-denoise":
            denoise = networks.Denoise()
            fit(denoise, upright_loss(denoise), epochs=30, **clean)
            return write_denoise(denoise, path)
        case "digit-contrast":
            contrast = networks.Contrast()
            fit(
                contrast,
                restore_loss(contrast),
                epochs=10,
                seen=["clean", "low_contrast"],
                lean_deg=0,
                seed=seed,
            )
            return write_contrast(contrast, path)
        case _:
            return write_deskew(train_deskew(seed), path)
    return write_classifier(network, path)


def main() -> None:
    """Train, write and measure everything, or the components named on the command line."""
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(mode=True)
    MODELS.mkdir(exist_ok=True)
    write_evaluation(HERE / "eval.npz")
    for name in sys.argv[1:] or SEEDS:
        build(name)
    metrics = json.dumps(measure(), indent=1, sort_keys=True)
    (MODELS / "metrics.json").write_text(metrics + "\n", "utf-8")
    print(table())


if __name__ == "__main__":
    main()
