"""Plans and the Pareto front as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import networkx as nx

from suture.compiler.plan.base import INPUT, Plan
from suture.compiler.plan.choose import Weighed

BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 132, 44, 30, 18, 12
WIDTH, HEIGHT, PAD = 720, 380, 56
TICKS = 5


def draw_plan(plan: Plan) -> str:
    """Return a plan from left to right; adapters are dashed."""
    graph = plan.graph()
    refs = {step.id: step.ref for step in plan.steps}
    adapters = {step.id for step in plan.steps if step.adapter}
    columns = [sorted(generation) for generation in nx.topological_generations(graph)]
    places = {
        node: (
            MARGIN + column * (BOX_W + GAP_X),
            MARGIN + row * (BOX_H + GAP_Y),
        )
        for column, nodes in enumerate(columns)
        for row, node in enumerate(nodes)
    }
    width = 2 * MARGIN + len(columns) * (BOX_W + GAP_X) - GAP_X
    height = 2 * MARGIN + max(map(len, columns)) * (BOX_H + GAP_Y) - GAP_Y
    parts = [_open(width, height, "The chosen plan")]
    for edge in plan.edges:
        (x0, y0), (x1, y1) = places[edge.source], places[edge.sink]
        parts.append(
            f'<path class="edge" marker-end="url(#tip)" d="M{x0 + BOX_W},{y0 + BOX_H / 2} '
            f"C{x0 + BOX_W + GAP_X / 2},{y0 + BOX_H / 2} {x1 - GAP_X / 2},{y1 + BOX_H / 2} "
            f'{x1 - 4},{y1 + BOX_H / 2}"><title>{escape(str(edge))}</title></path>'
        )
    for node, (x, y) in places.items():
        kind = "input" if node == INPUT else "adapter" if node in adapters else "component"
        name, _, detail = refs.get(node, INPUT).partition("{" if node in adapters else "@")
        detail = detail.rstrip("}")
        parts.append(
            f'<g class="{kind}"><title>{escape(refs.get(node, INPUT))}</title>'
            f'<rect x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="7"/>'
            f'<text x="{x + BOX_W / 2}" y="{y + (18 if detail else 27)}">'
            f"{escape(_short(name))}</text>"
            f'<text class="small" x="{x + BOX_W / 2}" y="{y + 34}">'
            f"{escape(_short(detail, 20))}</text></g>"
        )
    return "".join([*parts, "</svg>"])


def draw_front(weighed: Sequence[Weighed]) -> str:
    """Return accuracy over latency (logarithmic), with the front joined up."""
    points = [(w.estimate.latency_ms, w.estimate.accuracy) for w in weighed]
    low, high = min(x for x, _ in points) * 0.85, max(x for x, _ in points) * 1.15
    bottom, top = min(y for _, y in points), max(y for _, y in points)
    margin = max((top - bottom) * 0.06, 0.005)
    bottom, top = max(0.0, bottom - margin), min(1.0, top + margin)

    def place(latency: float, accuracy: float) -> tuple[float, float]:
        across = math.log(latency / low) / math.log(high / low)
        up = (accuracy - bottom) / (top - bottom)
        return PAD + across * (WIDTH - 1.4 * PAD), HEIGHT - PAD - up * (HEIGHT - 1.4 * PAD)

    parts = [_open(WIDTH, HEIGHT, "Accuracy over latency of every plan")]
    for i in range(TICKS):
        latency = low * (high / low) ** (i / (TICKS - 1))
        accuracy = bottom + (top - bottom) * i / (TICKS - 1)
        x, _ = place(latency, bottom)
        _, y = place(low, accuracy)
        parts.append(
            f'<path class="grid" d="M{x},{PAD * 0.4} V{HEIGHT - PAD} '
            f'M{PAD},{y} H{WIDTH - 0.4 * PAD}"/>'
            f'<text class="tick" x="{x}" y="{HEIGHT - PAD + 18}">{latency:.3g}</text>'
            f'<text class="tick right" x="{PAD - 8}" y="{y + 4}">{accuracy:.3f}</text>'
        )
    parts.append(
        f'<text class="axis" x="{WIDTH / 2}" y="{HEIGHT - 8}">latency, ms (log)</text>'
        f'<text class="axis" transform="translate(12 {HEIGHT / 2}) rotate(-90)">'
        "accuracy</text>"
    )
    front = sorted(
        place(w.estimate.latency_ms, w.estimate.accuracy) for w in weighed if w.pareto
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in front)
    parts.append(f'<polyline class="front" points="{line}"/>')
    for w in sorted(weighed, key=lambda each: (each.chosen, each.pareto)):
        x, y = place(w.estimate.latency_ms, w.estimate.accuracy)
        kind = "chosen" if w.chosen else "pareto" if w.pareto else "lost"
        told = (
            f"{w.estimate.plan.name}: accuracy {w.estimate.accuracy:.4f}, "
            f"{w.estimate.latency_ms:.3f} ms; {w.reason}"
        )
        parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{7 if w.chosen else 4}">'
            f"<title>{escape(told)}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{label}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
