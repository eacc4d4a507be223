"""What the native runtime is told of the model it serves: ``served.c``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suture.codegen.render import render

KEYS = ("name", "version", "backend", "inputs", "outputs", "programs", "threads")
CHANNELS = {"L": 1, "RGB": 3}
"""Pillow's modes → channels of a decoded image."""
MOST_RANK = 16
MOST_PORTS = 64
"""The limits of served.h."""


def served_source(document: Mapping[str, Any]) -> str:
    """Return model.json as C."""
    image = document["image"]
    names = [spec["name"] for spec in document["inputs"]]
    return render(
        "native",
        "served.c",
        **{key: document[key] for key in KEYS},
        plan=document["plan"] or {"name": document["name"], "digest": document["version"]},
        image_input=names.index(image["input"]) if image else -1,
        image_channels=CHANNELS[image["mode"]] if image else 0,
    )


def too_much(document: Mapping[str, Any]) -> str | None:
    """Return which limit of the native runtime a model is over, or None."""
    ports = [*document["inputs"], *document["outputs"]]
    for what in ("inputs", "outputs"):
        if len(document[what]) > MOST_PORTS:
            return f"it takes {MOST_PORTS} {what} at most, and the model has more"
    for spec in ports:
        if len(spec["shape"]) > MOST_RANK:
            return f"{spec['name']} has more than {MOST_RANK} axes"
    return None
