"""Lines over a few sizes as an SVG that reads on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 48, 190, 34, 40
COLOURS = ("#d1495b", "#2e86ab", "#e09f3e", "#5b8e7d", "#8e6c8a", "#777777", "#bc6c25", "#457b9d")
APART = 15
"""Of the names at the ends of lines."""


def draw(path: Path, title: str, across: str, sizes: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    """Write the chart. A line may end before the last size; sizes stand at equal distances."""
    every = [value for line in lines.values() for value in line]
    step = 5 if max(every) - min(every) < 40 else 10
    low, high = step * math.floor(min(every) / step), step * math.ceil(max(every) / step)

    def x(place: int) -> float:
        return LEFT + place * (WIDTH - LEFT - RIGHT) / max(1, len(sizes) - 1)

    def y(value: float) -> float:
        return TOP + (high - value) * (HEIGHT - TOP - BOTTOM) / max(1, high - low)

    parts = [text(LEFT, 18, title, "font-weight='bold'")]
    for level in range(low, high + 1, step):
        parts.append(f"<path d='M{LEFT} {y(level):.1f}H{WIDTH - RIGHT}' stroke='#8884'/>")
        parts.append(text(LEFT - 6, y(level) + 4, str(level), "text-anchor='end'"))
    for place, size in enumerate(sizes):
        parts.append(text(x(place), HEIGHT - BOTTOM + 18, str(size), "text-anchor='middle'"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, across, "text-anchor='middle'"))
    below = -math.inf
    for number, (name, line) in sorted(enumerate(lines.items()), key=lambda one: y(one[1][1][-1])):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(line))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>")
        below = max(below + APART, y(line[-1]) + 4)
        parts.append(text(WIDTH - RIGHT + 8, below, name, f"style='fill:{colour}'"))
    style = "text{font:12px sans-serif;fill:#777}"
    frame = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>"
    path.write_text(f"{frame}<title>{escape(title)}</title><style>{style}</style>{''.join(parts)}</svg>\n")


def text(x: float, y: float, words: str, more: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(words)}</text>"
