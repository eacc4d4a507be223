"""Bars side by side as an SVG that stands by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")
WIDTH, BAR, GAP, LABELS, MARGIN = 720, 14, 12, 190, 24


def draw_bars(
    rows: Mapping[str, Sequence[float]], series: Sequence[str], *, title: str
) -> str:
    """Return a group of bars for each row, one bar a series, with the numbers beside them.

    Args:
        rows: Numbers of each row, in the order of the series.
        series: Names of the series.
        title: What the numbers are.
    """
    most = max((number for numbers in rows.values() for number in numbers), default=1.0)
    scale = (WIDTH - LABELS - 3 * MARGIN) / (most or 1.0)
    top = MARGIN * (2 + len(series))
    tall = len(series) * BAR + GAP
    parts = [f'<text x="{MARGIN}" y="{MARGIN}" font-weight="bold">{escape(title)}</text>']
    for place, name in enumerate(series):
        y = MARGIN * (2 + place)
        parts.append(
            f'<rect x="{MARGIN}" y="{y - 10}" width="12" height="12" fill="{_colour(place)}"/>'
            f'<text x="{MARGIN + 20}" y="{y}">{escape(name)}</text>'
        )
    for row, (name, numbers) in enumerate(rows.items()):
        y = top + row * tall
        parts.append(f'<text x="{MARGIN}" y="{y + BAR}">{escape(name)}</text>')
        for place, number in enumerate(numbers):
            wide = number * scale
            parts.append(
                f'<rect x="{LABELS}" y="{y + place * BAR}" width="{wide:.1f}" '
                f'height="{BAR - 2}" fill="{_colour(place)}"/>'
                f'<text x="{LABELS + wide + 4:.1f}" y="{y + place * BAR + 10}" '
                f'font-size="10">{number:.3f}</text>'
            )
    one = LABELS + scale
    height = top + len(rows) * tall + GAP
    parts.append(
        f'<path d="M{one:.1f},{top - 4} V{height - GAP}" stroke="#888" '
        'stroke-dasharray="3 3"/>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
