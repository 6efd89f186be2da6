"""Charts as SVG: pure, from numbers to text that holds nothing but numbers and our own words.

Drawn here and not by a library in the browser: a strip is sixty bars, costs a hundred bytes a second on the wire, takes
its colours from the page's theme, and needs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BAR, GAP, HEIGHT = 8, 2, 40


def bars(counts: Sequence[float], label: str, marked: float | None = None) -> str:
    """Bars as high as the counts, the highest full; a line at `marked`, if it is given and within twice the highest.

    `label`: what those who don't see it are told.
    """
    most = max([*counts, marked or 0], default=0) or 1
    width = len(counts) * (BAR + GAP)
    path = "".join(
        f"M{place * (BAR + GAP)} {HEIGHT}v{-_height(count, most)}h{BAR}V{HEIGHT}z"
        for place, count in enumerate(counts)
        if count > 0
    )
    line = ""
    if marked is not None:
        y = HEIGHT - _height(marked, most)
        line = f'<path class="mark" d="M0 {y}H{width}"/>'
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<path class="bars" d="{path}"/>{line}<path class="ground" d="M0 {HEIGHT}H{width}"/></svg>'
    )


def _height(count: float, most: float) -> float:
    """Of at least two units: what is there is seen."""
    return max(round(count / most * (HEIGHT - 2), 1), 2)
