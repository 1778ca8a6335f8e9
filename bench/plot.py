"""The plot, drawn by hand: goals on a scale of ratios, rates as bars. One SVG, no library."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from bench.goals import Judged
from bench.rounds import Series

WIDTH, LABELS, PLOT, ROW, TOP = 1000, 460, 360, 22, 54
LOW, HIGH = 0.25, 4.0
TICKS = (0.25, 0.5, 1.0, 2.0, 4.0)
FLOOR, OURS, PEER, MISSED, INK, FAINT = (
    "#8a8f98",
    "#1f6f8b",
    "#c98a2b",
    "#b3402a",
    "#1d2126",
    "#d9dce1",
)
FAMILIES = {
    FLOOR: ("fastapi", "starlette", "pgbench"),
    PEER: ("stock", "emmett", "message_db"),
}
ARENAS = ("http", "inprocess")


def drawn(goals: Sequence[Judged], found: Mapping[str, Series], quick: bool) -> str:
    """The whole picture as text."""
    parts: list[str] = []
    y = TOP
    subtitle = "a quick run: no figures to rely on" if quick else "medians; lines from min to max"
    parts.append(_text(16, 26, "clubledger: measured beside its floors and peers", 16, bold=True))
    parts.append(_text(16, 44, subtitle, 12, FLOOR))
    y = _goals(parts, goals, y + 20)
    for arena, title in zip(ARENAS, ("Over HTTP", "In process, and PostgreSQL alone"), strict=True):
        series = [each for each in found.values() if each.arena == arena and each.valid]
        if series:
            y = _bars(parts, series, f"{title}: commands or requests a second", y + 34)
    height = y + 40
    parts.append(_legend(y + 22))
    style = "font-family:system-ui,sans-serif"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            f' width="{WIDTH}" height="{height}" role="img" style="{style}">',
            "<title>clubledger: goals and rates</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _goals(parts: list[str], goals: Sequence[Judged], y: int) -> int:
    """Measured over goal, so that right of the line is better, whatever is compared."""
    measured = [each for each in goals if each.ratio is not None]
    parts.append(
        _text(16, y, "Goals: how far from the goal (right of the line is better)", 13, bold=True)
    )
    bottom = y + 12 + ROW * len(measured)
    for tick in TICKS:
        x = _x(tick)
        parts.append(_line(x, y + 10, x, bottom, INK if tick == 1 else FAINT))
        parts.append(_text(x, bottom + 14, f"{tick:g}", 11, FLOOR, anchor="middle"))
    for number, each in enumerate(measured):
        assert each.ratio is not None
        middle = y + 24 + ROW * number
        color = OURS if each.met else MISSED
        ends = sorted(_better(each, value) for value in (each.ratio.minimum, each.ratio.maximum))
        x = _x(_better(each, each.ratio.median))
        parts.append(_text(LABELS - 10, middle + 4, each.goal.text, 12, anchor="end"))
        parts.append(_line(_x(ends[0]), middle, _x(ends[1]), middle, color, 2))
        inside = color if each.met else "#ffffff"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{middle}" r="5" fill="{inside}" stroke="{color}"'
            f' stroke-width="2"/>'
        )
        said = f"{each.ratio.median:.2f} (goal {each.goal.comparison} {each.goal.goal:g})"
        parts.append(_text(LABELS + PLOT + 12, middle + 4, said, 12, color))
    return bottom + 20


def _better(each: Judged, value: float) -> float:
    if each.goal.comparison == ">=":
        return value / each.goal.goal
    return each.goal.goal / value if value else HIGH


def _x(ratio: float) -> float:
    kept = min(max(ratio, LOW), HIGH)
    return LABELS + PLOT * math.log(kept / LOW) / math.log(HIGH / LOW)


def _bars(parts: list[str], series: Sequence[Series], title: str, y: int) -> int:
    spreads = [(each, each.spread("rate")) for each in series]
    known = [(each, spread) for each, spread in spreads if spread is not None]
    most = max(spread.maximum for _, spread in known)
    parts.append(_text(16, y, title, 13, bold=True))
    for number, (each, spread) in enumerate(known):
        top = y + 12 + ROW * number
        width, middle = PLOT * spread.median / most, top + 8
        color = color_of(each.subject)
        parts.append(_text(LABELS - 10, top + 12, each.title, 12, anchor="end"))
        parts.append(
            f'<rect x="{LABELS}" y="{top}" width="{max(width, 1):.1f}" height="16" fill="{color}"/>'
        )
        low, high = (LABELS + PLOT * end / most for end in (spread.minimum, spread.maximum))
        parts.append(_line(low, middle, high, middle, INK, 1))
        parts.append(_text(LABELS + PLOT + 12, top + 12, f"{spread.median:,.0f}", 12))
    return y + 12 + ROW * len(known)


def color_of(subject: str) -> str:
    """Floors, peers and ours are told apart."""
    for color, prefixes in FAMILIES.items():
        if subject.startswith(prefixes):
            return color
    return OURS


def _legend(y: int) -> str:
    said = []
    for number, (color, word) in enumerate(
        ((OURS, "ours"), (FLOOR, "floors: nothing is decided"), (PEER, "peers"))
    ):
        x = 16 + 210 * number
        said.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{color}"/>')
        said.append(_text(x + 18, y, word, 12))
    return "\n".join(said)


def _text(
    x: float,
    y: float,
    said: str,
    size: int,
    color: str = INK,
    *,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}"'
        f' text-anchor="{anchor}"{weight}>{escape(said)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: int = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"'
        f' stroke-width="{width}"/>'
    )
